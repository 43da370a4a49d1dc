"""Starting a network from the layers of another one that are alike."""

from pathlib import Path

import torch

from lightning_modules.pretrained.pth import plain_content


def load_equal_layers_(network, path):
    """Copies tensors of equal name and shape from a checkpoint of the paper or a .pth. -> keys left as they were."""
    if not Path(path).is_file():
        raise ValueError(f"model.init_from: no file at {path}; it must be a checkpoint or a .pth of this network")
    file = plain_content(path)
    state = file.get("state_dict", file) if isinstance(file, dict) else {}
    found = {key.removeprefix("network."): value for key, value in state.items() if isinstance(value, torch.Tensor)}
    own = network.state_dict()
    equal = {key: value for key, value in found.items() if key in own and own[key].shape == value.shape}
    if not equal:
        raise ValueError(f"model.init_from: no layer of {path} has the name and shape of one here; compare model.width")
    network.load_state_dict(equal, strict=False)
    return own.keys() - equal.keys()
