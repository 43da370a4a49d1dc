"""Checkpoints counted in iterations, written to a temporary name and renamed."""

import os
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.plugins.io import TorchCheckpointIO

from lightning_modules.pretrained.checkpoint import read_checkpoint, sync_folder, write_checkpoint


class CheckedFiles(TorchCheckpointIO):
    """How the Trainer writes and reads checkpoints. Lightning's own way keeps two copies in memory and a third below
    /tmp, where a killed run leaves it, and loads flipped bits."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        write_checkpoint(checkpoint, path)

    def load_checkpoint(self, path, map_location=None, weights_only=True):
        return read_checkpoint(path)


class CheckpointByIteration(pl.Callback):
    """`last.ckpt` every so many iterations and at the end, `previous.ckpt` before it, `best.ckpt` by the monitor.

    At an iteration that also validates, the checkpoint is taken after the validation, so that a resumed run neither
    repeats nor skips it; `validated` tells one that a signal took before (StopOnSignal). Every file holds plain
    containers and tensors, loads with `weights_only=True`, and carries the composed configuration. None holds
    gradients: all three lengths are multiples of the module's `accumulate`.
    """

    def __init__(self, folder, config, *, every, validate_every, iterations):
        self.folder, self.config = Path(folder), config
        self.every, self.validate_every, self.iterations = every, validate_every, iterations
        self.best = None  # highest value of the monitor so far
        self.validated = None  # the last iteration that was validated
        self.whole = False  # whether last.ckpt is known to be: this process wrote it, or goes on from it

    def setup(self, trainer, module, stage):
        """Removes what a run that was killed while it wrote has left."""
        if trainer.is_global_zero:
            for unfinished in self.folder.glob("*.ckpt.tmp"):
                unfinished.unlink()

    def is_due(self, iteration):
        return iteration % self.every == 0 or iteration >= self.iterations

    def validates(self, iteration):
        return iteration % self.validate_every == 0 or iteration >= self.iterations

    def on_train_start(self, trainer, module):
        """A run that goes on from another file at its last iteration, as one does that was killed between the best and
        the last checkpoint, writes the last one here: it has nothing to train."""
        self.whole = trainer.ckpt_path is not None and Path(trainer.ckpt_path) == self.folder / "last.ckpt"
        if not self.whole and module.iteration >= self.iterations:
            self.save(trainer, "last")

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if self.is_due(module.iteration) and not self.validates(module.iteration):
            self.save(trainer, "last")

    def on_validation_end(self, trainer, module):
        self.validated = module.iteration
        value = trainer.callback_metrics.get(module.monitor)
        improved = value is not None and (self.best is None or value.item() > self.best)
        if improved:
            self.best = value.item()
            self.save(trainer, "best")
        if self.is_due(module.iteration):
            self.save(trainer, "last")

    def save(self, trainer, name):
        """All ranks call it; rank 0 writes. At any moment one of the files is whole: a last.ckpt that was passed over,
        being damaged, does not become the previous one."""
        temporary, final = self.folder / f"{name}.ckpt.tmp", self.folder / f"{name}.ckpt"
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            if name == "last" and self.whole and final.exists():
                os.replace(final, self.folder / "previous.ckpt")
            os.replace(temporary, final)
            sync_folder(self.folder)
        self.whole = self.whole or name == "last"
        trainer.strategy.barrier()

    def on_save_checkpoint(self, trainer, module, checkpoint):
        checkpoint["config"] = self.config
        # Else Lightning takes a run that goes on with more iterations for one whose only epoch has ended: it would end
        # at once, without an error.
        checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False

    def state_dict(self):
        return {"best": self.best, "validated": self.validated}

    def load_state_dict(self, state_dict):
        self.best, self.validated = state_dict["best"], state_dict.get("validated")
