"""How formats are told apart and applied, on a network of two layers. Formats of papers: test_<paper>_published.py."""

from dataclasses import dataclass, replace

import pytest
import torch
from caffe_files import layer, network
from safetensors.torch import save_file
from torch import nn
from torch7_files import write_t7

from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.published import Published, Refused, convert, read_weights, shape


@dataclass
class Config:
    width: int = 2


class Paper(nn.Module):
    """A paper's module, as far as converting is concerned."""

    def __init__(self, **overrides):
        super().__init__()
        self.cfg = Config(**overrides)
        if self.cfg.width > 100:
            raise ValueError("too wide")
        self.net = nn.Sequential(nn.Conv2d(3, self.cfg.width, 1), nn.BatchNorm2d(self.cfg.width))
        self.judge = nn.Linear(1, 1)


def settings(state):
    return {"width": shape(state, "net.0.weight", 4)[0]}


def doubled(state):
    return state | {"net.0.weight": state["net.0.weight"] * 2}


FIRST = Published(
    name="first",
    source="the authors' file",
    licence="MIT",
    keys={"a": "net.0", "b.norm": "net.1"},
    settings=settings,
    values=doubled,
    unused=("extra", "b.more"),
    missing={"judge": "random"},
)
SECOND = replace(FIRST, name="second", keys={"x": "net.0", "y": "net.1"}, values=lambda state: state)
FORMATS = (FIRST, SECOND, Refused("third", "another paper's file", ("p", "q.r"), "it has other layers"))


def file(width=4, first="a", second="b.norm"):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))
    net(torch.rand(4, 3, 2, 2))
    return {key.replace("0.", f"{first}.", 1).replace("1.", f"{second}.", 1): v for key, v in net.state_dict().items()}


FILE = file()


def test_the_format_is_found_by_its_keys_and_the_settings_by_its_shapes():
    for tensors, name, factor in ((file(), "first", 2), (file(first="x", second="y"), "second", 1)):
        format, module, state = convert(Paper, FORMATS, tensors, "f.pth")
        assert format.name == name and module.cfg.width == 4
        module.load_state_dict(state)
        first = next(iter(tensors.values()))
        assert torch.equal(module.net[0].weight, factor * first)


def test_what_the_file_lacks_is_the_same_each_time_and_other_randomness_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    states = [convert(Paper, FORMATS, tensors, "f.pth")[2] for tensors in (FILE, FILE)]
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(states[0]["judge.weight"], states[1]["judge.weight"])
    assert states[0]["net.1.num_batches_tracked"] == 1


def test_a_file_without_the_counters_of_batch_norm_is_whole():
    tensors = {key: value for key, value in file().items() if "num_batches" not in key}
    assert convert(Paper, FORMATS, tensors, "f.pth")[2]["net.1.num_batches_tracked"] == 0


def test_keys_named_as_unused_are_left_out():
    tensors = file() | {"extra": torch.ones(1), "b.more.weight": torch.ones(1)}
    assert convert(Paper, FORMATS, tensors, "f.pth")[0] == FIRST


def test_half_and_double_become_float():
    for dtype in (torch.float16, torch.float64):
        tensors = {key: value.to(dtype) if value.is_floating_point() else value for key, value in file().items()}
        _, module, state = convert(Paper, FORMATS, tensors, "f.pth")
        assert all(state[key].dtype == value.dtype for key, value in module.state_dict().items())


def test_a_part_keeps_only_what_the_file_has():
    format = replace(FIRST, part="the first half")
    _, _, state = convert(Paper, (format,), file(), "f.pth")
    assert not any(key.startswith("judge") for key in state) and "net.0.weight" in state


