"""Reading Torch7's binary files (.t7): the objects that Lua's torch.save wrote, as plain Python.

The format, as Torch7's File.lua has it: a 4-byte type before each value; tables, objects and functions carry an index,
and a later mention of one is its index alone. Nothing in a file is executed: a function is read as None. Numbers are
little-endian; `long` has 8 bytes, on some systems 4.
"""

import math
import os
import re
import struct
from dataclasses import dataclass, field

import numpy as np
import torch

from lightning_modules.pretrained.checkpoint import CheckpointError

NIL, NUMBER, STRING, TABLE, OBJECT, BOOLEAN, FUNCTION, OLD_CLOSURE, CLOSURE = range(9)
ELEMENTS = {  # of tensors and storages; those of a GPU are written alike, torch.Cuda* without a type being Float
    "Byte": "u1",
    "Char": "i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Half": "<f2",
    "Float": "<f4",
    "Double": "<f8",
}
ARRAY = re.compile(rf"torch\.(?:Cuda)?({'|'.join(ELEMENTS)}|(?<=Cuda))(Tensor|Storage)")
DEEPEST = 20_000  # values inside each other; in a graph each node lies inside the one before it
MOST_VALUES = 500_000  # in a file; a published network has some ten thousand
MOST_DIMENSIONS = 16
LONGEST = 300  # characters of the keys that lead to a value
STATE = ("weight", "bias", "running_mean", "running_var")  # tensors of a layer that make up its state


@dataclass
class TorchObject:
    """An object that is neither tensor nor storage: a layer, a node of a graph."""

    name: str  # of its class, such as nn.Sequential
    fields: dict = field(default_factory=dict, repr=False)


def read_t7(path):
    """What a file holds: None, bool, float, str, dict, TorchObject, or a read-only array for a tensor or storage, which
    stays in the file until it is used. CheckpointError where the file breaks off or is none.

    Lua's tables are dicts, lists having the keys 1, 2, ...; an entry whose key is itself a table or object is left out.
    A tensor with more elements than its storage (nn.Replicate keeps one) has no data of its own: it is None.
    """
    try:
        content = np.asarray(np.memmap(path, np.uint8, mode="r"))
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    try:
        return Reader(content, long_bytes=8).read()
    except CheckpointError as error:
        try:
            return Reader(content, long_bytes=4).read()
        except CheckpointError:
            raise CheckpointError(f"{path} is not a whole Torch7 file: {error}") from None


