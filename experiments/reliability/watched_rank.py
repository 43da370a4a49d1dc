"""`chromafill train` with a look at each of its processes, or with a fault planted in one of them.

python -m experiments.reliability.watched_rank TASK key=value ..., where TASK is JSON with any of

weights  each rank leaves before.pt (the first rank alone) and rank<r>.pt in this folder: its state at both ends
frozen   batch norm uses its running statistics, so that a step looks at nothing across the batch of a rank
fault    [KIND, RANK, ITERATION, MARK]: kill (SIGKILL), freeze (SIGSTOP), raise (in a step), data (in reading an image)
         or hang; MARK is a file made just before
silence  seconds after which a rank of which nothing is heard is lost
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from datamodules.base import ImageDataset
from experiments.cli import main
from experiments.heartbeat import Heartbeat
from lightning_modules.base import PaperModule
from lightning_modules.ops.distributed import whole

HOURS = 10_000  # seconds


class Planted(Exception):
    """What a fault of the kinds raise and data raises."""


def plant(kind, mark):
    """Does the fault, in the process and at the time that it is for."""
    Path(mark).touch()
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    if kind == "hang":
        time.sleep(HOURS)
    raise Planted(f"planted by a test of faults ({kind})")


def before_each_step(module, step, *, weights=None, frozen=False, fault=None, silence=None):
    """Wraps a module's on_train_batch_start(batch, batch_idx)."""
    if weights and module.iteration == 0:
        state = whole(module.state_dict())
        if module.global_rank == 0:
            torch.save(state, Path(weights, "before.pt"))
    if frozen:
        for layer in module.modules():
            if isinstance(layer, _BatchNorm) and layer.track_running_stats:
                layer.eval()
    step()
    if fault:
        kind, rank, iteration, mark = fault
        if (rank, iteration) == (module.global_rank, module.iteration):
            if kind == "data":
                ImageDataset.__getitem__ = lambda dataset, key: plant(kind, mark)
            else:
                plant(kind, mark)


def watch(task):
    """Has every paper of this process do what the task says."""
    if "silence" in task:
        Heartbeat.every, Heartbeat.silence = task["silence"] / 9, task["silence"]
    begin, end = PaperModule.on_train_batch_start, PaperModule.on_train_end

    def on_train_batch_start(module, batch, batch_idx):
        before_each_step(module, lambda: begin(module, batch, batch_idx), **task)

    def on_train_end(module):
        end(module)
        if "weights" in task:
            torch.save(whole(module.state_dict()), Path(task["weights"], f"rank{module.global_rank}.pt"))

    PaperModule.on_train_batch_start, PaperModule.on_train_end = on_train_batch_start, on_train_end


if __name__ == "__main__":
    watch(json.loads(sys.argv[1]))
    sys.exit(main(["train", *sys.argv[2:]]))
