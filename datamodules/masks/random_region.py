"""Blobs of any shape: the mask that the released Context Encoders code uses in place of object silhouettes.

Release (train_random.lua): 600 x 600 uniform noise, bicubic upscaling to 10000 x 10000, hole where it is below 0.25, a
random crop, drawn again until the hole share lies strictly within (0.20, 0.30). Bicubic smoothing narrows the
distribution: about 16 % of the pattern is hole, and about one crop in five is taken at 64 and 128 px, one in twelve at
256, hardly any from 512 (lower `resolution` there: 0.03 at 512 px is the pattern of 0.06 at 256).
Departs from it: each sample has its own mask (the release draws one a batch); only the noise under a crop is drawn,
which is the same distribution but for the pattern's border; and drawing ends. A sample without an acceptable crop after
`candidates` of them takes the closest one and moves its threshold until the hole has the share in the middle.
"""

import math
from dataclasses import dataclass

import torch

from datamodules.masks.ranges import check_ratios

LEVELS = 1 << 16  # of the noise
WEIGHT_UNIT = 1 << 14  # of the interpolation weights: integers, whose products and sums float64 holds exactly
AT_ONCE = 4  # candidates drawn together


def cubic(distance):
    """Weight of a noise cell at a distance in cells (Catmull and Rom, a = -1/2, as Torch7's `image.scale`)."""
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))


def interpolation(phase, side, resolution):
    """Matrices that upscale noise cells to `side` pixels. phase: (*) float in [0,1) cells -> (*,side,N) float64.

    The entries are integers, in units of 1 / WEIGHT_UNIT. Pixel p lies at phase + p * resolution between the cells 1
    and N - 3, so that each has two cells on either side.
    """
    cells = math.floor((side - 1) * resolution) + 5
    pixel = torch.arange(side, device=phase.device, dtype=torch.float64)
    position = phase.double()[..., None] + pixel * resolution + 1  # (*,side)
    cell = torch.arange(cells, device=phase.device, dtype=torch.float64)
    return torch.round(cubic((position[..., None] - cell).abs()) * WEIGHT_UNIT)


@dataclass(kw_only=True)
class RandomRegion:
    resolution: float = 0.06  # noise cells per pixel: the lower, the larger the blobs
    threshold: float = 0.25  # hole where the noise, in [0,1], is below
    min_ratio: float = 0.20  # share of hole pixels, excluded itself
    max_ratio: float = 0.30  # share of hole pixels, excluded itself
    candidates: int = 64  # crops tried before the threshold moves

    def __post_init__(self):
        if not 0 < self.resolution <= 1:
            raise ValueError(f"resolution must be above 0 and at most 1 noise cell per pixel, got {self.resolution}")
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {self.threshold}")
        if self.candidates < AT_ONCE or self.candidates % AT_ONCE:
            raise ValueError(f"candidates must be a multiple of {AT_ONCE}, got {self.candidates}")
        check_ratios(self.min_ratio, self.max_ratio)

    def __call__(self, draws, height, width):
        fewest = math.floor(self.min_ratio * height * width) + 1
        most = math.ceil(self.max_ratio * height * width) - 1
        if fewest > most:
            raise ValueError(
                f"no mask of {height} x {width} has a hole share between {self.min_ratio} and {self.max_ratio}: widen "
                "min_ratio and max_ratio, or use a larger crop"
            )
        middle = (fewest + most) // 2
        below = self.threshold * LEVELS * WEIGHT_UNIT**2
        mask = torch.zeros(draws.batch, height, width, dtype=torch.bool, device=draws.device)
        closest = torch.zeros(draws.batch, height, width, dtype=torch.float64, device=draws.device)
        distance = torch.full((draws.batch,), height * width, device=draws.device)
        open_rows = torch.arange(draws.batch, device=draws.device)  # samples that have no mask yet
        for _ in range(self.candidates // AT_ONCE):
            noise = self.noise(draws, height, width)  # (R,C,H,W)
            areas = (noise < below).sum((2, 3))
            off = torch.where((fewest <= areas) & (areas <= most), 0, (areas - middle).abs())  # (R,C)
            best = off.argmin(1)  # the first of the acceptable ones, else the closest
            picked = noise[torch.arange(len(best), device=best.device), best]  # (R,H,W)
            off = off.amin(1)
            mask[open_rows] = picked < below
            nearer = off < distance[open_rows]
            closest[open_rows[nearer]] = picked[nearer]
            distance[open_rows] = torch.minimum(distance[open_rows], off)
            missing = off > 0
            open_rows, draws = open_rows[missing], draws.take(missing)
            if not len(open_rows):
                break
        else:
            level = closest[open_rows].flatten(1).kthvalue(middle, dim=1).values
            mask[open_rows] = closest[open_rows] <= level[:, None, None]
        return mask[:, None].float()

    def noise(self, draws, height, width):
        """Upscaled noise of AT_ONCE crops, in units of 1 / (LEVELS * WEIGHT_UNIT^2). -> (R,C,H,W) float64."""
        y, x = draws.uniform(2, AT_ONCE).unbind(1)  # (R,C) cells
        rows, columns = interpolation(y, height, self.resolution), interpolation(x, width, self.resolution)
        cells = draws.integers(0, LEVELS, AT_ONCE, rows.shape[-1], columns.shape[-1]).double()
        return rows @ cells @ columns.mT
