"""Torch7's binary format, written byte for byte as its File.lua does."""

import struct

import numpy as np

ELEMENTS = dict(u1="Byte", i1="Char", i2="Short", i4="Int", i8="Long", f2="Half", f4="Float", f8="Double")


class Module:
    """An object of a Lua class with its fields."""

    def __init__(self, name, **fields):
        self.name, self.fields = name, fields


class Reference:
    """A tensor on a storage that others share: sizes, strides and a first element, from 0."""

    def __init__(self, storage, sizes, strides, offset=0, name=None):
        self.storage, self.sizes, self.strides, self.offset, self.name = storage, sizes, strides, offset, name


class Function:
    """A Lua function: byte code and what it closes over."""

    def __init__(self, code=b"\x1bLJ", kind=8):
        self.code, self.kind = code, kind


class Writer:
    def __init__(self, long_bytes=8, versions=True, cuda=False):
        self.parts, self.indices, self.kept = [], {}, []
        self.long_code = "<q" if long_bytes == 8 else "<i"
        self.versions, self.cuda = versions, cuda

    def pack(self, code, *values):
        self.parts.append(struct.pack(code, *values))

    def text(self, text):
        self.pack("<i", len(text))
        self.parts.append(text.encode("latin-1"))

    def opened(self, value, kind):
        """Writes the type and index of a value. Whether its content is to follow: the first time only."""
        self.pack("<i", kind)
        first = id(value) not in self.indices
        if first:
            self.kept.append(value)  # so that no other value gets its id
        self.pack("<i", self.indices.setdefault(id(value), len(self.indices) + 1))
        return first

    def class_name(self, name):
        if self.versions:
            self.text("V 1")
        self.text(name)

    def array_class(self, dtype, kind):
        element = ELEMENTS[dtype.str[1:]]
        if self.cuda:
            element = "Cuda" + (element if element != "Float" else "")
        return f"torch.{element}{kind}"

    def write(self, value):
        if value is None:
            self.pack("<i", 0)
        elif isinstance(value, bool):
            self.pack("<ii", 5, value)
        elif isinstance(value, int | float):
            self.pack("<id", 1, value)
        elif isinstance(value, str):
            self.pack("<i", 2)
            self.text(value)
        elif isinstance(value, dict | list):
            if self.opened(value, 3):
                items = value.items() if isinstance(value, dict) else enumerate(value, start=1)
                self.table(list(items))
        elif isinstance(value, Function):
            if value.kind == 6 or self.opened(value, value.kind):
                if value.kind == 6:
                    self.pack("<i", 6)
                self.text(value.code.decode("latin-1"))
                self.write({"upvalue": 1})
        elif isinstance(value, Module):
            if self.opened(value, 4):
                self.class_name(value.name)
                self.write(value.fields)
        elif isinstance(value, np.ndarray):
            strides = [stride // value.itemsize for stride in np.ascontiguousarray(value).strides]
            self.tensor(value, value.reshape(-1), value.shape, strides, 0)
        else:
            self.tensor(value, value.storage, value.sizes, value.strides, value.offset, value.name)

    def table(self, items):
        self.pack("<i", len(items))
        for key, value in items:
            self.write(key)
            self.write(value)

    def tensor(self, value, storage, sizes, strides, offset, name=None):
        if not self.opened(value, 4):
            return
        self.class_name(name or self.array_class(storage.dtype, "Tensor"))
        self.pack("<i", len(sizes))
        for number in (*sizes, *strides, offset + 1):
            self.pack(self.long_code, number)
        if self.opened(storage, 4):
            self.class_name(self.array_class(storage.dtype, "Storage"))
            self.pack(self.long_code, len(storage))
            self.parts.append(storage.tobytes())


def t7_bytes(value, **options):
    writer = Writer(**options)
    writer.write(value)
    return b"".join(writer.parts)


def write_t7(path, value, **options):
    path.write_bytes(t7_bytes(value, **options))
    return path


def array(tensor, dtype=np.float32):
    return tensor.detach().numpy().astype(dtype)


def layer(torch_layer, **more):
    """The Lua object of a PyTorch layer; layers without weights need their class's name, as `name`."""
    fields = {name: array(value) for name, value in torch_layer.state_dict().items() if value.dim()}
    name = {
        "Conv2d": "nn.SpatialConvolution",
        "ConvTranspose2d": "nn.SpatialFullConvolution",
        "BatchNorm2d": "nn.SpatialBatchNormalization",
        "Linear": "nn.Linear",
    }.get(type(torch_layer).__name__, f"nn.{type(torch_layer).__name__}")
    return Module(name, **fields, train=False, **more)


def sequential(layers):
    return Module("nn.Sequential", modules=list(layers), train=False)


def graph(nodes):
    """nn.gModule of (module, numbers of the nodes it takes its input from, from 0), in the order of the forward pass.
    As in nngraph, a node's data maps its inputs both ways, and its children contain the nodes it feeds."""
    datas, objects = [], []
    for module, inputs in nodes:
        mapindex = {number: datas[before] for number, before in enumerate(inputs, start=1)}
        data = {"mapindex": mapindex, "annotations": {}} | ({"module": module} if module is not None else {})
        datas.append(data)
        objects.append(Module("nngraph.Node", data=data, children=[], id=float(len(objects) + 1)))
    for number, (_, inputs) in enumerate(nodes):
        for before in inputs:
            objects[before].fields["children"].append(objects[number])
    return Module("nn.gModule", forwardnodes=objects, modules=[m for m, _ in nodes if m is not None])
