import pytest
import torch

from datamodules.masks.rectangle import Rectangle
from datamodules.randomness import Draws


def masks(generator, height, width, count=64):
    return generator(Draws(0, 0, torch.arange(count), "mask"), height, width)[:, 0].bool()


def bounds(mask):
    """Top, height, left, width (B,) of the holes' bounding boxes."""
    rows, columns = mask.any(2).int(), mask.any(1).int()
    return rows.argmax(1), rows.sum(1), columns.argmax(1), columns.sum(1)


def test_one_rectangle_lies_whole_inside_the_image():
    mask = masks(Rectangle(side=[96, 128]), 256, 256)  # GLCIC, Sec. 3.4
    top, height, left, width = bounds(mask)
    assert torch.equal(mask.sum((1, 2)), height * width)  # the hole fills its bounding box
    for side in (height, width):
        assert side.min() >= 96 and side.max() <= 128
    assert (height != width).any()
    assert (top + height <= 256).all() and (left + width <= 256).all()


def test_sides_and_places_reach_both_ends_of_their_ranges():
    top, height, left, width = bounds(masks(Rectangle(side=[3, 5]), 8, 10, count=600))
    assert height.unique().tolist() == width.unique().tolist() == [3, 4, 5]
    assert top.min() == 0 and (top + height).max() == 8
    assert left.min() == 0 and (left + width).max() == 10


def test_shares_scale_with_the_shorter_side():
    _, height, _, width = bounds(masks(Rectangle(side=[0.5, 0.5]), 40, 80))
    assert (height == 20).all() and (width == 20).all()


def test_several_rectangles_cover_more_and_their_number_varies():
    area = masks(Rectangle(side=[4, 4], count=[1, 3]), 64, 64, count=200).sum((1, 2))
    assert area.min() == 16 and area.max() == 48 and (area == 32).any()


def test_a_side_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a hole of side 96 does not fit into an image of 64 x 64"):
        masks(Rectangle(side=[96, 128]), 64, 64)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="count must be"):
        Rectangle(count=[0, 2])
    with pytest.raises(ValueError, match="side must be two shares"):
        Rectangle(side=[0.5, 128])
