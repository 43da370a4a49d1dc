"""Caffe's network files, written byte for byte in the wire format of Protocol Buffers."""

import numpy as np


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def content(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def integer(number, value):
    return varint(number << 3) + varint(value)


def blob(values, old_shape=False, packed=True, double=False):
    """BlobProto of an array: its shape as today, or as num, channels, height and width with leading ones."""
    values = np.asarray(values, "<f8" if double else "<f4")
    if old_shape:
        four = (1,) * (4 - values.ndim) + values.shape
        shape = b"".join(integer(number, size) for number, size in enumerate(four, start=1))
    else:
        shape = content(7, content(1, b"".join(map(varint, values.shape))))
    number = 8 if double else 5
    if packed:
        return shape + content(number, values.tobytes())
    key = varint(number << 3 | (1 if double else 5))
    return shape + b"".join(key + value.tobytes() for value in values.reshape(-1))


def layer(name, kind, blobs, **options):
    """LayerParameter, with a field that readers must pass over."""
    data = content(1, name.encode()) + content(2, kind.encode()) + content(3, b"bottom")
    return content(100, data + b"".join(content(7, blob(values, **options)) for values in blobs))


def old_layer(name, kind, blobs, **options):
    """V1LayerParameter; `kind` is a number."""
    data = content(4, name.encode()) + integer(5, kind)
    return content(2, data + b"".join(content(6, blob(values, **options)) for values in blobs))


def network(*layers):
    return content(1, b"LtoAB") + b"".join(layers)
