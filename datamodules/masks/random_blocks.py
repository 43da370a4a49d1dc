"""Several smaller squares that may overlap, up to a quarter of the image (Context Encoders, Sec. 3.3, random block).

The paper gives the total alone and the released code has no such mask; count and sides are ours.
"""

from dataclasses import dataclass, field

import torch

from datamodules.masks.ranges import check_range, check_ratios, check_sizes, side_in_pixels
from datamodules.masks.raster import Runs
from datamodules.masks.ratio import held_within, pixel_limits, shapes_for


@dataclass(kw_only=True)
class RandomBlocks:
    count: list[int] = field(default_factory=lambda: [3, 8])  # range of the number of squares
    side: list[float] = field(default_factory=lambda: [0.125, 0.3])  # range of a square's side
    min_ratio: float = 0.05  # least share of hole pixels in the image
    max_ratio: float = 0.25  # greatest share; outside these limits squares are added or left out

    def __post_init__(self):
        check_range("count", self.count, least=1)
        check_sizes("side", self.side)
        check_ratios(self.min_ratio, self.max_ratio)

    def __call__(self, draws, height, width):
        shortest, longest = (side_in_pixels(side, height, width) for side in self.side)
        fewest, most = pixel_limits(self.min_ratio, self.max_ratio, height, width)
        squares = self.count[1] + shapes_for(self.min_ratio, shortest**2 / (height * width))
        side = draws.integers(shortest, longest + 1, squares)  # (B,S)
        top = draws.integers(0, height - side + 1, squares)
        left = draws.integers(0, width - side + 1, squares)
        natural = draws.integers(self.count[0], self.count[1] + 1)
        shown = torch.ones_like(top, dtype=torch.bool)
        blocks = Runs.of_rectangles(top, left, side, side, shown, height, width)
        return held_within(blocks, natural, draws, fewest, most)[:, None].float()
