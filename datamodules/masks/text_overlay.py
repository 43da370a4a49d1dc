"""Lines of random text over the image, as captions, time stamps and watermarks are.

B batch, T lines, M characters of a line, H W image. Letters come from Pillow's own font, so a newer Pillow may draw
them slightly differently.
"""

import math
from dataclasses import dataclass, field

import torch

from datamodules.masks.directions import steps_of, unit_vectors
from datamodules.masks.glyphs import CHARACTERS, DIGIT, LOWER, SPACE, UPPER, atlas
from datamodules.masks.ranges import check_range, check_ratios, check_sizes, in_pixels
from datamodules.masks.ratio import held_within, pixel_limits

SMALLEST = 10  # px: smaller letters cannot be told apart
FULL_PAGE = 0.08  # a page full of text has more ink: 9 to 17 % measured, with letters up to 0.3 of the image
SIZES = 8  # letter sizes to choose from, evenly over the range
FREQUENT = "eeeeeetttttaaaaoooiiinnnsssrrrhhhlldduucmfygpwbvkxjqz"  # small letters about as often as English has them


class Lettering:
    """What `held_within` counts: characters in reading order. number: (B,H,W) int64, the character inked in a pixel."""

    def __init__(self, number, most):
        self.number, self.most = number, torch.full(number.shape[:1], most, device=number.device)

    def paint(self, count, rows=slice(None)):
        """The first `count` (R,) characters of the samples `rows`. -> (R,H,W) bool."""
        return self.number[rows] < count.minimum(self.most[rows])[:, None, None]


