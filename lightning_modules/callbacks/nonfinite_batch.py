"""Leaves the batch on disk that gave a loss or a gradient that is not finite."""

from pathlib import Path

import lightning.pytorch as pl
import torch

from lightning_modules.base import NonFiniteError
from lightning_modules.ops.distributed import is_shared_out
from lightning_modules.pretrained.checkpoint import write_checkpoint


class NonFiniteBatch(pl.Callback):
    """Writes nonfinite_rank<r>.pt when a run ends that way: the batch and the iteration, plain tensors; that of the
    first rank has the `state_dict` as well, since the weights of that step are in no checkpoint, but for what is shared
    out among ranks (FSDP)."""

    def __init__(self, folder):
        self.folder, self.batch = Path(folder), None

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.batch = batch

    def on_exception(self, trainer, module, exception):
        if isinstance(exception, NonFiniteError):
            tensors = {key: value.cpu() for key, value in self.batch.items() if isinstance(value, torch.Tensor)}
            path = self.folder / f"nonfinite_rank{trainer.global_rank}.pt"
            state = {key: value for key, value in module.state_dict().items() if not is_shared_out(value)}
            weights = {"state_dict": state} if trainer.is_global_zero else {}
            try:
                write_checkpoint(tensors | {"iteration": module.iteration} | weights, path)
                left = f"the batch is in {path}"
            except OSError as error:
                left = f"the batch could not be written to {path}: {error.strerror}"
            exception.args = (f"{exception}; {left}",)