class Reader:
    """Values are generators that yield the generators of the values inside them, so that a deep file needs a long list
    instead of a deep stack."""

    def __init__(self, content, long_bytes):
        self.content, self.position, self.values = content, 0, 0
        self.long_bytes = long_bytes
        self.seen = {}  # index: table or object, entered before its content is read, since that may mention it

    def read(self):
        open_values, answer = [self.value()], None
        while open_values:
            try:
                inner = open_values[-1].send(answer)
            except StopIteration as stop:
                open_values.pop()
                answer = stop.value
            else:
                if len(open_values) >= DEEPEST:
                    raise CheckpointError(f"more than {DEEPEST} values lie inside each other")
                open_values.append(inner)
                answer = None
        if self.position != len(self.content):
            raise CheckpointError(f"its value ends at byte {self.position} of {len(self.content)}")
        return answer

    def value(self):
        self.values += 1
        if self.values > MOST_VALUES:
            raise CheckpointError(f"it has more than {MOST_VALUES} values")
        kind = self.number("<i")
        if kind == NIL:
            return None
        if kind == NUMBER:
            return self.number("<d")
        if kind == STRING:
            return self.text()
        if kind == BOOLEAN:
            return self.number("<i") != 0
        if kind == FUNCTION:
            return (yield self.function())
        if kind not in (TABLE, OBJECT, OLD_CLOSURE, CLOSURE):
            raise CheckpointError(f"byte {self.position - 4} names type {kind}, which there is not")
        index = self.number("<i")
        if index in self.seen:
            return self.seen[index]
        if kind == TABLE:
            return (yield self.table(index))
        if kind == OBJECT:
            return (yield self.object(index))
        self.seen[index] = None
        return (yield self.function())

    def table(self, index):
        count = self.number("<i")
        self.require(8 * count)  # the types of key and value
        table = self.seen[index] = {}
        for _ in range(count):
            key = yield self.value()
            value = yield self.value()
            if type(key) in (str, float):
                table[int(key) if isinstance(key, float) and key.is_integer() else key] = value
        return table

    def function(self):
        """Passes over a function's code and the values it closes over."""
        self.bytes(self.number("<i"))
        yield self.value()

    def object(self, index):
        header = self.text()
        name = self.text() if re.fullmatch(r"V \d+", header) else header  # old files have no version
        kind = ARRAY.fullmatch(name)
        if kind is None:
            result = self.seen[index] = TorchObject(name)
            fields = yield self.value()
            result.fields = fields if isinstance(fields, dict) else {}
            return result
        dtype = np.dtype(ELEMENTS[kind[1] or "Float"])
        if kind[2] == "Storage":
            count = self.long()
            result = self.bytes(count * dtype.itemsize).view(dtype)
        else:
            result = yield self.tensor(dtype)
        self.seen[index] = result
        return result

    def tensor(self, dtype):
        dimensions = self.number("<i")
        if not 0 <= dimensions <= MOST_DIMENSIONS:
            raise CheckpointError(f"a tensor has {dimensions} dimensions")
        sizes = [self.long() for _ in range(dimensions)]
        strides = [self.long() for _ in range(dimensions)]
        offset = self.long() - 1
        storage = yield self.value()
        if storage is None or dimensions == 0 or 0 in sizes:
            return np.empty(0, dtype)
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        held = isinstance(storage, np.ndarray) and storage.ndim == 1 and storage.dtype == dtype
        if not held or min(*sizes, *strides, offset) < 0 or last >= len(storage):
            raise CheckpointError(f"a tensor of {sizes} reaches beyond its storage")
        if math.prod(sizes) > len(storage):
            return None
        steps = [stride * dtype.itemsize if size > 1 else 0 for size, stride in zip(sizes, strides, strict=True)]
        return np.lib.stride_tricks.as_strided(storage[offset:], sizes, steps, writeable=False)

    def text(self):
        return self.bytes(self.number("<i")).tobytes().decode("latin-1")

    def long(self):
        return self.number("<q" if self.long_bytes == 8 else "<i")

    def number(self, code):
        return struct.unpack(code, self.bytes(struct.calcsize(code)))[0]

    def bytes(self, count):
        self.require(count)
        self.position += count
        return self.content[self.position - count : self.position]

    def require(self, count):
        left = len(self.content) - self.position
        if not 0 <= count <= left:
            raise CheckpointError(f"at byte {self.position} it needs {count} more bytes, and there are {left}")


def t7_tensors(path):
    """{place: float32 tensor} of the state of a file's layers, and of the tensors and numbers in its tables.

    A place is made of keys of tables and numbers of layers from 0, as in `model.48.weight`; layers of a graph are
    numbered as its forward pass has them. Batch norm has running_mean and running_var whatever its version, a
    convolution's weight four dimensions. `<place>.inputs` of a table-joining node in a graph holds the numbers of the
    nodes that it joins. CheckpointError where a layer's sizes cannot be, and where references to the same numbers make
    more of them than the file has bytes.
    """
    content, most = read_t7(path), os.path.getsize(path)
    try:
        return layer_tensors(content, most)
    except CheckpointError as error:
        raise CheckpointError(f"{path} holds no sound Torch7 network: {error}") from None


