"""Taking run folders away for good, and nothing else."""

import fcntl
import fnmatch
import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import UserError
from experiments.run_index import LEAVING, is_run

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


def planned(run, trials=False):
    """What deleting a run would take, without doing it. trials: whether those of studies may go."""
    files, size = measured(run.folder)
    return Removal(run.folder, files, size, refusal(run, trials))


def refusal(run, trials):
    """Why a run is not deleted, or None."""
    if run.folder.is_symlink():
        return "a link, not a folder"
    if not is_run(run.folder):
        return "not a run folder: it has no run.json"
    if run.status == "running":
        return "still running"
    with locked(run.folder) as free:
        if not free:
            return "held by a worker of a study, whose training is about to go on"
    study = study_of(run.folder)
    if study is not None and not trials:
        return f"a trial of the study {study}, whose report needs it; --trials deletes it too"
    foreign = [name for name in sorted(os.listdir(run.folder)) if not is_of_a_run(name)]
    if foreign:
        return f"holds {foreign[0]}, which no run wrote"
    return None


def study_of(folder):
    """Name of the study that a run is a trial of, or None."""
    runs = folder.resolve().parent
    return runs.parent.name if runs.name == "runs" and (runs.parent / "study.json").is_file() else None


@contextmanager
def locked(folder):
    """Holds the lock that a study's trainings hold on their run folder. -> whether it was free; it is, where no study
    has trained there."""
    try:
        file = (folder / "train.lock").open("r+")
    except FileNotFoundError:
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


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
    shutil.rmtree removes the link itself. UserError where it cannot be done, with what is left and where."""
    leaving = folder.with_name(f"{LEAVING}{folder.name}-{secrets.token_hex(4)}")
    with locked(folder) as free:
        if not free:
            raise UserError(f"{folder} is not deleted: a worker of a study has begun to train in it")
        try:
            os.rename(folder, leaving)
            shutil.rmtree(leaving)
        except OSError as error:
            left = leaving if leaving.exists() else folder
            raise UserError(f"{folder} cannot be deleted, {left} is left: {error.strerror}") from None