@dataclass(kw_only=True)
class TextOverlay:
    lines: list[int] = field(default_factory=lambda: [2, 6])  # range of the number of lines
    size: list[float] = field(default_factory=lambda: [0.08, 0.16])  # range of the letter size
    angle: float = 15.0  # degrees: furthest that the text is turned, to either side
    min_ratio: float = 0.01  # least share of hole pixels in the image
    max_ratio: float = 0.15  # greatest share; outside these limits letters are added or left out

    def __post_init__(self):
        check_range("lines", self.lines, least=1)
        check_sizes("size", self.size)
        check_range("angle", [0, self.angle], least=0, most=180)
        check_ratios(self.min_ratio, self.max_ratio)
        if self.min_ratio > FULL_PAGE:
            raise ValueError(f"min_ratio of text can be at most {FULL_PAGE}, a full page; got {self.min_ratio}")

    def sizes(self, height, width):
        """The letter sizes, in pixels."""
        small, large = (max(SMALLEST, round(in_pixels(size, height, width))) for size in self.size)
        return tuple(sorted({round(small + (large - small) * step / (SIZES - 1)) for step in range(SIZES)}))

    def __call__(self, draws, height, width):
        fewest, most = pixel_limits(self.min_ratio, self.max_ratio, height, width)
        sizes = self.sizes(height, width)
        lines = draws.integers(self.lines[0], self.lines[1] + 1)  # (B,)
        span = math.ceil(math.hypot(height, width))  # the text stands on a square that covers the image at any angle
        characters = 2 * span // sizes[0]  # drawn for each line: more than fill it
        letters = self.lettering(draws, lines, characters, sizes, span, height, width)
        return held_within(letters, lines * characters, draws, fewest, most)[:, None].float()

    def lettering(self, draws, lines, characters, sizes, span, height, width):
        """The whole square set with text; the first of its lines stands where `lines` (B,) of them fit the image."""
        bitmaps, advances, heights = atlas(sizes, draws.device)
        font = draws.integers(0, len(sizes))  # (B,)
        line_height = heights[font]  # (B,) pixels
        slack = (height - lines * line_height).clamp_min(0)
        top = (span - height) // 2 + draws.integers(0, slack + 1)
        column, row = self.turned(draws, height, width, span)  # (B,H,W) on the square
        row = row - top[:, None, None]
        line = torch.div(row, line_height[:, None, None], rounding_mode="floor")
        inside = row - line * line_height[:, None, None]  # row within the line
        fits = -(-span // line_height)[:, None, None]  # lines on the square; the last ones stand above the first
        line = torch.where(line < 0, line + fits, line)

        drawn = span // int(heights.min()) + 1
        text = self.text(draws, drawn, characters)  # (B,T,M) characters
        start = (span - width) // 2 + draws.integers(0, max(1, width // 4), drawn, 1)  # (B,T,1) columns
        stop = (span + width) // 2 - draws.integers(0, max(1, width // 4), drawn, 1)
        slot, offset = self.set(text, advances[font], start, stop, span, bitmaps.shape[3] - 1)  # (B,T,span)
        place = (line * span + column).flatten(1)  # (B,H*W)
        character, slot, offset = (
            of_column.flatten(1).gather(1, place).view_as(line) for of_column in (text.gather(2, slot), slot, offset)
        )
        ink = bitmaps[font[:, None, None], character, inside, offset]  # (B,H,W)
        none = drawn * characters
        return Lettering(torch.where(ink, line * characters + slot, none), most=none)

    def turned(self, draws, height, width, span):
        """Where each pixel of the image lies on the text's square, turned about the middle. -> column, row (B,H,W)."""
        most = steps_of(self.angle)
        ahead = unit_vectors(draws.integers(-most, most + 1))[:, None, None]  # (B,1,1,2)
        cos, sin = ahead[..., 0], ahead[..., 1]
        y = torch.arange(height, device=draws.device)[:, None] + 0.5 - height / 2
        x = torch.arange(width, device=draws.device) + 0.5 - width / 2
        column, row = x * cos + y * sin + span / 2, y * cos - x * sin + span / 2
        return column.clamp(0, span - 1).long(), row.clamp(0, span - 1).long()

    def text(self, draws, lines, characters):
        """Words of small letters, some with a capital, some of digits. -> (B,T,M) int64, numbers in CHARACTERS."""
        bag = torch.tensor([CHARACTERS.index(letter) for letter in FREQUENT], device=draws.device)
        letter = bag[draws.integers(0, len(bag), lines, characters)]
        gap = draws.uniform(lines, characters) < 1 / 6
        gap[..., 0] = False
        gap[..., 1:] &= ~gap[..., :-1]
        begins = torch.ones_like(gap)
        begins[..., 1:] = gap[..., :-1]
        capital = begins & (draws.uniform(lines, characters) < 0.3)
        letter = torch.where(capital, letter - LOWER + UPPER, letter)
        digit = draws.integers(0, 10, lines, characters) + DIGIT
        of_digits = draws.uniform(lines, characters) < 0.1  # looked up at the word's first character
        first = torch.where(begins, torch.arange(characters, device=draws.device), 0).cummax(2).values
        letter = torch.where(of_digits.gather(2, first), digit, letter)
        return torch.where(gap, SPACE, letter)

    def set(self, text, advances, start, stop, span, blank):
        """Sets each line from `start` to `stop` (B,T,1), in columns. advances: (B,C) pixels.

        -> (B,T,span) int64 each: slot, the character that a column belongs to, and offset, the column within it, which
        is `blank` before and behind the line.
        """
        widths = advances[:, None].expand(-1, text.shape[1], -1).gather(2, text)  # (B,T,M)
        right = start + widths.cumsum(2)
        left = right - widths
        marks = torch.zeros(*text.shape[:2], span + 1, dtype=torch.int64, device=text.device)
        marks.scatter_add_(2, left.clamp_max(span), torch.ones_like(left))
        slot = (marks.cumsum(2)[..., :span] - 1).clamp_min(0)
        offset = torch.arange(span, device=text.device) - left.gather(2, slot)  # below 0 before the line
        set_here = (offset >= 0) & (right <= stop).gather(2, slot)
        return slot, torch.where(set_here, offset.clamp_max(blank), blank)
