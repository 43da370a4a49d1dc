"""What a run writes down while it trains, all of it against `iteration`."""

import time

import lightning.pytorch as pl
import torch

from lightning_modules.ops.distributed import average_over_ranks_


class Record(pl.Callback):
    """Sends loss terms (means over ranks), learning rates and speed to the loggers every so many iterations.

    A network that does not learn in an iteration has no terms there, whatever it had before: those of a resumed run are
    the same.
    """

    def __init__(self, every):
        self.every = every
        self.clock, self.clock_iteration = None, 0

    def on_train_start(self, trainer, module):
        self.clock, self.clock_iteration = time.perf_counter(), module.iteration

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        module.terms.clear()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if module.iteration % self.every or not module.terms:
            return
        names = sorted(module.terms)
        values = torch.stack([module.terms[name].float() for name in names])
        average_over_ranks_([values])
        metrics = dict(zip(names, values.tolist(), strict=True))
        for number, optimizer in enumerate(trainer.optimizers):
            suffix = f"_{number}" if len(trainer.optimizers) > 1 else ""
            metrics[f"lr{suffix}"] = optimizer.param_groups[0]["lr"]
        now = time.perf_counter()
        metrics["iterations_per_second"] = (module.iteration - self.clock_iteration) / (now - self.clock)
        self.clock, self.clock_iteration = now, module.iteration
        self.send(trainer, metrics, module.iteration)

    def on_validation_end(self, trainer, module):
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self.send(trainer, metrics, module.iteration)
        self.clock, self.clock_iteration = time.perf_counter(), module.iteration

    def send(self, trainer, metrics, iteration):
        for logger in trainer.loggers:
            logger.log_metrics(metrics, iteration)


class StopAtIteration(pl.Callback):
    """Ends a run after `iterations` training steps, with a last validation."""

    def __init__(self, iterations):
        self.iterations = iterations

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if module.iteration >= self.iterations:
            trainer.should_stop = True
