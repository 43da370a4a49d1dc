"""Leaves the batch on disk that gave a loss or a gradient that is not finite."""

from pathlib import Path

import lightning.pytorch as pl
import torch

from lightning_modules.base import NonFiniteError


class NonFiniteBatch(pl.Callback):
    """Writes nonfinite_rank<r>.pt (the batch and the iteration, plain tensors) when a run ends that way."""

    def __init__(self, folder):
        self.folder, self.batch = Path(folder), None

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.batch = batch

    def on_exception(self, trainer, module, exception):
        if isinstance(exception, NonFiniteError):
            tensors = {key: value.cpu() for key, value in self.batch.items() if isinstance(value, torch.Tensor)}
            path = self.folder / f"nonfinite_rank{trainer.global_rank}.pt"
            torch.save(tensors | {"iteration": module.iteration}, path)
            exception.args = (f"{exception}; the batch is in {path}",)