def without(tensors, *keys):
    return {key: value for key, value in tensors.items() if key not in keys}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {f"k{n}.weight": torch.ones(1) for n in range(6)},
            r"^f.pth is no file of Paper in a known format \(first, second\); nearest is first, of which the file "
            r"lacks a, b.norm and has beyond it k0.weight, k1.weight, k2.weight, k3.weight, k4.weight, k5.weight$",
        ),
        (
            {f"k{n}.weight": torch.ones(1) for n in range(203)},
            r"has beyond it k0.weight, (k\d+.weight, ){198}k199.weight and 3 more$",
        ),
        (file() | {"c.weight": torch.ones(1)}, "nearest is first, of which the file has beyond it c.weight$"),
        (without(file(), "a.bias"), "f.pth is not quite the format first: it lacks net.0.bias"),
        (file() | {"a.gain": torch.ones(1)}, "f.pth is not quite the format first: it has beyond it net.0.gain"),
        (file() | {"a.bias": torch.ones(9)}, r"net.0.bias has shape \[9\], expected \[4\]"),
        (file() | {"a.weight": torch.ones(4)}, r"net.0.weight has shape \[4\], expected 4 dimensions"),
        (file() | {"a.weight": torch.ones(4, 0, 1, 1)}, r"net.0.weight has shape \[4, 0, 1, 1\]"),
        (without(file(), "a.weight"), "f.pth is not quite the format first: it lacks net.0.weight"),
        (file() | {"a.bias": torch.tensor([1, 2, float("nan"), 0])}, "net.0.bias holds values that are not finite"),
        (file() | {"a.weight": torch.ones(101, 3, 1, 1)}, "f.pth is not quite the format first: too wide"),
        (file() | {"p.w": torch.ones(1), "q.r": torch.ones(1)}, "is another paper's file: it has other layers"),
    ],
)
def test_leftovers_on_either_side_are_errors_that_list_keys(tensors, message):
    with pytest.raises(CheckpointError, match=message):
        convert(Paper, FORMATS, tensors, "f.pth")


def test_odd_names_of_tensors_stay_in_one_short_line():
    names = ["a\nb", "c" * 10_000, "d" + ".d" * 100_000]
    with pytest.raises(CheckpointError) as caught:
        convert(Paper, FORMATS, {name: torch.ones(1) for name in names}, "f.pth")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_format_can_be_forced():
    with pytest.raises(CheckpointError, match="nearest is second, of which the file lacks x, y"):
        convert(Paper, FORMATS, file(), "f.pth", name="second")


def test_a_table_of_keys_can_be_made_from_the_file():
    format = replace(FIRST, keys=lambda tensors: dict(zip(["a", "b.norm"], ["net.0", "net.1"], strict=True)))
    assert convert(Paper, (format,), file(), "f.pth")[0] == format


def test_the_first_bytes_tell_the_kind_of_a_file(tmp_path):
    weight = torch.arange(6.0).view(2, 3)
    torch.save({"a.weight": weight}, tmp_path / "new")
    torch.save({"a.weight": weight}, tmp_path / "old", _use_new_zipfile_serialization=False)
    save_file({"a.weight": weight}, tmp_path / "safe")
    write_t7(tmp_path / "lua", {"a.weight": weight.numpy()})
    (tmp_path / "caffe").write_bytes(network(layer("a", "InnerProduct", [weight])))
    for name in ("new", "old", "safe", "lua", "caffe"):
        assert torch.equal(read_weights(tmp_path / name)["a.weight"], weight)


def test_a_torch_table_of_123_entries_is_not_taken_for_the_start_of_a_json(tmp_path):
    file = write_t7(tmp_path / "a.t7", {f"w{number}": float(number) for number in range(ord("{"))})
    assert file.read_bytes()[8:9] == b"{" and len(read_weights(file)) == 123


@pytest.mark.parametrize("content", [b"", b"x", b"<!DOCTYPE html>", bytes(100), b"\x0a" * 100, b"\x80\x02", b"PK"])
def test_files_of_no_kind_are_one_line(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "a")
    assert "\n" not in str(caught.value) and str(tmp_path / "a") in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="gone cannot be read: No such file"):
        read_weights(tmp_path / "gone")
