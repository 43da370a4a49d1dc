"""The reader against files written byte for byte by tests/torch7_files.py."""

import math
import random
import struct
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch7_files import Function, Module, Reference, Writer, graph, layer, sequential, t7_bytes, write_t7

from lightning_modules.pretrained import torch7
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.torch7 import TorchObject, read_t7, t7_tensors


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("value", [None, True, False, 2.5, "text", {}, {"a": 1.0, 2: "b"}])
def test_plain_values_come_back(tmp_path, value):
    assert read_t7(write_t7(tmp_path / "a.t7", value)) == value


def test_a_list_is_a_table_that_counts_from_1(tmp_path):
    assert read_t7(write_t7(tmp_path / "a.t7", ["x", "y"])) == {1: "x", 2: "y"}


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8"])
@pytest.mark.parametrize("cuda", [False, True])
def test_tensors_of_every_type_come_back(tmp_path, dtype, cuda):
    values = rng().integers(0, 100, (2, 3, 4)).astype(dtype)
    found = read_t7(write_t7(tmp_path / "a.t7", {"w": values}, cuda=cuda))["w"]
    assert found.dtype == values.dtype and np.array_equal(found, values)


@pytest.mark.parametrize("options", [{"versions": False}, {"long_bytes": 4}, {"versions": False, "long_bytes": 4}])
def test_old_headers_and_short_longs_are_read(tmp_path, options):
    values = rng().normal(size=(3, 5)).astype(np.float32)
    found = read_t7(write_t7(tmp_path / "a.t7", Module("nn.Linear", weight=values), **options))
    assert found.name == "nn.Linear" and np.array_equal(found.fields["weight"], values)


def test_tensors_share_a_storage_and_have_strides(tmp_path):
    storage = np.arange(20, dtype=np.float32)
    rows, columns = Reference(storage, (2, 3), (10, 1), 4), Reference(storage, (3, 2), (1, 3))
    found = read_t7(write_t7(tmp_path / "a.t7", {"rows": rows, "columns": columns}))
    assert found["rows"].tolist() == [[4, 5, 6], [14, 15, 16]]
    assert found["columns"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_one_object_in_two_places_is_read_once_and_a_circle_ends(tmp_path):
    table = {"same": Module("nn.ReLU")}
    table |= {"again": table["same"], "circle": table}
    found = read_t7(write_t7(tmp_path / "a.t7", table))
    assert found["same"] is found["again"] and found["circle"] is found


@pytest.mark.parametrize("kind", [6, 7, 8])
def test_a_function_is_passed_over(tmp_path, kind):
    found = read_t7(write_t7(tmp_path / "a.t7", {"before": 1.0, "run": Function(b"os.execute", kind), "after": 2.0}))
    assert found == {"before": 1.0, "run": None, "after": 2.0}


def test_an_expanded_tensor_has_no_data_of_its_own(tmp_path):
    expanded = Reference(np.ones(4, np.float32), (4, 1000), (1, 0))
    assert read_t7(write_t7(tmp_path / "a.t7", {"output": expanded})) == {"output": None}


def test_empty_tensors_are_read(tmp_path):
    found = read_t7(write_t7(tmp_path / "a.t7", {"w": np.empty(0, np.float32), "x": 1.0}))
    assert found["w"].size == 0 and found["x"] == 1


def test_a_chain_deeper_than_pythons_stack_is_read(tmp_path):
    value = inner = {}
    for _ in range(3000):
        inner["next"] = inner = {}
    writer = Writer()
    for number in range(3000):  # `write` itself would be too deep
        writer.pack("<iiiii4s", 3, number + 1, 1, 2, 4, b"next")
    writer.pack("<iii", 3, 3001, 0)
    path = tmp_path / "a.t7"
    path.write_bytes(b"".join(writer.parts))
    found, depth = read_t7(path), 0
    while "next" in found:
        found, depth = found["next"], depth + 1
    assert depth == 3000 and value is not None


# Layers


def test_layers_are_numbered_through_containers(tmp_path):
    torch.manual_seed(0)
    convolution, norm, linear = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 5)
    net = sequential([layer(convolution), sequential([layer(norm), layer(nn.ReLU())]), layer(linear)])
    found = t7_tensors(write_t7(tmp_path / "a.t7", {"model": net, "mean": np.array([0.1, 0.2], np.float64)}))
    assert list(found) == [
        *("model.0.weight", "model.0.bias"),
        *("model.1.0.weight", "model.1.0.bias", "model.1.0.running_mean", "model.1.0.running_var"),
        *("model.2.weight", "model.2.bias", "mean"),
    ]
    assert torch.equal(found["model.0.weight"], convolution.weight)
    torch.testing.assert_close(found["mean"], torch.tensor([0.1, 0.2]))


