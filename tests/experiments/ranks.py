"""A program for test_strategy.py: trains a tiny paper with some processes and leaves each rank's weights in a folder.

python ranks.py FOLDER PAPER PROCESSES FROZEN_STATISTICS
"""

import sys

import lightning.pytorch as pl
import torch
from torch import nn

from datamodules.masks.centre import Centre
from datamodules.synthetic import Synthetic
from experiments.strategy import AveragedGradients
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.inpainting.context_encoder import ContextEncoder

GLOBAL_BATCH, ITERATIONS = 4, 3


class FrozenStatistics(pl.Callback):
    """Batch norm that uses its running statistics: the one part of a step that looks across a rank's batch."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats:
                layer.eval()


def main(folder, paper, processes, frozen):
    pl.seed_everything(0, verbose=False)
    if paper == "colorful":
        module, masks, crop = Colorful(width=4), None, 32
    else:
        module = ContextEncoder(width=4, bottleneck=16, fine_size=64, lambda_adv=0.0 if frozen else 0.001)
        masks, crop = Centre(side=0.5), 64
    data = Synthetic(
        crop=crop, batch_size=GLOBAL_BATCH // processes, workers=0, train_count=20, val_count=3, masks=masks
    )
    data.iterations = ITERATIONS
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy=AveragedGradients() if processes > 1 else "auto",
        max_epochs=1,
        logger=False,
        callbacks=[FrozenStatistics()] if frozen else [],
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    torch.save(module.state_dict(), f"{folder}/{processes}_rank{trainer.global_rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "frozen")
