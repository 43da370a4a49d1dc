"""Averaging over ranks. With one process every function here returns at once."""

import re
from contextlib import contextmanager

import torch
from torch import distributed
from torch.distributed.tensor import DTensor


class LostRank(RuntimeError):
    """Another process of the run is gone, or has not answered in time. Raised by those that waited for it.

    printed   whether its line has been printed: when Lightning tears the run down there may be no time left for it
    """

    printed = False


@contextmanager
def meeting():
    """All processes of the run come here together. Raises LostRank where one does not."""
    try:
        yield
    except RuntimeError as error:
        reason = re.sub(r"^\[[^]]*\] ", "", str(error)).partition(". ")[0]  # without the line of gloo's own source
        raise LostRank(
            f"rank {distributed.get_rank()} waited for another process of this run, which is gone; "
            f"its own error stands further up, unless it was killed ({reason})"
        ) from error


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
        with meeting():
            distributed.all_reduce(flat)
        flat /= world
        for tensor, mean in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def gather_objects(value):
    """[value of rank 0, value of rank 1, ...] on every rank. Any picklable value, of any size on any rank."""
    values = [value] * world_size()
    if world_size() > 1:
        with meeting():
            distributed.all_gather_object(values, value)
    return values


def gather_to_first(value):
    """[value of rank 0, value of rank 1, ...] on the first rank, None on the others."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size() if distributed.get_rank() == 0 else None
    with meeting():
        distributed.gather_object(value, values, dst=0)
    return values


def is_shared_out(tensor):
    """Whether each rank has a part of it (FSDP); a gradient of that kind is averaged already."""
    return isinstance(tensor, DTensor)


def whole(state):
    """A tensor, or the containers of some, with what is shared out among ranks (FSDP) put together on each of them."""
    if is_shared_out(state):
        with meeting():
            return state.full_tensor()
    if isinstance(state, dict):
        return type(state)((key, whole(value)) for key, value in state.items())
    if isinstance(state, list):
        return [whole(value) for value in state]
    return state


def total_norm(tensors):
    """The norm of all tensors as one vector, whether each rank has them whole or in parts."""
    return whole(torch.nn.utils.get_total_norm(tensors))


def own_part(tensor):
    """What this rank has of a tensor."""
    return tensor.to_local() if is_shared_out(tensor) else tensor
