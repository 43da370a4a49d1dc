"""A program for test_strategy.py and test_sharded.py: trains a tiny paper with some processes.

python ranks.py FOLDER PAPER PROCESSES STATISTICS [key=value ...]

STATISTICS: frozen or own. Leaves in FOLDER each rank's weights, <processes>_rank<r>.pt, the collectives of each of its
training iterations, <processes>_rank<r>.json, and the run's checkpoint, <processes>.ckpt.

accumulate  steps of each of the three updates, 1 at first
strategy    averaged or sharded
resume      a checkpoint to go on from, with three more updates
"""

import json
import sys

import lightning.pytorch as pl
import torch
from torch import distributed, nn

from datamodules.masks.centre import Centre
from datamodules.synthetic import Synthetic
from experiments.sharded import Sharded
from experiments.strategy import AveragedGradients
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.inpainting.context_encoder import ContextEncoder
from lightning_modules.ops.distributed import whole

GLOBAL_BATCH, UPDATES = 4, 3
STRATEGIES = {"averaged": AveragedGradients, "sharded": Sharded}
COLLECTIVES = ("all_reduce", "all_gather_object", "broadcast", "barrier")


class Checkpoint(pl.Callback):
    """Written after the only validation, as `chromafill train` does, with which a run may go on."""

    def __init__(self, path):
        self.path = path

    def on_validation_end(self, trainer, module):
        trainer.save_checkpoint(self.path)

    def on_save_checkpoint(self, trainer, module, checkpoint):
        checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"] = False


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


def main(folder, paper, processes, frozen, accumulate=1, strategy="averaged", resume=None):
    pl.seed_everything(0, verbose=False)
    if paper == "colorful":
        module, masks, crop = Colorful(width=4), None, 32
    else:
        module = ContextEncoder(width=4, bottleneck=16, fine_size=64, lambda_adv=0.0 if frozen else 0.001)
        masks, crop = Centre(side=0.5), 64
    data = Synthetic(
        crop=crop, batch_size=GLOBAL_BATCH // processes, workers=0, train_count=20, val_count=3, masks=masks
    )
    accumulate = int(accumulate)
    data.iterations = UPDATES * accumulate
    if resume is not None:
        checkpoint = torch.load(resume, weights_only=True)
        data.done, data.seen = checkpoint["iteration"], checkpoint["samples_seen"]
        data.iterations += data.done
    module.accumulate, counter = accumulate, Collectives()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy=STRATEGIES[strategy]() if processes > 1 else "auto",
        max_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[counter, Checkpoint(f"{folder}/{processes}.ckpt"), *([FrozenStatistics()] if frozen else [])],
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    name = f"{folder}/{processes}_rank{trainer.global_rank}"
    torch.save(whole(module.state_dict()), f"{name}.pt")
    with open(f"{name}.json", "w") as file:
        json.dump(counter.counts, file)


if __name__ == "__main__":
    options = dict(word.split("=") for word in sys.argv[5:])
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "frozen", **options)
