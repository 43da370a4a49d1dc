"""Reading PyTorch's files (.pth, .pt, .safetensors) that others wrote."""

from textwrap import shorten

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lightning_modules.pretrained.archives import is_inflated
from lightning_modules.pretrained.checkpoint import CheckpointError

NESTED = ("state_dict", "model", "generator", "netG", "params", "weights")  # keys under which a file keeps its state
DEEPEST = 4  # of such keys inside each other
DTYPES = (  # of weights; others, such as float8 and complex numbers, are not read
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)


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
    """{key: tensor} of what a file holds, plain arrays. CheckpointError where there are none, or others."""
    for _ in range(DEEPEST):
        nested = [key for key in NESTED if isinstance(content, dict) and isinstance(content.get(key), dict)]
        if not nested:
            break
        content = content[nested[0]]
    tensors = {}
    if isinstance(content, dict):
        tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors under names")
    require_plain(tensors, path)
    for key, tensor in tensors.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise CheckpointError(f"{path}: {named(key)} has more elements than the file holds for it")
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return tensors


def require_plain(tensors, path):
    """CheckpointError where one is sparse, nested, quantised, complex or without data."""
    for key, tensor in tensors.items():
        strided = tensor.layout is torch.strided and not tensor.is_nested
        if not (strided and tensor.device.type == "cpu" and tensor.dtype in DTYPES):
            kind = f"{tensor.dtype}, {tensor.layout}, {tensor.device}".replace("torch.", "")
            raise CheckpointError(f"{path}: {named(key)} is no plain array of real numbers but {kind}")


def named(key):
    return shorten(repr(key), 80, placeholder=" ...")
