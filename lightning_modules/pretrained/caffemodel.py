"""Reading Caffe's network files (.caffemodel): NetParameter in the wire format of Protocol Buffers.

Fields that hold weights, by number, as in caffe.proto: NetParameter has layer = 100 (LayerParameter: name 1, type 2,
blobs 7) or, before 2015, layers = 2 (V1LayerParameter: name 4, type 5, blobs 6). BlobProto has shape = 7 (dim 1) or
num, channels, height, width = 1 to 4, and data = 5 or double_data = 8. All others are passed over.
"""

import math

import numpy as np
import torch

from lightning_modules.pretrained.checkpoint import CheckpointError

VARINT, EIGHT_BYTES, CONTENT, FOUR_BYTES = 0, 1, 2, 5  # wire types; those of groups, 3 and 4, have no use in Caffe
MOST_FIELDS = 5_000  # of a message; the numbers of a list that is not packed count as one
MOST_DIMENSIONS = 32  # of a blob, as in Caffe
OLD_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}  # V1LayerParameter.LayerType
WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct", "Scale")  # layers whose blobs are weight and bias


def read_caffemodel(path):
    """{layer: (type, [float32 tensors])} of the layers with weights. CheckpointError where the file breaks off."""
    try:
        content = memoryview(np.memmap(path, np.uint8, mode="r"))
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    try:
        layers = [layer(message, 1, 2, 7) for message in messages(content, 100)]
        layers += [layer(message, 4, 5, 6) for message in messages(content, 2)]
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not a whole Caffe network: {error}") from None
    weighted = {name: (kind, blobs) for name, kind, blobs in layers if blobs}
    if not weighted:
        raise CheckpointError(f"{path} holds no Caffe network: there are no layers with weights")
    return weighted


def caffe_tensors(path):
    """{layer.name: tensor} as PyTorch names them: weight, bias, and of batch norm running_mean and running_var."""
    tensors = {}
    for layer_name, (kind, blobs) in read_caffemodel(path).items():
        if kind == "BatchNorm" and len(blobs) == 3 and blobs[2].numel() == 1:
            factor = blobs[2].item()  # how many batches were added up, with decay
            scale = 1 / factor if factor else 1.0
            named = {"running_mean": blobs[0] * scale, "running_var": blobs[1] * scale}
        elif kind in WEIGHTED and len(blobs) <= 2:
            named = {name: unpadded(blob, kind, name) for name, blob in zip(("weight", "bias"), blobs, strict=False)}
        else:
            named = {f"blob{number}": blob for number, blob in enumerate(blobs)}
        tensors |= {f"{layer_name}.{name}": tensor for name, tensor in named.items()}
    return tensors


def unpadded(blob, kind, name):
    """A blob without the leading ones of old files, in which every blob has four dimensions."""
    dimensions = 1 if name == "bias" else {"InnerProduct": 2, "Scale": 1}.get(kind, 4)
    extra = blob.dim() - dimensions
    return blob.flatten(0, extra) if extra > 0 and blob.shape[:extra].numel() == 1 else blob


def fields(content):
    """(number, wire type, value) of each field of a message: an int, or bytes."""
    position, count = 0, 0
    while position < len(content):
        count += 1
        if count > MOST_FIELDS:
            raise CheckpointError(f"a message has more than {MOST_FIELDS} fields")
        start = position
        key, position = varint(content, position)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, position = varint(content, position)
            yield number, wire, value
            continue
        if wire in (FOUR_BYTES, EIGHT_BYTES):
            numbers = run(content[start:], position - start, 4 if wire == FOUR_BYTES else 8)
            yield number, wire, numbers.tobytes()
            position = start + len(numbers) * (position - start) + numbers.size
            continue
        if wire != CONTENT:
            raise CheckpointError(f"a field has wire type {wire}, which Caffe does not write")
        length, position = varint(content, position)
        if length > len(content) - position:
            raise CheckpointError(f"a field of {length} bytes begins where {len(content) - position} are left")
        yield number, wire, content[position : position + length]
        position += length


def run(content, key_bytes, width):
    """(N, width) bytes of the numbers at the start of `content`, each behind the same key: an unpacked list."""
    whole = len(content) // (key_bytes + width) * (key_bytes + width)
    rows = np.frombuffer(content[:whole], np.uint8).reshape(-1, key_bytes + width)
    if len(rows) == 0:
        raise CheckpointError("it ends inside a number")
    end, step = 1, 1
    while end < len(rows):
        same = (rows[end : end + step, :key_bytes] == rows[0, :key_bytes]).all(axis=1)
        if not same.all():
            end += int(same.argmin())
            break
        end, step = end + len(same), 2 * step
    return rows[:end, key_bytes:]


def varint(content, position):
    """(an integer of 7 bits a byte, the position after it)."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            raise CheckpointError("it ends inside an integer")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise CheckpointError("an integer has more than 10 bytes")


def messages(content, number):
    """The contents of the fields of a number."""
    return [value for found, wire, value in fields(content) if found == number and wire == CONTENT]


def layer(content, name_field, type_field, blobs_field):
    """(name, type, [tensors]) of a layer."""
    name, kind, blobs = "", "", []
    for number, wire, value in fields(content):
        if number == name_field and wire == CONTENT:
            name = bytes(value).decode("utf-8", "replace")
        elif number == type_field:
            kind = bytes(value).decode("utf-8", "replace") if wire == CONTENT else OLD_TYPES.get(value, str(value))
        elif number == blobs_field and wire == CONTENT:
            blobs.append(blob(value))
    return name, kind, blobs


def blob(content):
    """A BlobProto as a float32 tensor."""
    shape, old_shape, data = None, {}, []
    for number, wire, value in fields(content):
        if number == 7 and wire == CONTENT:
            shape = dimensions(value)
        elif number in (1, 2, 3, 4) and wire == VARINT:
            old_shape[number] = value
        elif number in (5, 8) and wire != VARINT:
            width = 4 if number == 5 else 8
            if len(value) % width:
                raise CheckpointError("it ends inside a number")
            data.append(np.frombuffer(value, f"<f{width}"))
    if shape is None:
        shape = [old_shape.get(number, 1) for number in (1, 2, 3, 4)]
    count = sum(map(len, data))
    if math.prod(shape) != count:
        raise CheckpointError(f"a blob of shape {shape} holds {count} numbers")
    values = np.concatenate([part.astype(np.float32) for part in data] or [np.empty(0, np.float32)])
    return torch.from_numpy(values).view(shape)


def dimensions(content):
    """The numbers of a BlobShape, packed or not."""
    found = []
    for number, wire, value in fields(content):
        if number == 1 and wire == VARINT:
            found.append(value)
        elif number == 1 and wire == CONTENT:
            position = 0
            while position < len(value) and len(found) <= MOST_DIMENSIONS:
                length, position = varint(value, position)
                found.append(length)
        if len(found) > MOST_DIMENSIONS:
            raise CheckpointError(f"a blob has more than {MOST_DIMENSIONS} dimensions")
    return found
