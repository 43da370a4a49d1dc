import pytest
import torch

from datamodules.masks.centre import Centre
from datamodules.randomness import Draws


def mask(side, height, width):
    return Centre(side=side)(Draws(0, 0, torch.arange(2), "mask"), height, width)


def test_centre_of_128_pixels_is_rows_and_columns_32_to_95():
    hole = mask(0.5, 128, 128)  # Context Encoders, Sec. 3.3
    expected = torch.zeros(2, 1, 128, 128)
    expected[:, :, 32:96, 32:96] = 1
    assert torch.equal(hole, expected)


def test_side_above_one_is_pixels():
    assert torch.equal(mask(64, 128, 128), mask(0.5, 128, 128))


def test_a_share_is_of_the_shorter_side_and_the_hole_stays_square():
    hole = mask(0.5, 40, 60)
    assert hole[0].sum() == 20 * 20
    assert hole[0, 0, 10:30, 20:40].all()


@pytest.mark.parametrize("side", [0, -0.5])
def test_side_must_be_positive(side):
    with pytest.raises(ValueError, match="side must be above 0"):
        Centre(side=side)


def test_a_side_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a hole of side 65 does not fit into an image of 64 x 128"):
        mask(65, 64, 128)
