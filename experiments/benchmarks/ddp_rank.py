"""One of the processes of `chromafill benchmark ddp`: torchrun ... -m experiments.benchmarks.ddp_rank TASK

TASK is JSON: `papers` {name: overrides of `chromafill train`}, `iterations`, `rounds` and `output`, the file in which
the first rank leaves {paper: {strategy: {seconds, collectives, values}}}, all of one iteration.
"""

import json
import math
import os
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

import lightning.pytorch as pl
from lightning.pytorch.strategies import DDPStrategy
from torch.profiler import ProfilerActivity, profile

from experiments.cli import quiet
from experiments.compose import compose_config
from experiments.strategy import AveragedGradients
from experiments.verbs.train import build_both
from lightning_modules import base

STRATEGIES = {  # name: (strategy, whether `update` leaves the gradients to it)
    "AveragedGradients": (AveragedGradients, False),
    "DDP, find_unused_parameters": (lambda: DDPStrategy(find_unused_parameters=True), True),
}
WARM = 2  # first iterations, which are not counted


class Clock(pl.Callback):
    """Seconds of every iteration, without the waiting for its batch."""

    def __init__(self):
        self.seconds = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.began = time.perf_counter()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.seconds.append(time.perf_counter() - self.began)


class Traffic(pl.Callback):
    """The collectives of the iteration behind the warm ones: {operation of gloo: numbers of values}."""

    def __init__(self):
        self.profiler, self.sizes = profile(activities=[ProfilerActivity.CPU], record_shapes=True), []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == WARM:
            self.profiler.start()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if batch_idx == WARM:
            self.profiler.stop()
            events = [event for event in self.profiler.events() if event.name.startswith("gloo:")]
            self.sizes = [sum(math.prod(shape) for shape in event.input_shapes) for event in events]


@contextmanager
def update_averages_loss_alone():
    """Inside, PaperModule.update finds its gradients averaged already."""
    average = base.average_over_ranks_
    base.average_over_ranks_ = lambda tensors: average(tensors[-1:])
    try:
        yield
    finally:
        base.average_over_ranks_ = average


def fit(overrides, strategy, iterations, callback):
    """A training of a fresh network on this rank."""
    data, module = build_both(compose_config([*overrides, f"iterations={iterations}"]))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=int(os.environ["LOCAL_WORLD_SIZE"]),
        strategy=strategy,
        callbacks=[callback],
        max_epochs=1,
        limit_val_batches=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    return callback


def measured(overrides, iterations, rounds):
    """{strategy: figures} of one paper; the strategies take turns."""
    seconds, sizes = {name: [] for name in STRATEGIES}, {}
    for turn in range(rounds + 1):
        for name, (strategy, averages) in STRATEGIES.items():
            with update_averages_loss_alone() if averages else nullcontext():
                if turn == 0:
                    sizes[name] = fit(overrides, strategy(), WARM + 1, Traffic()).sizes
                else:
                    seconds[name] += fit(overrides, strategy(), WARM + iterations, Clock()).seconds[WARM:]
    return {
        name: {"seconds": median(seconds[name]), "collectives": len(sizes[name]), "values": sum(sizes[name])}
        for name in STRATEGIES
    }


def main(task):
    quiet()
    figures = {
        paper: measured(overrides, task["iterations"], task["rounds"]) for paper, overrides in task["papers"].items()
    }
    if os.environ["RANK"] == "0":
        Path(task["output"]).write_text(json.dumps(figures))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
