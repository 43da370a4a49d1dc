import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.masks.random_region import AT_ONCE, LEVELS, WEIGHT_UNIT, RandomRegion, cubic, interpolation
from datamodules.randomness import Draws


def draws(count, epoch=0):
    return Draws(0, epoch, torch.arange(count), "mask")


def shares(side, count):
    """Hole shares of `count` random crops of the pattern, none refused."""
    generator = RandomRegion()
    noise = generator.noise(draws(count // AT_ONCE), side, side)
    return (noise < generator.threshold * LEVELS * WEIGHT_UNIT**2).double().mean((2, 3)).flatten()


def test_about_16_percent_of_the_pattern_is_hole_and_one_crop_in_five_is_taken():
    # Measured on a 10000 x 10000 pattern made as the released code makes it: about 16 % and about 0.2.
    share = shares(64, 1600)
    assert share.mean() == pytest.approx(0.165, abs=0.01)
    assert ((share > 0.2) & (share < 0.3)).double().mean() == pytest.approx(0.22, abs=0.05)


@pytest.mark.parametrize("side, count, mean", [(64, 200, 0.24), (128, 60, 0.23)])
def test_accepted_masks_have_the_mean_share_of_the_released_code(side, count, mean):
    share = RandomRegion()(draws(count), side, side).mean((1, 2, 3))
    assert share.min() > 0.2 and share.max() < 0.3
    assert share.mean() == pytest.approx(mean, abs=0.006)


def test_cubic_is_one_at_its_centre_and_its_taps_sum_to_one():
    assert cubic(torch.tensor([0.0, 1.0, 2.0, 3.0])).tolist() == [1, 0, 0, 0]
    phase = torch.linspace(0, 1, 11)[:, None]
    taps = cubic((phase + torch.tensor([1.0, 0.0, -1.0, -2.0])).abs())
    assert torch.allclose(taps.sum(1), torch.ones(11))


def test_upscaling_equals_pillows_bicubic():
    # Pillow's BICUBIC has a = -1/2 too. Its pixel p lies at p / 4 - 3/8 cells; ours, with phase 5/8, two cells later.
    cells = np.random.default_rng(0).random((9, 9), dtype=np.float32)
    larger = np.asarray(Image.fromarray(cells).resize((36, 36), Image.Resampling.BICUBIC))
    matrix = interpolation(torch.tensor([0.625]), 20, 0.25)[0] / WEIGHT_UNIT
    ours = matrix @ torch.from_numpy(cells).double() @ matrix.T
    assert matrix.shape == (20, 9)
    assert np.abs(ours.numpy() - larger[8:28, 8:28]).max() < 1e-3  # weights are multiples of 1 / WEIGHT_UNIT


def test_weights_and_noise_are_integers_that_float64_adds_exactly():
    matrix = interpolation(torch.tensor([0.123, 0.987]), 64, 0.06)
    assert torch.equal(matrix, matrix.round())
    noise = RandomRegion().noise(draws(3), 32, 32)
    assert torch.equal(noise, noise.round()) and noise.abs().max() < 2**53


def test_drawing_ends_where_no_crop_is_acceptable_and_the_share_is_right_still():
    generator = RandomRegion(threshold=0.9, candidates=AT_ONCE)  # nearly all of the pattern is hole
    share = generator(draws(5), 64, 64).mean((1, 2, 3))
    assert ((share > 0.2) & (share < 0.3)).all()
    assert share.tolist() == pytest.approx([0.25] * 5, abs=0.001)


@pytest.mark.parametrize("height, width", [(32, 96), (2, 2)])
def test_small_and_oblong_images_are_possible(height, width):
    share = RandomRegion()(draws(20), height, width).mean((1, 2, 3))
    assert ((share > 0.2) & (share < 0.3)).all()


def test_an_image_without_a_possible_share_is_refused():
    with pytest.raises(ValueError, match="no mask of 1 x 3 has a hole share between 0.2 and 0.3"):
        RandomRegion()(draws(1), 1, 3)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"resolution": 0}, "resolution must be above 0 and at most 1"),
        ({"threshold": 1.0}, "threshold must lie between 0 and 1"),
        ({"candidates": 6}, "candidates must be a multiple of 4, got 6"),
        ({"candidates": 0}, "candidates must be a multiple of 4, got 0"),
        ({"max_ratio": 0.1}, "hole shares need"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RandomRegion(**settings)
