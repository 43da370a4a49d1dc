import math

import pytest
import torch

from datamodules.masks.raster import Runs
from datamodules.masks.ratio import held_within, pixel_limits, shapes_for
from datamodules.randomness import Draws

HEIGHT, WIDTH = 10, 20


def bars(widths):
    """Upright bars side by side, the same in every sample: shape k covers `widths[k]` columns."""
    widths = torch.tensor(widths).expand(6, -1)
    left = widths.cumsum(1) - widths
    full = torch.full_like(widths, HEIGHT)
    shown = torch.ones_like(widths, dtype=torch.bool)
    return Runs.of_rectangles(torch.zeros_like(widths), left, full, widths, shown, HEIGHT, WIDTH)


def held(widths, natural, fewest, most):
    draws = Draws(0, 0, torch.arange(6), "mask")
    return held_within(bars(widths), torch.tensor(natural), draws, fewest, most)


def test_masks_within_the_limits_stay_as_they_are():
    mask = held([1] * 20, [3, 4, 5, 6, 7, 8], 30, 80)
    assert mask.sum((1, 2)).tolist() == [30, 40, 50, 60, 70, 80]
    assert mask[0, :, :3].all()


def test_too_small_and_too_large_masks_get_whole_shapes_within_the_limits():
    mask = held([1] * 20, [0, 1, 2, 9, 15, 20], 30, 80)
    area = mask.sum((1, 2))
    assert (area >= 30).all() and (area <= 80).all() and (area % HEIGHT == 0).all()
    assert len(area.unique()) > 1  # the limits are not where all of them end up


def test_a_shape_that_jumps_over_the_limits_is_cut_along_a_row():
    mask = held([1, 10, 9], [1, 2, 3, 1, 2, 3], 35, 40)  # 10, 110 or 200 pixels
    assert mask.sum((1, 2)).tolist() == [35] * 6
    assert mask[0, :, 0].all()  # the first bar is whole
    assert mask[0, :2, 1:11].all() and mask[0, 2, 1:6].all()  # 20 + 5 pixels of the second


def test_where_all_shapes_are_too_few_the_rest_is_filled_from_the_top():
    mask = held([1, 1], [1, 1, 1, 2, 2, 2], 60, 100)
    assert mask.sum((1, 2)).tolist() == [60] * 6
    assert mask[0, :2].all() and mask[0, :, :2].all()


def test_an_empty_natural_mask_is_brought_within_limits_too():
    assert (held([2] * 10, [0] * 6, 1, 20).sum((1, 2)) == 20).all()  # one bar has 20 pixels


def test_limits_are_whole_pixels_within_the_shares():
    assert pixel_limits(0.101, 0.299, 10, 10) == (11, 29)
    assert pixel_limits(0.25, 0.5, 2, 2) == (1, 2)


def test_limits_without_a_whole_pixel_between_are_refused():
    with pytest.raises(ValueError, match=r"no mask of 2 x 2 has a hole share within \[0.3, 0.4\]: widen min_ratio"):
        pixel_limits(0.3, 0.4, 2, 2)


def test_three_times_the_shapes_that_a_random_cover_needs_are_drawn():
    # Squares of 1 % each: 69.3 of them cover half of the image on average, 1 - exp(-0.693).
    assert shapes_for(0.5, 0.01) == math.ceil(3 * 69.3147)
    assert shapes_for(0, 0.01) == 0
    assert shapes_for(1.0, 0.01) == shapes_for(0.99, 0.01)
