"""Reading the checkpoints that training writes."""

from pathlib import Path

import torch


class CheckpointError(ValueError):
    """A file that is not a checkpoint, or not a whole one."""


def read_checkpoint(path):
    """The content of a checkpoint on the CPU: plain containers and tensors only, or CheckpointError."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint {path}") from None
    except Exception as error:  # torch raises whatever unpickling a broken file happens to end in
        raise CheckpointError(f"{path} is not a readable checkpoint ({type(error).__name__})") from error
    if not isinstance(checkpoint, dict) or not {"state_dict", "config", "iteration"} <= checkpoint.keys():
        raise CheckpointError(f"{path} holds no chromafill checkpoint: state_dict, config and iteration are expected")
    return checkpoint


def newest_valid(folder):
    """(path of the newest checkpoint that can be read or None, [why each newer one was passed over])."""
    reasons = []
    for path in sorted(Path(folder).glob("*.ckpt"), key=lambda p: p.stat().st_mtime_ns, reverse=True):
        try:
            read_checkpoint(path)
        except CheckpointError as error:
            reasons.append(str(error))
        else:
            return path, reasons
    return None, reasons
