import pytest
import torch

from lightning_modules.ops.masking import mean_fill
from lightning_modules.ops.push_pull import halved, push_pull


def hole_in(height, width, top, left, bottom, right):
    mask = torch.zeros(1, 1, height, width)
    mask[..., top:bottom, left:right] = 1
    return mask


def ramp(height=64, width=64):
    """A colour that changes from left to right, and another from top to bottom."""
    x, y = (
        torch.linspace(0, 1, width).expand(height, width),
        torch.linspace(0, 1, height)[:, None].expand(height, width),
    )
    return torch.stack([x, y])[None]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 50), (1, 9), (9, 1), (2, 3)])
def test_the_visible_pixels_stay_and_the_hole_is_between_their_values(height, width):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, height, width, generator=generator)
    mask = (torch.rand(2, 1, height, width, generator=generator) < 0.6).float()
    mask[..., 0, 0] = 0
    done = push_pull(image, mask)
    inside = (mask > 0).expand_as(image)
    assert torch.equal(done[~inside], image[~inside])
    visible = torch.where(inside, torch.nan, image).flatten(2)
    low, high = visible.nan_to_num(9).amin(2)[..., None, None], visible.nan_to_num(-9).amax(2)[..., None, None]
    assert ((done >= low - 1e-5) & (done <= high + 1e-5)).all()


@pytest.mark.parametrize("side", [8, 24, 32])
def test_a_ramp_is_carried_on_far_better_than_by_its_mean_colour(side):
    first = (64 - side) // 2
    image, mask = ramp(), hole_in(64, 64, first, first, first + side, first + side)
    error = (push_pull(image, mask) - image).abs().sum() / mask.sum() / 2
    assert error < 0.4 * (mean_fill(image, mask) - image).abs().sum() / mask.sum() / 2


def test_an_image_of_one_colour_comes_back_whole():
    image = torch.full((1, 3, 21, 34), 0.3)
    assert torch.allclose(push_pull(image, hole_in(21, 34, 3, 0, 21, 30)), image, atol=1e-6)


def test_what_is_in_the_hole_has_no_influence():
    image, mask = ramp(), hole_in(64, 64, 10, 5, 40, 64)
    other = torch.where(mask > 0, torch.nan, image)
    assert torch.equal(push_pull(other, mask), push_pull(image, mask))


def test_without_a_visible_pixel_the_result_is_0():
    assert push_pull(ramp(8, 8), torch.ones(1, 1, 8, 8)).abs().max() == 0


def test_without_a_hole_the_image_comes_back():
    assert torch.equal(push_pull(ramp(8, 8), torch.zeros(1, 1, 8, 8)), ramp(8, 8))


@pytest.mark.parametrize(("side", "half"), [(8, 4), (7, 4), (2, 1), (3, 2), (1, 1)])
def test_halved_rounds_up(side, half):
    assert halved(torch.zeros(1, 1, side, side)).shape == (1, 1, half, half)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="1 in the hole"):
        push_pull(ramp(), torch.zeros(1, 2, 64, 64))
