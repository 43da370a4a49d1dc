"""Checkpoints counted in iterations, written to a temporary name and renamed."""

import os
from pathlib import Path

import lightning.pytorch as pl


class CheckpointByIteration(pl.Callback):
    """`last.ckpt` every so many iterations and at the end, `previous.ckpt` before it, `best.ckpt` by the monitor.

    At an iteration that also validates, the checkpoint is taken after the validation, so that a resumed run neither
    repeats nor skips it. Every file holds plain containers and tensors, loads with `weights_only=True`, and carries the
    composed configuration.
    """

    def __init__(self, folder, config, *, every, validate_every, iterations):
        self.folder, self.config = Path(folder), config
        self.every, self.validate_every, self.iterations = every, validate_every, iterations
        self.best = None  # highest value of the monitor so far

    def is_due(self, iteration):
        return iteration % self.every == 0 or iteration >= self.iterations

    def validates(self, iteration):
        return iteration % self.validate_every == 0 or iteration >= self.iterations

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if self.is_due(module.iteration) and not self.validates(module.iteration):
            self.save(trainer, "last")

    def on_validation_end(self, trainer, module):
        value = trainer.callback_metrics.get(module.monitor)
        improved = value is not None and (self.best is None or value.item() > self.best)
        if improved:
            self.best = value.item()
            self.save(trainer, "best")
        if self.is_due(module.iteration):
            self.save(trainer, "last")

    def save(self, trainer, name):
        """All ranks call it; rank 0 writes."""
        temporary, final = self.folder / f"{name}.ckpt.tmp", self.folder / f"{name}.ckpt"
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            if name == "last" and final.exists():
                os.replace(final, self.folder / "previous.ckpt")
            os.replace(temporary, final)
        trainer.strategy.barrier()

    def on_save_checkpoint(self, trainer, module, checkpoint):
        checkpoint["config"] = self.config

    def state_dict(self):
        return {"best": self.best}

    def load_state_dict(self, state_dict):
        self.best = state_dict["best"]
