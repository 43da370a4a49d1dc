"""Sample grids: the same validation images at every validation, as PNG and in the loggers that take images."""

from pathlib import Path

import lightning.pytorch as pl
import torch
from torchvision.utils import make_grid

from lightning_modules.ops.png import write_png


class SampleGrid(pl.Callback):
    """samples/<iteration>.png: one row an image, the columns that the task names; rank 0, first validation images."""

    def __init__(self, folder, rows=6):
        self.folder, self.rows = Path(folder), rows
        self.grid = None

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx == 0 and trainer.is_global_zero:
            few = {key: value[: self.rows] for key, value in batch.items()}
            self.titles, self.grid = draw(module.panels(few))

    def on_validation_end(self, trainer, module):
        if self.grid is None or not trainer.is_global_zero:
            return
        path = self.folder / f"{module.iteration:07d}.png"
        write_png(path, self.grid)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("samples", path, " | ".join(self.titles), module.iteration)


def draw(panels):
    """{title: (B,3,H,W) in [0,1]} -> (titles, uint8 (3,H',W')): a row an image, a column a title."""
    columns = [panel.detach().float().cpu().clamp(0, 1) for panel in panels.values()]
    tiles = torch.stack(columns, dim=1).flatten(0, 1)  # (B*columns,3,H,W), row by row
    grid = make_grid(tiles, nrow=len(columns), padding=4, pad_value=1.0)
    return list(panels), (grid * 255).round().to(torch.uint8)