def layer_tensors(content, most):
    """`t7_tensors` of what was read, with no more than `most` numbers. Each table and object is gone through once."""
    tensors, count = {}, 0
    waiting, met = [("", content)], set()
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict | TorchObject) and not first_time(value, met):
            continue
        found, inner = {}, []
        if isinstance(value, dict):
            inner = list(value.items())
        elif isinstance(value, TorchObject):
            inner, joins = parts_of(value, met)
            found = state_of(value) | {f"{number}.inputs": torch.tensor(nodes) for number, nodes in joins.items()}
            found = {joined(place, name): tensor for name, tensor in found.items()}
        elif isinstance(value, float | np.ndarray):
            found = {place: as_tensor(value)}
        count += sum(tensor.numel() for tensor in found.values())
        if count > most:
            raise CheckpointError(f"its tensors have more numbers than it has bytes, {most}")
        tensors |= found
        waiting += [(joined(place, name), part) for name, part in reversed(inner)]
    return tensors


def first_time(value, met):
    """Whether an object or a table is not in the set of those that were met; it is then."""
    first = id(value) not in met
    met.add(id(value))
    return first


def joined(place, name):
    if len(place) > LONGEST:
        raise CheckpointError(f"keys of more than {LONGEST} characters lead to a value")
    return f"{place}.{name}" if place else str(name)


def as_tensor(values):
    return torch.from_numpy(np.array(values, np.float32))


def listed(table, met):
    """The values under the keys 1, 2, ... of a table that was not met before."""
    values = []
    if isinstance(table, dict) and first_time(table, met):
        while len(values) + 1 in table:
            values.append(table[len(values) + 1])
    return values


def parts_of(layer, met):
    """([(number, layer)] inside a container, {number: numbers of the nodes it joins}, which only a graph has)."""
    nodes = [node.fields.get("data") for node in listed(layer.fields.get("forwardnodes"), met) if is_object(node)]
    nodes = [node if isinstance(node, dict) else {} for node in nodes]
    if not nodes:
        inside = listed(layer.fields.get("modules"), met) or [layer.fields.get("module")]  # nn.MapTable may have one
        return list(enumerate(inside)), {}
    numbers = {id(node): number for number, node in enumerate(nodes)}
    layers, joins, sources = [], {}, []  # sources: of each node, the one that made the value which it hands on
    for number, node in enumerate(nodes):
        module = node.get("module")
        before = [numbers.get(id(data), number) for data in listed(node.get("mapindex"), met)]
        before = [sources[other] for other in before if other < number]
        sources.append(before[0] if passes_on(module) and len(before) == 1 else number)
        if is_object(module):
            layers.append((number, module))
            if module.name == "nn.JoinTable":
                joins[number] = before
    return layers, joins


def passes_on(module):
    return not is_object(module) or not {"modules", "weight"} & module.fields.keys()


def is_object(value):
    return isinstance(value, TorchObject)


def state_of(layer):
    """{name: tensor} of a layer itself."""
    fields = layer.fields
    state = {name: as_tensor(fields[name]) for name in STATE if is_filled(fields.get(name))}
    if is_filled(fields.get("running_std")):  # 1 / sqrt(var + eps), in batch norm of 2015 and before
        deviation, eps = as_tensor(fields["running_std"]), fields.get("eps")
        state["running_var"] = deviation**-2 - (eps if isinstance(eps, float) else 1e-5)
    kernel = [fields.get(name) for name in ("nInputPlane", "kH", "kW")]
    if "weight" in state and state["weight"].dim() == 2 and all(isinstance(size, float) for size in kernel):
        if not all(size.is_integer() and size > 0 for size in kernel):
            raise CheckpointError(f"a convolution has {kernel} as its nInputPlane, kH and kW")
        shape = [len(state["weight"]), *map(int, kernel)]
        if math.prod(shape) == state["weight"].numel():
            state["weight"] = state["weight"].view(shape)
    return state


def is_filled(value):
    return isinstance(value, np.ndarray) and value.size > 0
