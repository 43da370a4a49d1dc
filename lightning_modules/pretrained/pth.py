"""Reading PyTorch's files (.pth, .pt, .safetensors) that others wrote."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lightning_modules.pretrained.archives import is_inflated
from lightning_modules.pretrained.checkpoint import CheckpointError

NESTED = ("state_dict", "model", "generator", "netG", "params", "weights")  # keys under which a file keeps its state
DEEPEST = 4  # of such keys inside each other


def plain_content(path):
    """What torch.save wrote, if it is containers and tensors only; CheckpointError where it is more or broken off."""
    try:
        if is_inflated(path):
            raise CheckpointError(f"{path} claims to hold more bytes than it has; PyTorch writes no such file")
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises whatever unpickling a broken file happens to end in
        raise CheckpointError(f"{path} is not a readable PyTorch file ({type(error).__name__})") from error


def pth_tensors(path):
    """{key: tensor} of a state, alone or under a usual key of a file; DataParallel's `module.` is removed."""
    content = plain_content(path)
    if isinstance(content, dict) and {"state_dict", "config", "iteration"} <= content.keys():
        raise CheckpointError(f"{path} is a chromafill checkpoint already")
    return state(content, path)


def safetensors_tensors(path):
    """{key: tensor}; CheckpointError where the file breaks off."""
    try:
        return state(load_file(path), path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from None


def state(content, path):
    for _ in range(DEEPEST):
        nested = [key for key in NESTED if isinstance(content, dict) and isinstance(content.get(key), dict)]
        if not nested:
            break
        content = content[nested[0]]
    tensors = {}
    if isinstance(content, dict):
        tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors under names")
    for key, tensor in tensors.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{path}: {key!r} has more elements than the file holds for it")
    if all(str(key).startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return {str(key): tensor for key, tensor in tensors.items()}
