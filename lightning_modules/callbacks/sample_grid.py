"""Sample grids: the same validation images at every validation, as PNG and in the loggers that take images."""

from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from torchvision.utils import make_grid

from lightning_modules.ops.png import to_uint8, write_png


@dataclass(frozen=True)
class Samples:
    """Some validation images on the CPU. B images.

    panels  {title: uint8 RGB (B,3,H,W)}, left to right
    index   of the images in the validation split
    mask    bool (B,H,W), True in the hole; None where the task has none
    """

    panels: dict[str, torch.Tensor]
    index: list[int]
    mask: torch.Tensor | None = None


class SampleGrid(pl.Callback):
    """samples/<iteration>.png: one row an image, the columns that the task names; rank 0, first validation images."""

    def __init__(self, folder, rows=6):
        self.folder, self.rows = Path(folder), rows
        self.samples = None

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx == 0 and trainer.is_global_zero:
            few = {key: value[: self.rows] for key, value in batch.items()}
            panels = {title: to_uint8(panel.detach().float()).cpu() for title, panel in module.panels(few).items()}
            mask = few["mask"][:, 0].bool().cpu() if "mask" in few else None
            self.samples = Samples(panels, few["index"].tolist(), mask)

    def on_validation_end(self, trainer, module):
        if self.samples is None or not trainer.is_global_zero:
            return
        write_png(self.folder / f"{module.iteration:07d}.png", draw(self.samples.panels))
        for logger in trainer.loggers:
            if hasattr(logger, "log_samples"):
                logger.log_samples(self.samples, module.iteration)


def draw(panels):
    """{title: uint8 (B,3,H,W)} -> uint8 (3,H',W'): a row an image, a column a title."""
    tiles = torch.stack(list(panels.values()), dim=1).flatten(0, 1)  # (B*columns,3,H,W), row by row
    return make_grid(tiles, nrow=len(panels), padding=4, pad_value=255)
