"""Checkpoints as files: written whole or not at all, and read only where every byte is as it was written."""

import os
import zipfile
from pathlib import Path

import torch

from lightning_modules.pretrained.archives import is_inflated


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or not a whole one."""


def write_checkpoint(checkpoint, path):
    """A file that a power cut leaves alone once this returns. OSError where it cannot be written, without the file."""
    try:
        with open(path, "wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        Path(path).unlink(missing_ok=True)
        # PyTorch's writer turns an OSError of its file into a RuntimeError about positions
        cause = error.__context__ if isinstance(error, RuntimeError) else error
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, str(path)) from None
        raise


def sync_folder(folder):
    """Has the names in a folder written to the disk, as a rename is not by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def damaged_part(path):
    """Name of the first part of the file whose bytes are not those that were written, or None.

    PyTorch writes a CRC-32 for each tensor and does not look at it when it loads: of single flipped bits, two of three
    gave other weights without a word.
    """
    with zipfile.ZipFile(path) as parts:
        return parts.testzip()


def read_checkpoint(path):
    """The content of a checkpoint on the CPU: plain containers and tensors only, or CheckpointError."""
    try:
        if is_inflated(path):
            raise CheckpointError(f"{path} is not a readable checkpoint: it claims to hold more bytes than it has")
        damaged = damaged_part(path)
        if damaged is not None:
            raise CheckpointError(f"{path} is not a readable checkpoint: {damaged} in it has changed since")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint {path}") from None
    except Exception as error:  # torch raises whatever unpickling a broken file happens to end in
        raise CheckpointError(f"{path} is not a readable checkpoint ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "config", "iteration"} <= checkpoint.keys():
        raise CheckpointError(f"{path} holds no chromafill checkpoint: state_dict, config and iteration are expected")
    return checkpoint


def newest_valid(folder):
    """(path, content, [why newer ones were passed over]) of the checkpoint to go on from; None, None where none is.

    The best one comes last: with the same iteration as `last.ckpt` it is written before it, and alone says nothing of
    what came later.
    """
    paths, reasons = [Path(folder, f"{name}.ckpt") for name in ("last", "previous", "best")], []
    if not any(path.exists() for path in paths):
        return None, None, []
    for path in paths:
        try:
            return path, read_checkpoint(path), reasons
        except CheckpointError as error:
            reasons.append(str(error))
    return None, None, reasons
