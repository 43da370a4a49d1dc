"""Holds the hole share of masks that are painted shape by shape within limits."""

import math

import torch


def pixel_limits(min_ratio, max_ratio, height, width):
    """Fewest and most hole pixels. Raises ValueError where no whole number of pixels lies between."""
    pixels = height * width
    fewest, most = math.ceil(min_ratio * pixels), math.floor(max_ratio * pixels)
    if fewest > most:
        raise ValueError(
            f"no mask of {height} x {width} has a hole share within [{min_ratio}, {max_ratio}]: widen min_ratio and "
            "max_ratio, or use a larger crop"
        )
    return fewest, most


def shapes_for(min_ratio, covered):
    """Shapes to draw so that their union is `min_ratio` of the image; each covers a share `covered` on average.

    Shapes that fall at random need -ln(1 - ratio) / covered of them; three times as many leave room for bad luck and
    for what falls outside the image.
    """
    return math.ceil(3 * -math.log1p(-min(min_ratio, 0.99)) / covered)


def held_within(shapes, natural, draws, fewest, most):
    """The first `natural` (B,) shapes of each sample, where they make a hole of [fewest, most] pixels.

    Where they do not, a number of pixels is drawn within these limits, and so many shapes are painted as stay below it.
    A shape that jumps over the limits is cut along a row; what all shapes leave short is filled from the top.
    shapes: `paint(count, rows)` -> (R,H,W) bool, which never shrinks as the count grows, and `most` (B,), the shapes
    there are. -> (B,H,W) bool.
    """
    mask = shapes.paint(natural)
    area = mask.sum((1, 2))
    target = draws.integers(fewest, most + 1)
    rows = ((area < fewest) | (area > most)).nonzero()[:, 0]
    if len(rows):
        mask[rows] = repainted(shapes, rows, target[rows], fewest, most)
    return mask


def repainted(shapes, rows, target, fewest, most):
    """The samples `rows` with at most `target` (R,) pixels, or the next shape's where these are too few. -> (R,H,W)."""
    below, above = torch.zeros_like(rows), shapes.most[rows] + 1  # pixels of below <= target < pixels of above
    for _ in range(int(above.max()).bit_length()):
        middle = (below + above) // 2
        fits = shapes.paint(middle, rows).sum((1, 2)) <= target
        below, above = torch.where(fits, middle, below), torch.where(fits, above, middle)
    inner = shapes.paint(below, rows)
    outer = shapes.paint(above, rows) | (above > shapes.most[rows])[:, None, None]  # one more than all: everything
    missing = fewest - inner.sum((1, 2))
    fits = (missing > 0) & (outer.sum((1, 2)) <= most)
    added = outer & ~inner
    number = added.flatten(1).cumsum(1).view_as(added)  # of each added pixel, row by row from 1
    return torch.where(fits[:, None, None], outer, inner | (added & (number <= missing[:, None, None])))
