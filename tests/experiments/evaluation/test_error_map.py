import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from experiments.evaluation.error_map import SCALES, coloured, error_map, legend, pixel_error

BLACK, YELLOW = (0, 0, 4), (252, 255, 164)  # ends of inferno (Smith and van der Walt, 2015), in 8 bits


def flat(*rgb, side=4):
    return torch.tensor(rgb, dtype=torch.uint8)[:, None, None].expand(3, side, side).contiguous()


@pytest.mark.parametrize("task", SCALES)
def test_no_error_is_black_and_the_largest_one_yellow(task):
    image = flat(0, 0, 255)
    assert torch.equal(error_map(image, image, task), flat(*BLACK))
    assert torch.equal(error_map(flat(0, 255, 0), image, task), flat(*YELLOW))


def test_inpainting_counts_absolute_error_over_the_channels():
    one, other = flat(10, 20, 30).float() / 255, flat(40, 20, 90).float() / 255
    assert pixel_error(one, other, "inpainting") == pytest.approx(np.full((4, 4), 100 * 30 / 255), rel=1e-5)


def test_colorization_counts_the_distance_in_ab_and_no_lightness():
    one, other = flat(200, 80, 40), flat(60, 90, 120)
    expected = np.linalg.norm((rgb2lab([200 / 255, 80 / 255, 40 / 255]) - rgb2lab([60 / 255, 90 / 255, 120 / 255]))[1:])
    assert pixel_error(one.float() / 255, other.float() / 255, "colorization")[0, 0] == pytest.approx(
        expected, abs=0.05
    )
    assert error_map(flat(40, 40, 40), flat(220, 220, 220), "colorization").amax() <= 4


def test_the_colours_get_lighter_all_the_way():
    levels = torch.arange(256, dtype=torch.uint8)[None]
    lightness = rgb2lab(coloured(levels).permute(1, 2, 0).numpy())[0, :, 0]
    assert (np.diff(lightness) > 0).all() and np.diff(lightness).max() < 2


def test_the_legend_goes_from_none_to_the_end():
    assert legend()[0] == "#000004" and legend()[-1] == "#fcffa4" and len(legend()) == 9
