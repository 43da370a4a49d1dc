"""A square in the middle of the image (Context Encoders, Sec. 3.3: 64 x 64 of 128 x 128)."""

from dataclasses import dataclass

import torch

from datamodules.masks.ranges import side_in_pixels


@dataclass(kw_only=True)
class Centre:
    side: float = 0.5  # up to 1 a share of the shorter image side, above 1 pixels

    def __post_init__(self):
        if self.side <= 0:
            raise ValueError(f"side must be above 0: a share of the image (up to 1) or pixels; got {self.side}")

    def __call__(self, draws, height, width):
        side = side_in_pixels(self.side, height, width)
        top, left = (height - side) // 2, (width - side) // 2
        mask = torch.zeros(draws.batch, 1, height, width, device=draws.device)
        mask[..., top : top + side, left : left + side] = 1
        return mask
