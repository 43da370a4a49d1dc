import pytest
import torch

from datamodules.preview import HOLE, OPACITY, preview_grid


def test_grid_has_rows_of_columns_with_a_border_between():
    grid = preview_grid(torch.zeros(5, 3, 8, 10), columns=3)
    assert grid.dtype == torch.uint8
    assert grid.shape == (3, 2 * (8 + 2) + 2, 3 * (10 + 2) + 2)


def test_hole_is_tinted_half_transparent_and_the_rest_is_untouched():
    images = torch.full((2, 3, 8, 8), 0.2)
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, :, :4] = 1
    grid = preview_grid(images, masks, columns=2)
    tinted = [round(255 * (0.2 * (1 - OPACITY) + colour * OPACITY)) for colour in HOLE]
    assert grid[:, 2 + 1, 2 + 1].tolist() == tinted
    assert grid[:, 2 + 6, 2 + 1].tolist() == [51, 51, 51]  # 0.2 * 255
    assert (grid[:, 2:10, 12:20] == 51).all()  # the second image has no hole


def test_values_outside_the_range_are_clamped():
    grid = preview_grid(torch.tensor([-1.0, 2.0])[:, None, None, None].expand(2, 3, 4, 4), columns=2)
    assert grid[0, 3, 3] == 0 and grid[0, 3, 9] == 255


@pytest.mark.parametrize("images", [torch.zeros(3, 8, 8), torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8).byte()])
def test_images_must_be_float_rgb(images):
    with pytest.raises(ValueError, match=r"images must be float RGB in \[0,1\], \(B,3,H,W\); got"):
        preview_grid(images)


def test_masks_must_fit_the_images():
    with pytest.raises(ValueError, match=r"masks must be \(2, 1, 8, 8\) with 1 in the hole; got \(2, 8, 8\)"):
        preview_grid(torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8))


def test_columns_must_be_positive():
    with pytest.raises(ValueError, match="columns must be at least 1, got 0"):
        preview_grid(torch.zeros(2, 3, 8, 8), columns=0)