def test_the_layer_of_a_container_of_one_is_number_0(tmp_path):
    table = Module("nn.MapTable", modules=[], module=sequential([layer(nn.Linear(1, 1))]))
    assert list(t7_tensors(write_t7(tmp_path / "a.t7", table))) == ["0.0.weight", "0.0.bias"]


def test_a_flat_weight_gets_its_four_dimensions_and_gradients_are_left_out(tmp_path):
    convolution = nn.Conv2d(2, 3, (4, 5))
    lua = layer(convolution, nInputPlane=2, kH=4, kW=5)
    lua.name, lua.fields["weight"] = "nn.SpatialConvolutionMM", lua.fields["weight"].reshape(3, 40)
    lua.fields["gradWeight"] = np.ones((3, 40), np.float32)
    found = t7_tensors(write_t7(tmp_path / "a.t7", lua))
    assert set(found) == {"weight", "bias"} and torch.equal(found["weight"], convolution.weight)


def test_the_deviation_of_old_batch_norm_becomes_a_variance(tmp_path):
    variance = np.array([0.5, 2.0, 9.0], np.float32)
    old = Module("nn.SpatialBatchNormalization", running_std=(variance + 1e-3) ** -0.5, eps=1e-3)
    found = t7_tensors(write_t7(tmp_path / "a.t7", old))
    torch.testing.assert_close(found["running_var"], torch.from_numpy(variance))


def test_nodes_of_a_graph_come_in_the_order_of_the_forward_pass_and_joins_name_their_inputs(tmp_path):
    first, second = nn.Linear(2, 3), nn.Linear(2, 4)
    nodes = [(None, []), (layer(first), [0]), (layer(second), [0]), (Module("nn.JoinTable"), [2, 1])]
    found = t7_tensors(write_t7(tmp_path / "a.t7", graph(nodes)))
    assert torch.equal(found["1.weight"], first.weight) and torch.equal(found["2.weight"], second.weight)
    assert found["3.inputs"].tolist() == [2, 1]


# Hostile files


def refused(path, content):
    """The message for a file, which must come soon and be one line."""
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        t7_tensors(path)
    assert time.monotonic() - started < 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_truncation_is_refused(tmp_path):
    net = sequential([layer(nn.Conv2d(1, 1, 3)), layer(nn.BatchNorm2d(1))])
    whole = t7_bytes({"model": net, "f": Function(), "x": "text"})
    for length in range(0, len(whole), 3):
        refused(tmp_path / "a.t7", whole[:length])


def test_random_bytes_are_refused(tmp_path):
    for seed in range(50):
        refused(tmp_path / "a.t7", struct.pack("<i", seed % 9 or 3) + random.Random(seed).randbytes(300))


def test_changed_bytes_end_in_a_value_or_one_line(tmp_path):
    whole = t7_bytes({"model": sequential([layer(nn.Conv2d(1, 2, 3)), layer(nn.BatchNorm2d(2))])})
    path = tmp_path / "a.t7"
    for seed in range(200):
        changed, draw = bytearray(whole), random.Random(seed)
        for _ in range(4):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            t7_tensors(path)
        except CheckpointError as error:
            assert "\n" not in str(error)


HUGE = 2**62
STORAGE = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack("<iii", 3, 1, 2**31 - 1), "it needs 17179869176 more bytes"),
        (struct.pack("<ii", 2, -5), "it needs -5 more bytes"),
        (struct.pack("<i", 9), "names type 9"),
        (struct.pack("<iii18sq", 4, 1, 18, b"torch.FloatStorage", HUGE), "more bytes"),
        (struct.pack("<iii17si", 4, 1, 17, b"torch.FloatTensor", 2**30), "has 1073741824 dimensions"),
        (t7_bytes(Reference(STORAGE, (5,), (1,))), "reaches beyond its storage"),
        (t7_bytes(Reference(STORAGE, (2, HUGE), (1, HUGE))), "reaches beyond its storage"),
        (t7_bytes(Reference(STORAGE, (2,), (-1,))), "reaches beyond its storage"),
        (t7_bytes(Reference(STORAGE, (2,), (1,), -3)), "reaches beyond its storage"),
        (t7_bytes(Reference(STORAGE, (2,), (1,), name="torch.DoubleTensor")), "reaches beyond its storage"),
        (b"", "cannot be read"),
    ],
)
def test_impossible_sizes_are_refused_before_anything_is_allocated(tmp_path, content, message):
    assert message in refused(tmp_path / "a.t7", content)


