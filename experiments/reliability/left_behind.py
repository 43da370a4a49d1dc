"""What two runs left in their folders, compared bit for bit."""

import csv
import io
import json
from pathlib import Path

import torch

from lightning_modules.pretrained.checkpoint import CheckpointError, read_checkpoint

OF_THE_CLOCK = "iterations_per_second"
NOT_COMPARED = ("config", "loops")  # the folder's name; Lightning's counts of restarts


def differences(first, second):
    """What differs between two run folders, one line each: weights, EMA weights, states of optimisers and callbacks,
    counters, metrics.csv but for the speed, sample grids, the record's ending, and files that should not be there."""
    first, second = Path(first), Path(second)
    found = []
    for name in ("last", "best"):
        contents = [checkpoint_of(folder, name) for folder in (first, second)]
        found += [f"{name}.ckpt: {place}" for place in differing(*contents)]
    found += [f"metrics.csv: {place}" for place in differing(metrics(first), metrics(second))]
    found += [f"samples: {place}" for place in differing(samples(first), samples(second))]
    found += [f"run.json: {place}" for place in differing(ending(first), ending(second))]
    return found + [f"left lying: {path.name}" for folder in (first, second) for path in folder.rglob("*.tmp")]


def checkpoint_of(folder, name):
    """The content of a checkpoint that a run's course decides, or why there is none."""
    try:
        checkpoint = read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")
    except CheckpointError as error:
        return {"file": str(error).replace(str(folder), "")}
    return {key: value for key, value in checkpoint.items() if key not in NOT_COMPARED}


def metrics(folder):
    """{row number: {column: text}} of metrics.csv without the column that measures time."""
    try:
        rows = csv.DictReader(io.StringIO((folder / "metrics.csv").read_text()))
    except OSError as error:
        return {"file": error.strerror}
    return {f"row {number}": without_clock(row) for number, row in enumerate(rows, start=1)}


def samples(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "samples").iterdir())}


def ending(folder):
    """How run.json says that the run ended."""
    try:
        record = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        return {"file": type(error).__name__}
    return {key: record.get(key) for key in ("status", "iteration", "scores")}


def without_clock(values):
    return {key: value for key, value in values.items() if key != OF_THE_CLOCK}


def differing(first, second, place=""):
    """Places, as dotted keys, at which two nested containers are not the same bits."""
    if type(first) is not type(second):
        return [place]
    if isinstance(first, dict):
        first, second = without_clock(first), without_clock(second)
        alone = [f"{place}.{key}".lstrip(".") + " is in one of them" for key in first.keys() ^ second.keys()]
        both = [key for key in first if key in second]
        return alone + [each for key in both for each in differing(first[key], second[key], f"{place}.{key}")]
    if isinstance(first, list | tuple):
        if len(first) != len(second):
            return [place.lstrip(".")]
        pairs = zip(first, second, strict=True)
        return [each for key, pair in enumerate(pairs) for each in differing(*pair, f"{place}.{key}")]
    same = same_bits(first, second) if isinstance(first, torch.Tensor) else first == second
    return [] if same else [place.lstrip(".")]


def same_bits(first, second):
    """Also where a NaN is, and for the two zeros."""
    if (first.dtype, first.shape) != (second.dtype, second.shape):
        return False
    return torch.equal(*(tensor.reshape(-1).contiguous().view(torch.uint8) for tensor in (first, second)))
