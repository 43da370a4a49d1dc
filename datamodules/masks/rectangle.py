"""Rectangles anywhere inside the image (GLCIC, Sec. 3.4: one, each side within [96, 128] px of 256)."""

from dataclasses import dataclass, field

import torch

from datamodules.masks.ranges import check_range, check_sizes, side_in_pixels
from datamodules.masks.raster import Runs


@dataclass(kw_only=True)
class Rectangle:
    side: list[float] = field(default_factory=lambda: [0.375, 0.5])  # range of height and of width, drawn separately
    count: list[int] = field(default_factory=lambda: [1, 1])  # range of the number of rectangles, which may overlap

    def __post_init__(self):
        check_sizes("side", self.side)
        check_range("count", self.count, least=1)

    def __call__(self, draws, height, width):
        shortest, longest = (side_in_pixels(side, height, width) for side in self.side)
        heights, widths = draws.integers(shortest, longest + 1, 2, self.count[1]).unbind(1)  # (B,S) each
        top = draws.integers(0, height - heights + 1, self.count[1])
        left = draws.integers(0, width - widths + 1, self.count[1])
        count = draws.integers(self.count[0], self.count[1] + 1)
        shown = torch.ones_like(top, dtype=torch.bool)
        return Runs.of_rectangles(top, left, heights, widths, shown, height, width).paint(count)[:, None].float()
