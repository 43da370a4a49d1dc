"""Damage of old photographs: long thin scratches, mostly upright and slightly curved, and specks of dust around them.

The synthesis of Wan et al. (Bringing Old Photos Back to Life, CVPR 2020) was not released; all numbers are ours.
"""

from dataclasses import dataclass, field

import torch

from datamodules.masks.directions import TURN, steps_of, unit_vectors
from datamodules.masks.ranges import check_range, check_ratios, check_sizes, in_pixels
from datamodules.masks.raster import Runs
from datamodules.masks.ratio import held_within, pixel_limits, shapes_for

PARTS = 12  # straight parts of one scratch
THINNEST = 0.5  # px, radius: below it a line would fall between pixel centres


@dataclass(kw_only=True)
class Scratches:
    count: list[int] = field(default_factory=lambda: [2, 8])  # range of the number of scratches
    length: list[float] = field(default_factory=lambda: [0.2, 1.0])  # range of a scratch's length
    width: list[float] = field(default_factory=lambda: [0.004, 0.014])  # range of a scratch's width in its middle
    lean: float = 8.0  # degrees: furthest that a scratch departs from upright
    across: float = 0.15  # share of the scratches that lie in any direction instead
    bow: float = 0.06  # furthest bend to one side, in lengths of the scratch
    gaps: float = 0.08  # share of a scratch's twelve parts that are missing
    specks: list[int] = field(default_factory=lambda: [2, 10])  # range of the specks of dust for each scratch
    speck: list[float] = field(default_factory=lambda: [0.004, 0.02])  # range of a speck's width
    min_ratio: float = 0.002  # least share of hole pixels in the image
    max_ratio: float = 0.1  # greatest share; outside these limits scratches are added or left out

    def __post_init__(self):
        check_range("count", self.count, least=1)
        check_range("specks", self.specks, least=0)
        for name in ("length", "width", "speck"):
            check_sizes(name, getattr(self, name))
        check_range("lean", [0, self.lean], least=0, most=90)
        check_range("across and gaps", sorted([self.across, self.gaps]), least=0, most=1)
        check_range("bow", [0, self.bow], least=0, most=1)
        check_ratios(self.min_ratio, self.max_ratio)

    def scratches_drawn(self, height, width):
        """Scratches to draw: as many as the settings ask for, and enough more for `min_ratio`."""
        length = sum(in_pixels(size, height, width) for size in self.length) / 2
        thickness = max(1, sum(in_pixels(size, height, width) for size in self.width) / 2)
        return self.count[1] + shapes_for(self.min_ratio, length * thickness / (height * width))

    def __call__(self, draws, height, width):
        fewest, most = pixel_limits(self.min_ratio, self.max_ratio, height, width)
        scratches = self.scratches_drawn(height, width)
        lines = self.lines(draws.fold("lines"), scratches, height, width)
        dust = self.dust(draws.fold("dust"), scratches, height, width)
        # Painted scratch by scratch: its parts, then its specks. (B,K,PARTS+D,...) -> (B,S,...)
        start, stop, radius, shown = (torch.cat(pair, dim=2) for pair in zip(lines, dust, strict=True))
        capsules = (values.flatten(1, 2) for values in (start, stop, radius, shown))
        damage = Runs.of_capsules(*capsules, height, width)
        painted = draws.integers(self.count[0], self.count[1] + 1)  # (B,) scratches
        natural = shown.sum(2).cumsum(1).gather(1, painted[:, None] - 1)[:, 0]  # the same in parts and specks
        return held_within(damage, natural, draws, fewest, most)[:, None].float()

    def lines(self, draws, scratches, height, width):
        """The parts of the scratches. -> start, stop (B,K,PARTS,2), radius, shown (B,K,PARTS)."""
        size = torch.tensor([width, height], device=draws.device, dtype=torch.float32)
        middle = draws.uniform(scratches, 2) * size
        short, long = (in_pixels(size, height, width) for size in self.length)
        length = draws.uniform(scratches, 1, 1, low=short, high=long)
        lean = steps_of(self.lean)
        upright = TURN // 4 + draws.integers(-lean, lean + 1, scratches)
        any_way = draws.integers(0, TURN, scratches)
        ahead = unit_vectors(torch.where(draws.uniform(scratches) < self.across, any_way, upright))[:, :, None]
        aside = torch.stack([-ahead[..., 1], ahead[..., 0]], dim=-1)  # (B,K,1,2)
        along = torch.tensor([part / PARTS - 0.5 for part in range(PARTS + 1)], device=draws.device)[:, None]  # (P+1,1)
        bow = draws.uniform(scratches, 1, 1, low=-self.bow, high=self.bow) * (1 - 4 * along * along)
        shake = draws.uniform(scratches, PARTS + 1, 1, low=-0.006, high=0.006)
        points = middle[:, :, None] + length * (along * ahead + (bow + shake) * aside)  # (B,K,P+1,2)
        thin, thick = (in_pixels(size, height, width) / 2 for size in self.width)
        centre = along[:-1, 0] + 0.5 / PARTS
        taper = 1 - 4 * centre * centre  # 1 in the middle of the scratch, 0 at its ends
        radius = draws.uniform(scratches, 1, low=thin, high=thick) * taper
        shown = draws.uniform(scratches, PARTS) >= self.gaps
        return points[:, :, :-1], points[:, :, 1:], radius.clamp_min(THINNEST), shown

    def dust(self, draws, scratches, height, width):
        """Short blots anywhere in the image. -> start, stop (B,K,D,2), radius, shown (B,K,D)."""
        specks = self.specks[1]
        size = torch.tensor([width, height], device=draws.device, dtype=torch.float32)
        start = draws.uniform(scratches, specks, 2) * size
        small, large = (in_pixels(size, height, width) / 2 for size in self.speck)
        radius = draws.uniform(scratches, specks, low=small, high=large).clamp_min(THINNEST)
        ahead = unit_vectors(draws.integers(0, TURN, scratches, specks))
        stop = start + (2 * radius * draws.uniform(scratches, specks))[..., None] * ahead
        number = torch.arange(specks, device=draws.device)
        shown = number < draws.integers(self.specks[0], specks + 1, scratches, 1)
        return start, stop, radius, shown
