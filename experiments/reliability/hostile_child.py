"""A process that reads one damaged file after another, so that one that kills it is seen: `python -m` this module."""

import json
import random
import resource
import signal
import sys
from pathlib import Path

import numpy as np

from datamodules.decoding import read_image, read_mask, read_photo
from datamodules.errors import UnreadableImage
from experiments.reliability.hostile_bombs import bombs
from experiments.reliability.hostile_seeds import seeds_of
from experiments.reliability.peak import peak_mib
from lightning_modules.pretrained.caffemodel import caffe_tensors
from lightning_modules.pretrained.checkpoint import CheckpointError, read_checkpoint
from lightning_modules.pretrained.pth import pth_tensors, safetensors_tensors
from lightning_modules.pretrained.torch7 import t7_tensors

SECONDS = 20  # for one file
BOUND = {"image": 1600, "mask": 1600}  # MiB above the start: of an image with Pillow's limit of 179 megapixels
USUAL_BOUND = 256  # MiB above the start, of weights of some kilobytes, and of images beyond that limit
MIB = 1 << 20
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000)
LONG_EXTREMES = (1 << 62, (1 << 64) - 1, 0x7FF << 52, 0xFFF8 << 48, 0xC << 60)  # as doubles: 2, nan, inf, nan, -2


def read_picture(path):
    """Both ways of reading a photograph, which must agree on its size."""
    image = read_image(path)
    assert image.dtype == read_photo(path).image.dtype and image.shape == read_photo(path).image.shape
    assert image.dim() == 3 and len(image) == 3 and image.numel() > 0


def read_hole(path):
    mask = read_mask(path)
    assert mask.dim() == 3 and len(mask) == 1 and set(np.unique(mask.numpy())) <= {0.0, 1.0}


READERS = {  # name: (the function, what it may raise)
    "image": (read_picture, UnreadableImage),
    "mask": (read_hole, UnreadableImage),
    "bomb": (read_picture, UnreadableImage),
    "checkpoint": (read_checkpoint, CheckpointError),
    "pth": (pth_tensors, CheckpointError),
    "safetensors": (safetensors_tensors, CheckpointError),
    "caffemodel": (caffe_tensors, CheckpointError),
    "torch7": (t7_tensors, CheckpointError),
}


def cases(reader, seed, marker):
    """The function from a case's number to its bytes."""
    if reader == "bomb":
        return list(bombs().values()).__getitem__
    seeds = seeds_of(reader, marker)
    return lambda number: damaged(seeds, seed, number)


def damaged(seeds, seed, number):
    """The bytes of case `number`: one of the seeds with one to four damages."""
    draw = random.Random(f"{seed} {number}")
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(data) + 1) if draw.random() < 0.5 else min(draw.randrange(64), len(data))
        length = draw.choice((1, 2, 4, 16, 64, 400))
        kind = draw.randrange(8)
        if kind <= 1:  # flipped bits
            for _ in range(draw.choice((1, 2, 8))):
                if data:
                    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        elif kind == 2:  # a cut
            del data[draw.randrange(len(data) + 1) :]
        elif kind == 3:  # a number that is too large, too small, or negative
            width, order = draw.choice((1, 2, 4, 8)), draw.choice(("little", "big"))
            value = draw.choice(LONG_EXTREMES if width == 8 else EXTREMES) % (1 << 8 * width)
            data[at : at + width] = value.to_bytes(width, order)
        elif kind == 4:  # the head of another file
            data[:length] = draw.choice(seeds)[:length]
        elif kind == 5:  # a part that is missing
            del data[at : at + length]
        elif kind == 6:  # a part of another file, or the same again
            other = draw.choice(seeds)
            begin = draw.randrange(len(other))
            data[at:at] = other[begin : begin + length]
        else:
            data[at : at + length] = draw.randbytes(length) if draw.random() < 0.5 else bytes(length)
    return bytes(data)


def outcome(read, allowed, path):
    """'read', 'refused', or what is wrong."""
    try:
        read(path)
    except allowed as error:
        return "refused" if "\n" not in str(error).strip() else f"more than one line: {error!r}"
    except Exception as error:  # whatever a damaged file makes a reader raise is what is looked for
        return f"{type(error).__name__}: {error}"
    return "read"


def main(reader, seed, first, last, folder):
    """Reads the cases first to last; for each one prints its number before, and its outcome behind, as JSON."""
    (read, allowed), marker, path = READERS[reader], Path(folder, "marker"), Path(folder, f"case.{reader}")
    bound, case = BOUND.get(reader, USUAL_BOUND), cases(reader, seed, marker)
    path.write_bytes(seeds_of("image" if reader == "bomb" else reader, marker)[0])
    outcome(read, allowed, path)  # what is imported late
    before, limit = peak_mib(), resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_DATA, (int((before + 4 * bound) * MIB), limit))
    for number in range(first, last):
        print(json.dumps(number), flush=True)
        path.write_bytes(case(number))
        signal.alarm(SECONDS)  # kills the process
        found = outcome(read, allowed, path)
        signal.alarm(0)
        if marker.exists():
            found = "it ran a command"
        if peak_mib() > before + bound:
            found = f"it took {peak_mib() - before:.0f} MiB"
        print(json.dumps(found), flush=True)
        if found not in ("read", "refused"):
            break


if __name__ == "__main__":
    reader, seed, first, last, folder = sys.argv[1:]
    main(reader, int(seed), int(first), int(last), folder)
