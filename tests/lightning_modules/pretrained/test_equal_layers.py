import logging

import pytest
import torch
from torch import nn

from lightning_modules.pretrained.equal_layers import load_equal_layers_


def net(width):
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, width))


def test_layers_of_equal_name_and_shape_are_taken_from_a_checkpoint_and_the_others_named(tmp_path):
    source, network = net(4), net(5)
    state = {f"network.{key}": value for key, value in source.state_dict().items()}
    torch.save({"state_dict": state, "config": {}, "iteration": 1}, tmp_path / "a.ckpt")
    before = network[1].weight.clone()
    assert load_equal_layers_(network, tmp_path / "a.ckpt") == {"1.weight", "1.bias"}
    assert torch.equal(network[0].weight, source[0].weight) and torch.equal(network[1].weight, before)


def test_what_was_taken_and_what_was_not_is_said_in_one_line(tmp_path, caplog):
    torch.save(net(4).state_dict() | {"head.weight": torch.ones(1)}, tmp_path / "a.pth")
    with caplog.at_level(logging.INFO):
        load_equal_layers_(net(5), tmp_path / "a.pth")
    assert caplog.messages == [
        f"model.init_from: 2 tensors taken from {tmp_path}/a.pth; 2 left here (1.weight, 1.bias);"
        " 3 unused there (1.weight, 1.bias, head.weight)"
    ]


def test_a_network_inside_a_module_is_found_under_its_name(tmp_path):
    source, module = net(4), nn.ModuleDict({"network": net(4)})
    torch.save(source.state_dict(), tmp_path / "a.pth")
    assert load_equal_layers_(module, tmp_path / "a.pth") == set()
    assert torch.equal(module["network"][1].weight, source[1].weight)


def test_counters_constants_and_biases_alone_are_no_layers(tmp_path):
    def normed(width):
        fixed = nn.Linear(1, 1).requires_grad_(False)
        return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 2, 3), fixed)

    torch.save(normed(4).state_dict(), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="no layer of .* compare model.width"):
        load_equal_layers_(normed(5), tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other.weight": torch.ones(1)}, "no layer of .* has the name and shape of one here; compare model.width"),
        ([1, 2], "holds no tensors under names"),
        ({"state_dict": torch.ones(2)}, "no layer of .* has the name and shape of one here"),
        ({1: torch.ones(2)}, "no layer of .* has the name and shape of one here"),
        (
            {"0.weight": torch.ones(3, 2).to_sparse()},
            "'0.weight' is no plain array of real numbers but float32, sparse_",
        ),
        (b"no pickle", "is not a readable PyTorch file"),
        (None, "model.init_from: no file at .*a.pth"),
    ],
)
def test_files_that_give_nothing_are_refused(tmp_path, content, message):
    path = tmp_path / "a.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        load_equal_layers_(net(4), path)
