"""A colorizer small enough to follow by hand, and a run of it without the command line."""

from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from datamodules.synthetic import Synthetic
from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.tasks import ColorizationModule


@dataclass(kw_only=True)
class FlatConfig:
    lr: float = 0.5
    working_side: int = 16


class Flat(ColorizationModule):
    """Paints everything in one colour, which it learns."""

    Config = FlatConfig

    def __init__(self, **overrides):
        super().__init__(FlatConfig(**overrides))
        self.ab = nn.Parameter(torch.zeros(1, 2, 1, 1))

    def predict_chroma(self, lightness):
        return self.ab.expand(len(lightness), 2, *lightness.shape[-2:])

    def training_step(self, batch, batch_idx):
        lab = rgb_to_lab(batch["image"])
        loss = F.mse_loss(self.predict_chroma(lab[:, 1:]), lab[:, 1:])
        self.update("g", self.optimizers(), loss, l2=loss)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.cfg.lr)


def synthetic(iterations, **settings):
    """Small scenes, loaded in this process."""
    data = Synthetic(**{"crop": 16, "batch_size": 4, "workers": 0, "val_count": 5, "train_count": 40} | settings)
    data.iterations = iterations
    return data


def fit(module, data, callbacks=(), logger=False, validate_every=4, checkpoint=None):
    """One run as `chromafill train` makes it, on the CPU."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        val_check_interval=validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=logger,
        callbacks=list(callbacks),
    )
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    return trainer


def one_step_each(module, batches, callbacks=()):
    """One training step for each batch, without a data module. -> the trainer"""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return trainer
