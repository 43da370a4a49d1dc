"""Holes that keep away from the image's border, as in half of the test masks of Partial Convolutions (Liu 2018): 50 px
of 512."""

from dataclasses import dataclass
from typing import Any

from torch.nn import functional as F

from datamodules.masks.ranges import in_pixels


@dataclass(kw_only=True)
class Inset:
    part: Any  # the generator of the holes; it sees the inner region as its image, and its shares are of that
    margin: float = 50 / 512  # from each border: up to 1 a share of the shorter image side, above 1 pixels

    def __post_init__(self):
        if not callable(self.part):
            raise ValueError(f"part must be a mask generator, got {self.part!r}; in a YAML it needs its `_target_`")
        if self.margin < 0:
            raise ValueError(f"margin must be 0 or more, got {self.margin}")

    def __call__(self, draws, height, width):
        margin = round(in_pixels(self.margin, height, width))
        if 2 * margin >= min(height, width):
            raise ValueError(f"a margin of {margin} px leaves nothing of {height} x {width}; set a smaller margin")
        inner = self.part(draws.fold("inset"), height - 2 * margin, width - 2 * margin)
        return F.pad(inner, [margin] * 4)
