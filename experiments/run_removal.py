"""Taking run folders away for good, and nothing else."""

import fnmatch
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from experiments.run_index import is_run

LEFT_BY_RUNS = ("run.json", "config.yaml", "metrics.csv", "checkpoints", "samples", "evaluation", "neighbours", "logs")
LEFT_BY_RUNS += ("wandb", "wandb_id", "mlflow_id", "tensorboard")
LEFT_BY_RUNS += ("train.log", "train.lock", "nonfinite_rank*.pt", "*.tmp")


@dataclass(frozen=True)
class Removal:
    """A run to delete: how much it is, and why it may not be (None: it may)."""

    folder: Path
    files: int
    size: int  # bytes
    refused: str | None


def planned(run):
    """What deleting a run would take, without doing it."""
    files, size = measured(run.folder)
    return Removal(run.folder, files, size, refusal(run))


def refusal(run):
    """Why a run is not deleted, or None."""
    if run.folder.is_symlink():
        return "a link, not a folder"
    if not is_run(run.folder):
        return "not a run folder: it has no run.json"
    if run.status == "running":
        return "still running"
    foreign = [name for name in sorted(os.listdir(run.folder)) if not is_of_a_run(name)]
    if foreign:
        return f"holds {foreign[0]}, which no run wrote"
    return None


def is_of_a_run(name):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_BY_RUNS)


def measured(folder):
    """(files, bytes) below a folder; a link counts as itself."""
    sizes = [
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(folder, followlinks=False)
        for name in names
    ]
    return len(sizes), sum(sizes)


def delete(folder):
    """Deletes a folder, which first gets a name under which nobody takes half of it for a run. Links are not followed:
    shutil.rmtree removes the link itself."""
    leaving = folder.with_name(f".deleted-{folder.name}-{secrets.token_hex(4)}")
    os.rename(folder, leaving)
    shutil.rmtree(leaving)
