"""The reader against files written byte for byte by tests/caffe_files.py."""

import random
import time

import numpy as np
import pytest
import torch
from caffe_files import blob, content, integer, layer, network, old_layer, varint

from lightning_modules.pretrained.caffemodel import caffe_tensors, read_caffemodel
from lightning_modules.pretrained.checkpoint import CheckpointError


def rng():
    return np.random.default_rng(0)


def write(path, data):
    path.write_bytes(data)
    return path


WEIGHT, BIAS = rng().normal(size=(2, 3, 4, 5)).astype(np.float32), rng().normal(size=2).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"packed": False}, {"double": True}, {"double": True, "packed": False}])
def test_blobs_come_back_packed_or_not_in_float_or_double(tmp_path, options):
    file = write(tmp_path / "a.caffemodel", network(layer("conv", "Convolution", [WEIGHT, BIAS], **options)))
    (kind, (weight, bias)) = read_caffemodel(file)["conv"]
    assert kind == "Convolution" and weight.dtype == torch.float32
    torch.testing.assert_close(weight.numpy(), WEIGHT)
    torch.testing.assert_close(bias.numpy(), BIAS)


@pytest.mark.parametrize(("kind", "number"), [("Convolution", 4), ("Deconvolution", 39)])
def test_layers_and_shapes_of_before_2015_are_read(tmp_path, kind, number):
    old = network(old_layer("conv", number, [WEIGHT, BIAS], old_shape=True))
    assert read_caffemodel(write(tmp_path / "a.caffemodel", old))["conv"][0] == kind
    found = caffe_tensors(tmp_path / "a.caffemodel")
    assert found["conv.weight"].shape == (2, 3, 4, 5) and found["conv.bias"].shape == (2,)


def test_a_dense_layer_of_an_old_file_has_two_dimensions(tmp_path):
    old = network(old_layer("fc", 14, [WEIGHT.reshape(6, 20), BIAS], old_shape=True))
    assert caffe_tensors(write(tmp_path / "a.caffemodel", old))["fc.weight"].shape == (6, 20)


@pytest.mark.parametrize(("factor", "divisor"), [(4.0, 4.0), (1.0, 1.0), (0.0, 1.0)])
def test_batch_norm_is_divided_by_its_factor_unless_it_is_0(tmp_path, factor, divisor):
    mean, var = np.array([2.0, 4.0], np.float32), np.array([8.0, 12.0], np.float32)
    file = write(tmp_path / "a.caffemodel", network(layer("norm", "BatchNorm", [mean, var, [factor]])))
    found = caffe_tensors(file)
    assert found["norm.running_mean"].tolist() == [2 / divisor, 4 / divisor]
    assert found["norm.running_var"].tolist() == [8 / divisor, 12 / divisor]


def test_layers_without_weights_are_left_out_and_unknown_ones_keep_their_blobs(tmp_path):
    data = network(layer("relu", "ReLU", []), layer("odd", "Python", [BIAS]))
    assert list(caffe_tensors(write(tmp_path / "a.caffemodel", data))) == ["odd.blob0"]


# Hostile files


def refused(path, data):
    """The message for a file, which must come soon and be one line."""
    path.write_bytes(data)
    started = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        caffe_tensors(path)
    assert time.monotonic() - started < 2
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    return str(caught.value)


def test_every_truncation_is_refused(tmp_path):
    whole = network(layer("conv", "Convolution", [WEIGHT[:1, :1], BIAS]))
    for length in range(len(whole)):
        refused(tmp_path / "a.caffemodel", whole[:length])


def test_random_and_changed_bytes_end_in_tensors_or_one_line(tmp_path):
    whole, path = network(layer("conv", "Convolution", [WEIGHT, BIAS])), tmp_path / "a.caffemodel"
    for seed in range(200):
        draw = random.Random(seed)
        changed = bytearray(whole if seed % 2 else draw.randbytes(300))
        for _ in range(3):
            changed[draw.randrange(min(60, len(changed)))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            caffe_tensors(path)
        except CheckpointError as error:
            assert "\n" not in str(error)


def conv(data):
    return content(100, content(1, b"c") + content(2, b"Convolution") + content(7, data))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (content(1, b"name"), "there are no layers with weights"),
        (varint(100 << 3 | 2) + varint(2**60) + b"xx", "a field of 1152921504606846976 bytes begins where 2 are left"),
        (b"\xff" * 12, "an integer has more than 10 bytes"),
        (varint(100 << 3 | 3), "wire type 3"),
        (conv(content(7, content(1, varint(2**40) + varint(2**40))) + content(5, bytes(8))), "holds 2 numbers"),
        (conv(integer(1, 2**50)), "holds 0 numbers"),
        (conv(content(5, bytes(7))), "it ends inside a number"),
        (conv(varint(5 << 3 | 5) + b"xy"), "it ends inside a number"),
        (conv(content(7, content(1, b"\x80"))), "it ends inside an integer"),
        (conv(content(7, content(1, varint(1) * 33)) + content(5, bytes(4))), "a blob has more than 32 dimensions"),
        (conv(content(7, content(1, varint(1) * 10**7)) + content(5, bytes(4))), "a blob has more than 32 dimensions"),
        (conv(content(7, integer(1, 1) * 33) + content(5, bytes(4))), "a blob has more than 32 dimensions"),
        (integer(1, 0) * 5_001, "a message has more than 5000 fields"),
        (b"", "cannot be read"),
    ],
)
def test_impossible_files_are_refused(tmp_path, data, message):
    assert message in refused(tmp_path / "a.caffemodel", data)


def test_many_loose_numbers_are_read_in_one_go(tmp_path):
    values = np.arange(200_000, dtype=np.float32)
    started = time.monotonic()
    file = write(tmp_path / "a.caffemodel", conv(blob(values, packed=False)))
    assert caffe_tensors(file)["c.weight"].shape == (200_000,)
    assert time.monotonic() - started < 5  # most of it is the writing
