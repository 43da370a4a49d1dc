"""Brush strokes that zigzag over the image (Yu et al., Free-form image inpainting with gated convolution, ICCV 2019).

Numbers are those of the authors' released brush-stroke masks at 256 x 256. Lengths are drawn from a triangle instead
of a cut normal distribution of about the same spread, and each stroke is turned by a multiple of 90 degrees and
mirrored on its own, where the release mirrors the whole mask. A stroke that meets the border turns back there; in the
release it runs along the border.
"""

from dataclasses import dataclass, field

import torch

from datamodules.masks.directions import TURN, steps_of, unit_vectors
from datamodules.masks.ranges import check_range, check_ratios, check_sizes, in_pixels
from datamodules.masks.raster import Runs
from datamodules.masks.ratio import held_within, pixel_limits, shapes_for


@dataclass(kw_only=True)
class FreeForm:
    strokes: list[int] = field(default_factory=lambda: [1, 4])  # range of the number of strokes
    vertices: list[int] = field(default_factory=lambda: [4, 12])  # range of the straight parts of one stroke
    length: list[float] = field(default_factory=lambda: [0.02, 0.34])  # range of a part's length
    width: list[float] = field(default_factory=lambda: [0.05, 0.15])  # range of the brush's width, one per stroke
    angle: float = 72.0  # degrees: parts go up and down by this much in turn
    spread: float = 24.0  # degrees: furthest that a part departs from `angle`
    min_ratio: float = 0.05  # least share of hole pixels in the image
    max_ratio: float = 0.5  # greatest share; outside these limits strokes are added or left out

    def __post_init__(self):
        check_range("strokes", self.strokes, least=1)
        check_range("vertices", self.vertices, least=1)
        check_sizes("length", self.length)
        check_sizes("width", self.width)
        check_range("angle and spread", [self.spread, self.angle], least=0, most=180)
        check_ratios(self.min_ratio, self.max_ratio)

    def strokes_drawn(self, height, width):
        """Strokes to draw: as many as the settings ask for, and enough more for `min_ratio`."""
        length = sum(in_pixels(size, height, width) for size in self.length) / 2
        brush = sum(in_pixels(size, height, width) for size in self.width) / 2
        covered = sum(self.vertices) / 2 * length * brush / (height * width)
        return self.strokes[1] + shapes_for(self.min_ratio, covered)

    def __call__(self, draws, height, width):
        fewest, most = pixel_limits(self.min_ratio, self.max_ratio, height, width)
        strokes, parts = self.strokes_drawn(height, width), self.vertices[1]
        path = self.path(draws, strokes, height, width)  # (B,K,P+1,2) for K strokes of P parts
        thin, thick = (in_pixels(size, height, width) / 2 for size in self.width)
        radius = draws.uniform(strokes, low=thin, high=thick)[..., None].expand(-1, -1, parts)
        number = torch.arange(parts, device=draws.device)
        shown = number < draws.integers(self.vertices[0], parts + 1, strokes)[..., None]  # (B,K,P)
        brush = Runs.of_capsules(
            path[:, :, :-1].flatten(1, 2),
            path[:, :, 1:].flatten(1, 2),
            radius.flatten(1),
            shown.flatten(1),
            height,
            width,
        )
        painted = draws.integers(self.strokes[0], self.strokes[1] + 1)  # (B,) strokes
        natural = (shown.sum(2).cumsum(1)).gather(1, painted[:, None] - 1)[:, 0]  # the same in parts
        return held_within(brush, natural, draws, fewest, most)[:, None].float()

    def path(self, draws, strokes, height, width):
        """Where the brush turns, inside the image. -> (B,K,P+1,2) float32 pixels: x, y."""
        parts = self.vertices[1]
        spread = steps_of(self.spread)
        down, up = draws.integers(0, spread + 1, 2, strokes, 1).unbind(1)  # (B,K,1): one stroke's own limits
        angle = steps_of(self.angle) + draws.integers(-down, up + 1, strokes, parts)  # (B,K,P) steps
        zigzag = 1 - 2 * (torch.arange(parts, device=draws.device) % 2)
        turned = draws.integers(0, 4, strokes, 1) * (TURN // 4)
        mirrored = 1 - 2 * draws.integers(0, 2, strokes, 1)
        ahead = unit_vectors(turned + mirrored * zigzag * angle)
        short, long = (in_pixels(size, height, width) for size in self.length)
        length = short + (long - short) * 0.5 * (draws.uniform(strokes, parts) + draws.uniform(strokes, parts))
        size = torch.tensor([width, height], device=draws.device, dtype=torch.float32)
        points = [draws.uniform(strokes, 2) * size]
        for part in range(parts):
            beyond = points[-1] + length[:, :, part, None] * ahead[:, :, part]
            points.append((size - (size - beyond.abs()).abs()).clamp_min(0))  # mirrored at the border
        return torch.stack(points, dim=2)
