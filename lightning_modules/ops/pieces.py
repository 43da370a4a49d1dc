"""Completed photographs part by part: a photograph stays in uint8, and what fills its holes at the network's size."""

from typing import NamedTuple

import torch

from lightning_modules.ops.png import to_uint8

BAND_PIXELS = 1_000_000  # that are in float at a time


class Piece(NamedTuple):
    """What fills some pixels of one image of a batch.

    The colours, resized to `size`, have the hole's first pixel at `corner`.
    """

    number: int  # of the image
    top: int
    left: int
    hole: torch.Tensor  # bool (h,w), the pixels that it fills
    colours: torch.Tensor  # RGB in [0,1] (3,p,q)
    size: tuple  # (height, width)
    corner: tuple  # (y, x)

    def paste_(self, image, top=0, left=0):
        """Fills them in `image` (3,H,W), float or uint8, whose first pixel is (top, left) of the whole.

        ValueError where a colour is inf or NaN and would become uint8.
        """
        x0, x1 = shared(self.left, self.hole.shape[1], left, image.shape[2])
        y0, y1 = shared(self.top, self.hole.shape[0], top, image.shape[1])
        step = max(1, BAND_PIXELS // max(1, x1 - x0))
        for first in range(y0, y1 if x0 < x1 else y0, step):
            last = min(first + step, y1)
            own = slice(first - self.top, last - self.top), slice(x0 - self.left, x1 - self.left)
            hole, colours = self.hole[own], self.part(*own)
            place = slice(None), slice(first - top, last - top), slice(x0 - left, x1 - left)
            if image.dtype == torch.uint8:
                require_colours(colours[:, hole])
                colours = to_uint8(colours)
            image[place] = torch.where(hole.to(image.device), colours.to(image), image[place])

    def part(self, rows, columns):
        """The colours of some rows and columns, slices, of the hole's box."""
        rows, columns = (
            slice(part.start + first, part.stop + first)
            for part, first in zip((rows, columns), self.corner, strict=True)
        )
        height, width = self.colours.shape[1:]
        if self.size == (height, width):
            return self.colours[:, rows, columns]
        down, across = (
            resizing(own, length, part).to(self.colours)
            for own, length, part in ((height, self.size[0], rows), (width, self.size[1], columns))
        )
        return down @ self.colours @ across.T


def shared(own, length, first, extent):
    """[begin, end) of what [own, own + length) and [first, first + extent) have in common."""
    return max(own, first), min(own + length, first + extent)


def piece_of(number, top, left, hole, colours, size=None, corner=(0, 0)):
    """A Piece no larger than its hole; hole bool (h,w) with at least one pixel."""
    rows, columns = hole.any(1).nonzero()[:, 0], hole.any(0).nonzero()[:, 0]
    y0, y1, x0, x1 = (int(end) for end in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    tight, size = hole[y0:y1, x0:x1].clone(), size or tuple(colours.shape[1:])
    corner = corner[0] + y0, corner[1] + x0
    if size == tuple(colours.shape[1:]):  # the rest of the colours need not be kept
        colours = colours[:, corner[0] :, corner[1] :][:, : tight.shape[0], : tight.shape[1]].clone()
        size, corner = tuple(tight.shape), (0, 0)
    return Piece(number, top + y0, left + x0, tight, colours, size, corner)


def resizing(before, after, rows):
    """(N,before) float32, by which N rows, a slice, of `after` come from `before`: as F.interpolate, bilinear with
    antialias."""
    scale = before / after
    centre = (torch.arange(rows.start, rows.stop, dtype=torch.float64)[:, None] + 0.5) * scale
    weights = (1 - (torch.arange(before) + 0.5 - centre).abs() / max(scale, 1)).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()


def require_colours(values):
    """ValueError where the model gave inf or NaN."""
    if not values.isfinite().all():
        raise ValueError("the model's result holds values that are not finite; is the checkpoint sound?")


def as_float(image):
    """RGB in [0,1]: of uint8 a new tensor, of float the same."""
    return image.float() / 255 if image.dtype == torch.uint8 else image


def pasted(image, pieces):
    """A copy of `image` (B,3,H,W) with the pieces in it."""
    done = image.clone()
    for piece in pieces:
        piece.paste_(done[piece.number])
    return done
