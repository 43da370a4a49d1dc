"""Averaging over ranks. With one process every function here returns at once."""

import torch
from torch import distributed


def world_size():
    """Number of training processes."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


@torch.no_grad()
def average_over_ranks_(tensors):
    """Replaces each tensor by its mean over the ranks, with one collective per dtype. Same tensors on every rank."""
    world = world_size()
    if world == 1:
        return
    for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
        group = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        distributed.all_reduce(flat)
        flat /= world
        for tensor, mean in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def gather_objects(value):
    """[value of rank 0, value of rank 1, ...] on every rank. Any picklable value, of any size on any rank."""
    values = [value] * world_size()
    if world_size() > 1:
        distributed.all_gather_object(values, value)
    return values
