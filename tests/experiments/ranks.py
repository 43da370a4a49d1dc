"""A program for test_strategy.py: trains a tiny paper with some processes and leaves each rank's weights in a folder.

python ranks.py FOLDER PAPER PROCESSES STATISTICS [ACCUMULATE]

STATISTICS: frozen or own. The collectives of each training iteration are counted in <processes>_rank<r>.json.
"""

import json
import sys

import lightning.pytorch as pl
import torch
from torch import distributed, nn

from datamodules.masks.centre import Centre
from datamodules.synthetic import Synthetic
from experiments.strategy import AveragedGradients
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.inpainting.context_encoder import ContextEncoder

GLOBAL_BATCH, ITERATIONS = 4, 3
COLLECTIVES = ("all_reduce", "all_gather_object", "broadcast", "barrier")


class FrozenStatistics(pl.Callback):
    """Batch norm that uses its running statistics: the one part of a step that looks across a rank's batch."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats:
                layer.eval()


class Collectives(pl.Callback):
    """How many there are in each training iteration."""

    def __init__(self):
        self.calls, self.counts = 0, []
        for name in COLLECTIVES:
            setattr(distributed, name, self.counted(getattr(distributed, name)))

    def counted(self, collective):
        def call(*args, **kwargs):
            self.calls += 1
            return collective(*args, **kwargs)

        return call

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.calls = 0

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.counts.append(self.calls)


def main(folder, paper, processes, frozen, accumulate):
    pl.seed_everything(0, verbose=False)
    if paper == "colorful":
        module, masks, crop = Colorful(width=4), None, 32
    else:
        module = ContextEncoder(width=4, bottleneck=16, fine_size=64, lambda_adv=0.0 if frozen else 0.001)
        masks, crop = Centre(side=0.5), 64
    data = Synthetic(
        crop=crop, batch_size=GLOBAL_BATCH // processes, workers=0, train_count=20, val_count=3, masks=masks
    )
    data.iterations = ITERATIONS * accumulate
    module.accumulate, counter = accumulate, Collectives()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy=AveragedGradients() if processes > 1 else "auto",
        max_epochs=1,
        logger=False,
        callbacks=[FrozenStatistics(), counter] if frozen else [counter],
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    name = f"{folder}/{processes}_rank{trainer.global_rank}"
    torch.save(module.state_dict(), f"{name}.pt")
    with open(f"{name}.json", "w") as file:
        json.dump(counter.counts, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "frozen", int((sys.argv[5:] or [1])[0]))