def test_the_stride_of_a_single_row_is_of_no_importance(tmp_path):
    single = Reference(STORAGE, (1, 4), (HUGE, 1))
    assert t7_tensors(write_t7(tmp_path / "a.t7", {"w": single}))["w"].tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize("sizes", [(math.nan, 1, 1), (math.inf, 1, 1), (2.5, 1, 1), (-2, -2, 3), (0, 3, 3)])
def test_sizes_of_a_kernel_that_cannot_be_are_refused(tmp_path, sizes):
    weight = np.ones((2, 12), np.float32)
    names = ("nInputPlane", "kH", "kW")
    lua = Module("nn.SpatialConvolutionMM", weight=weight, **dict(zip(names, map(float, sizes), strict=True)))
    assert "as its nInputPlane, kH and kW" in refused(tmp_path / "a.t7", t7_bytes({"model": lua}))


def test_many_references_to_the_same_numbers_are_refused(tmp_path):
    shared = np.ones(300_000, np.float32)
    layers = [Module("nn.Linear", weight=shared, bias=shared) for _ in range(1000)]
    for content in ({f"w{number}": shared for number in range(1000)}, {"model": sequential(layers)}):
        assert "more numbers than it has bytes" in refused(tmp_path / "a.t7", t7_bytes(content))


def test_a_table_that_many_layers_name_is_gone_through_once(tmp_path):
    """Else the work grows with the product of the layers and of what each names: 100 million in a file of 1 MB."""
    modules = {number: 0.0 for number in range(1, 20_001)}
    many = [Module("nn.Sequential", modules=modules) for _ in range(5_000)]
    path = write_t7(tmp_path / "a.t7", {"first": layer(nn.Linear(1, 1)), "model": many})
    started = time.monotonic()
    found = t7_tensors(path)
    assert time.monotonic() - started < 20 and len(found) == 20_002


def test_joins_at_the_end_of_a_long_chain_find_its_beginning_soon(tmp_path):
    chain = [(None, [number - 1] if number else []) for number in range(6_000)]
    net = graph(chain + [(Module("nn.JoinTable"), [5_999]) for _ in range(6_000)])
    for node in net.fields["forwardnodes"]:
        node.fields["children"] = []  # the list has them all, and `write` would be too deep
    path = write_t7(tmp_path / "a.t7", net)
    started = time.monotonic()
    found = t7_tensors(path)
    assert time.monotonic() - started < 20
    assert len(found) == 6_000 and found["11999.inputs"].tolist() == [0]


def test_keys_that_make_endless_names_are_refused(tmp_path):
    nested = {"k" * 1000: {"a": 1.0, "b": 2.0}}
    assert "keys of more than 300 characters lead to a value" in refused(tmp_path / "a.t7", t7_bytes(nested))


def test_depth_and_number_of_values_have_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(torch7, "DEEPEST", 100)
    nested = {}
    for _ in range(60):
        nested = {"in": nested}
    assert "more than 100 values lie inside each other" in refused(tmp_path / "a.t7", t7_bytes(nested))
    monkeypatch.setattr(torch7, "MOST_VALUES", 50)
    assert "more than 50 values" in refused(tmp_path / "b.t7", t7_bytes([1.0] * 100))


def test_a_graph_whose_nodes_feed_each_other_ends(tmp_path):
    net = graph([(Module("nn.JoinTable"), []), (Module("nn.Identity"), [0]), (Module("nn.JoinTable"), [1, 0])])
    nodes = net.fields["forwardnodes"]
    nodes[0].fields["data"]["mapindex"] = {1: nodes[1].fields["data"], 2: nodes[0].fields["data"]}
    found = t7_tensors(write_t7(tmp_path / "a.t7", net))
    assert found["0.inputs"].tolist() == [] and found["2.inputs"].tolist() == [0, 0]


def test_a_container_inside_itself_ends(tmp_path):
    net = Module("nn.Sequential", modules=[layer(nn.Linear(1, 1))])
    net.fields["modules"].append(net)
    assert set(t7_tensors(write_t7(tmp_path / "a.t7", net))) == {"0.weight", "0.bias"}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="gone.t7 cannot be read"):
        read_t7(tmp_path / "gone.t7")


def test_an_object_without_fields_has_none(tmp_path):
    writer = Writer()
    writer.pack("<ii", 4, 1)
    writer.class_name("nn.Odd")
    writer.write(None)
    (tmp_path / "a.t7").write_bytes(b"".join(writer.parts))
    assert read_t7(tmp_path / "a.t7") == TorchObject("nn.Odd", {})
