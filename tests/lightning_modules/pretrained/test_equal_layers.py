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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other.weight": torch.ones(1)}, "no layer of .* has the name and shape of one here; compare model.width"),
        ([1, 2], "no layer of .* has the name and shape of one here"),
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
