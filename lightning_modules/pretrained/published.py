"""Weights that authors and ports published, in their own files: which file is which, and whose tensor is whose.

A paper's file ends its networks with `PUBLISHED`, one `Published` for each format that it can take, and one `Refused`
for each file that looks like it and is not. A format is recognised by the names of its tensors alone; every tensor of
the file and every tensor of the module must be accounted for.
"""

import os
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from lightning_modules.pretrained.caffemodel import caffe_tensors
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.pth import pth_tensors, safetensors_tensors
from lightning_modules.pretrained.torch7 import t7_tensors

SHOWN = 200  # keys that an error lists, of each kind
DEEPEST = 50  # parts of a key that are looked at
CAFFE_STARTS = b"\x0a\x12\x1a\x20\x28\x32\x38\x42\xa2"  # first bytes of the fields of a NetParameter
COUNTER = "num_batches_tracked"  # of PyTorch's batch norm since 0.4.1; nothing that is converted uses it


def as_it_is(state):
    return state


@dataclass(frozen=True)
class Published:
    """One published format.

    keys      beginning of a key in the file: beginning of the key here, whole parts between dots; or a function that
              makes such a table from the file's tensors, where its names say nothing
    settings  from the file's tensors, by our keys, to the settings of the model that has their shapes
    values    from the file's tensors, by our keys, to what is to be loaded, where values change
    unused    beginnings of keys of the file that are left out on purpose
    missing   beginning of our keys that the file does not have: what stands there instead
    part      what the file is a part of, and the use it has: it makes no model that can be used alone
    """

    name: str  # as in --format
    source: str  # whose, and the name of the file
    licence: str
    keys: Mapping[str, str] | Callable[[dict], dict]
    settings: Callable[[dict], dict]
    values: Callable[[dict], dict] = as_it_is
    unused: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    part: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A file that people have and that the paper's module cannot hold, known by keys that only it has."""

    name: str
    source: str
    marks: tuple[str, ...]  # beginnings of keys; all are there
    why: str


def read_weights(path):
    """{key: tensor} of a file of any kind, which its first bytes tell."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if head.startswith((b"PK", b"\x80")):  # a zip file or a pickle
        return pth_tensors(path)
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < os.path.getsize(path):  # length and start of a JSON
        return safetensors_tensors(path)
    if head[1:4] == b"\0\0\0" and head[0] <= 8:  # the type of a value
        return t7_tensors(path)
    if head[:1] and head[0] in CAFFE_STARTS:
        return caffe_tensors(path)
    raise CheckpointError(
        f"{path} is no file of weights that can be read: PyTorch's (.pth), safetensors, Torch7's (.t7) or Caffe's"
        " (.caffemodel) is expected"
    )


def convert(cls, formats, tensors, path, name=None):
    """(format, module of class `cls`, state to be loaded into it) for a file's tensors; `name` of a format forces it.
    What is `missing` in the format is so in this file.

    CheckpointError with one line where no format fits, and for leftovers on either side. `path` is for the messages.
    """
    for refused in formats:
        if isinstance(refused, Refused) and all(any(covers(mark, key) for key in tensors) for mark in refused.marks):
            raise CheckpointError(f"{path} is {refused.source}: {refused.why}")
    known = [each for each in formats if isinstance(each, Published) and name in (None, each.name)]
    fits = [Fit(each, tensors) for each in known]
    fit = min(fits, key=lambda fit: len(fit.lacks) + len(fit.beyond))
    if fit.lacks or fit.beyond:
        names = ", ".join(each.name for each in known)
        raise CheckpointError(
            f"{path} is no file of {cls.__name__} in a known format ({names}); nearest is {fit.format.name}, of which"
            f" the file {difference(fit.lacks, fit.beyond)}"
        )
    module, state = loadable(cls, fit.format, fit.state, path)
    missing = fit.format.missing.items()
    missing = {start: instead for start, instead in missing if not any(covers(start, key) for key in fit.state)}
    return replace(fit.format, missing=missing), module, state


class Fit:
    """How a file's tensors suit a format."""

    def __init__(self, format, tensors):
        self.format, self.state, self.beyond = format, {}, []
        table = format.keys(tensors) if callable(format.keys) else format.keys
        used = set()
        for key, tensor in tensors.items():
            beginning = next((start for start in beginnings(key) if start in table), None)
            if beginning is not None:
                used.add(beginning)
                self.state[table[beginning] + key[len(beginning) :]] = tensor
            elif not any(covers(start, key) for start in format.unused):
                self.beyond.append(key)
        self.lacks = [start for start in table if start not in used]


def loadable(cls, format, state, path):
    """(module, state): the module that has the shapes of `state`, and the values to load, each key accounted for."""
    try:
        settings = format.settings(state)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = cls(**settings)
        state = format.values(state)
    except (ValueError, KeyError, IndexError, RuntimeError) as error:  # of tensors that are absent or of another shape
        reason = f"it lacks {error.args[0]}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise CheckpointError(f"{path} is not quite the format {format.name}: {reason}") from None
    own = module.state_dict()
    absent = [key for key in own if key not in state]
    lacks = [k for k in absent if not k.endswith(COUNTER) and not any(covers(start, k) for start in format.missing)]
    beyond = [key for key in state if key not in own]
    if lacks or beyond:
        raise CheckpointError(f"{path} is not quite the format {format.name}: it {difference(lacks, beyond)}")
    for key, tensor in state.items():
        if tensor.shape != own[key].shape:
            raise CheckpointError(
                f"{path} is not quite the format {format.name}: {key} has shape {list(tensor.shape)},"
                f" expected {list(own[key].shape)}"
            )
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {key} holds values that are not finite")
    loaded = {key: tensor.to(own[key].dtype).clone() for key, tensor in state.items()}
    if format.part is not None:
        return module, loaded
    return module, {key: loaded.get(key, own[key]) for key in own}


def covers(start, key):
    return start in beginnings(key)


def beginnings(key):
    """A key and what it begins with, longest first: a.b.c, a.b, a."""
    parts = key.split(".", DEEPEST)
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def difference(lacks, beyond):
    said = [f"{verb} {shortened(keys)}" for verb, keys in (("lacks", lacks), ("has beyond it", beyond)) if keys]
    return " and ".join(said)


def shortened(keys):
    """'a, b, c', and how many there are beyond SHOWN; in one line whatever a file calls its tensors."""
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(textwrap.shorten(key, 80, placeholder=" ...") for key in keys[:SHOWN]) + more


def shape(state, key, dimensions):
    """The shape of a tensor by our key, from which a setting is read. CheckpointError where it is not of that kind.

    To be asked for the largest layers: then no file can make a model that is much larger than itself.
    """
    tensor = state.get(key)
    if tensor is None:
        raise CheckpointError(f"it lacks {key}")
    if tensor.dim() != dimensions or tensor.numel() == 0:
        raise CheckpointError(f"{key} has shape {list(tensor.shape)}, expected {dimensions} dimensions")
    return tuple(tensor.shape)


def require_shape(state, key, expected):
    """CheckpointError where a tensor of `state` has another shape, before a module is made of that size."""
    found = state[key].shape
    if found != expected:
        raise CheckpointError(f"{key} has shape {list(found)}, expected {list(expected)}")
