"""What the damage starts from: small sound files of every format, and pickles that would run a command."""

import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as safetensors_bytes

SIDE = 40
SOUND = 18  # sound files beside each half dozen that run a command


def picture(mode="RGB"):
    """Four gradients, (SIDE, SIDE + 8)."""
    rows, columns = np.mgrid[0:SIDE, 0 : SIDE + 8]
    planes = [rows * 5, columns * 5, 255 - rows * 3, 55 + columns * 4]
    rgba = Image.fromarray(np.stack(planes, axis=-1).astype(np.uint8))
    return rgba if mode == "RGBA" else rgba.convert("RGB").convert(mode)


def encoded(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def image_seeds():
    """[bytes], in every format of datamodules.decoding.FORMATS."""
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "Maker"})
    deep = Image.fromarray(np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE))
    real = Image.fromarray(np.linspace(0, 1, SIDE * SIDE).astype(np.float32).reshape(SIDE, SIDE))
    rgb, rgba, plain = picture(), picture("RGBA"), picture("P")
    frames = {"save_all": True, "append_images": [picture("P").transpose(Image.Transpose.ROTATE_180)]}
    return [
        encoded(rgb, "JPEG", exif=exif, icc_profile=bytes(300)),
        encoded(rgb, "JPEG", progressive=True),
        encoded(picture("CMYK"), "JPEG"),
        encoded(picture("L"), "JPEG"),
        encoded(rgb, "PNG", exif=exif, icc_profile=bytes(300)),
        encoded(rgba, "PNG"),
        encoded(plain, "PNG", transparency=0),
        encoded(picture("1"), "PNG"),
        encoded(deep, "PNG"),
        encoded(rgb, "WEBP", exif=exif),
        encoded(rgba, "WEBP", lossless=True),
        encoded(rgb, "TIFF", exif=exif),
        *(encoded(rgb, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
        encoded(deep, "TIFF"),
        encoded(real, "TIFF", compression="tiff_lzw"),
        encoded(rgb, "BMP"),
        encoded(plain, "BMP"),
        encoded(plain, "GIF", **frames),
        encoded(rgb, "PPM"),
        encoded(picture("1"), "PPM"),
        encoded(rgb, "JPEG2000"),
        encoded(rgba, "AVIF", exif=exif),
    ]


class Command:
    """A pickle of it runs a command where it is loaded: one that leaves a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def state():
    """{key: tensor} of two small layers."""
    numbers = torch.arange(48.0)
    return {"0.weight": numbers.view(4, 3, 2, 2) / 48, "0.bias": numbers[:4], "1.steps": torch.tensor(7)}


def saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def zipped(pickled):
    """A file as torch.save makes it, with another pickle inside."""
    import zipfile

    source, file = zipfile.ZipFile(io.BytesIO(saved(state()))), io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            target.writestr(name, pickled if name.endswith("/data.pkl") else source.read(name))
    return file.getvalue()


def commands(marker):
    """[bytes] of files that run a command where pickles are trusted."""
    command = Command(marker)
    array = io.BytesIO()
    np.save(array, np.array([command], dtype=object), allow_pickle=True)
    return [
        pickle.dumps(command, protocol=2),  # the one that PyTorch writes
        zipped(pickle.dumps(command, protocol=2)),
        zipped(pickle.dumps({"state_dict": {}, "config": {"model": command}, "iteration": 1}, protocol=2)),
        saved({"state_dict": {"0.weight": command}}),
        saved({"state_dict": {"0.weight": command}}, _use_new_zipfile_serialization=False),
        array.getvalue(),
    ]


def checkpoint_seeds(marker):
    config = {"model": {"_target_": "lightning_modules.colorization.colorful.Colorful", "width": 2}}
    own = {"state_dict": state(), "config": config, "iteration": 3, "loops": {"done": [1, 2.5, None, "x"]}}
    return [*[saved(own)] * SOUND, *commands(marker)]


def pth_seeds(marker):
    bare = saved(state())
    old = saved(state(), _use_new_zipfile_serialization=False)
    return [*[bare, saved({"model": state()}), old] * (SOUND // 3), *commands(marker)]


def safetensors_seeds(marker):
    return [safetensors_bytes(state())]


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def part(number, content):
    """A field of Protocol Buffers with a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def caffemodel_seeds(marker):
    """Networks of two layers as NetParameter writes them since 2015, and before."""
    values = np.arange(24, dtype="<f4").tobytes()
    new = part(7, part(1, b"".join(map(varint, (4, 3, 2, 1))))) + part(5, values)
    old = b"".join(varint(n << 3) + varint(size) for n, size in enumerate((4, 3, 2, 1), 1)) + part(5, values)
    return [
        b"".join(part(100, part(1, b"conv%d" % n) + part(2, b"Convolution") + part(7, new)) for n in range(2)),
        b"".join(part(2, part(4, b"conv%d" % n) + b"\x28\x04" + part(6, old)) for n in range(2)),
    ]


def torch7_seeds(marker):
    """A table {weight = a Float tensor of 2 x 3, nested = {..., itself}, name = "conv"}, with a Lua function beside; a
    container with a convolution whose weight is flat."""

    def text(value):
        return struct.pack("<i", len(value)) + value

    def number(value):
        return struct.pack("<id", 1, value)

    def table(index, entries):
        rows = (struct.pack("<i", 2) + text(key) if isinstance(key, bytes) else number(key) for key in entries)
        return struct.pack("<iii", 3, index, len(entries)) + b"".join(map(bytes.__add__, rows, entries.values()))

    def object_of(index, name, content):
        return struct.pack("<ii", 4, index) + text(b"V 1") + text(name) + content

    def tensor(index, *sizes):
        storage = np.arange(np.prod(sizes), dtype="<f4")
        strides = [stride // 4 for stride in storage.reshape(sizes).strides]
        shape = struct.pack(f"<i{2 * len(sizes) + 1}q", len(sizes), *sizes, *strides, 1)
        content = struct.pack("<q", len(storage)) + storage.tobytes()
        return object_of(index, b"torch.FloatTensor", shape + object_of(index + 1, b"torch.FloatStorage", content))

    code = text(b"\x1bLJ os.execute('touch %s')" % os.fsencode(marker))
    entries = {
        b"weight": tensor(2, 2, 3),
        b"nested": struct.pack("<iii", 3, 4, 1) + number(1.0) + struct.pack("<ii", 3, 1),
        b"name": struct.pack("<i", 2) + text(b"conv"),
        b"run": struct.pack("<ii", 8, 5) + code + struct.pack("<i", 0),
    }
    kernel = {b"nInputPlane": number(3.0), b"kH": number(1.0), b"kW": number(2.0)}
    fields = table(5, kernel | {b"weight": tensor(6, 1, 6), b"running_std": tensor(8, 2), b"eps": number(1e-3)})
    modules = table(3, {1.0: object_of(4, b"nn.SpatialConvolutionMM", fields)})
    return [table(1, entries), object_of(1, b"nn.Sequential", table(2, {b"modules": modules}))]


def seeds_of(reader, marker):
    """[bytes] of the files that a reader of hostile_child.READERS is given, sound and malicious."""
    makers = {
        "image": lambda _: image_seeds(),
        "mask": lambda _: image_seeds(),
        "checkpoint": checkpoint_seeds,
        "pth": pth_seeds,
        "safetensors": safetensors_seeds,
        "caffemodel": caffemodel_seeds,
        "torch7": torch7_seeds,
    }
    return makers[reader](Path(marker))
