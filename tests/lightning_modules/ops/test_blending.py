"""Blending by OpenCV. Colours of a smooth picture come back where a fill is shifted, whatever the hole's shape."""

import pytest
import torch
from torch.nn import functional as F

from lightning_modules.ops.blending import blend
from lightning_modules.ops.masking import composite


def picture(height=60, width=70, batch=1):
    """Smooth colours, RGB in [0.2,0.8] (B,3,H,W)."""
    coarse = torch.rand(batch, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return smooth.clamp(0, 1) * 0.6 + 0.2


def holes(*boxes, height=60, width=70):
    """(1,1,H,W), 1 in each (top, bottom, left, right)."""
    mask = torch.zeros(1, 1, height, width)
    for top, bottom, left, right in boxes:
        mask[..., top:bottom, left:right] = 1
    return mask


def texture(height=60, width=70):
    """Stripes of 4 pixels along both axes around 0, (1,1,H,W): what fast marching cannot continue."""
    y, x = torch.arange(height)[:, None], torch.arange(width)
    return (((y // 4 + x // 4) % 2).float() - 0.5)[None, None]


def error(pred, image, mask):
    return ((pred - image).abs() * mask).sum().item() / (3 * mask.sum().item())


BORDERS = {
    "top left": (0, 20, 0, 25),
    "top right": (0, 20, 45, 70),
    "bottom left": (40, 60, 0, 25),
    "bottom right": (40, 60, 45, 70),
    "left half": (0, 60, 0, 35),
}


@pytest.mark.parametrize(
    "mask",
    [
        holes((10, 34, 12, 51)),
        holes((10, 50, 12, 22), (40, 50, 12, 60)),
        holes((10, 20, 12, 22), (40, 50, 40, 60)),
        *(holes(box) for box in BORDERS.values()),
    ],
    ids=["rectangle", "L", "two", *BORDERS],
)
def test_a_shifted_fill_takes_on_the_photographs_colours(mask):
    image = picture()
    shifted = composite(image + 0.15, image, mask)
    blended = blend(shifted, mask)
    assert error(blended, image, mask) < 0.7 * error(shifted, image, mask)
    outside = (mask == 0).expand_as(image)
    assert torch.equal(blended[outside], image[outside])
    assert blended.min() >= 0 and blended.max() <= 1


@pytest.mark.parametrize("height", [23, 24])
@pytest.mark.parametrize("width", [38, 39])
def test_a_hole_is_cloned_where_it_is(height, width):
    mask = holes((10, 10 + height, 12, 12 + width))
    image = torch.full((1, 3, 60, 70), 0.4)
    image[..., 20, 30] = 0.8
    blended = blend(image, mask)[0, 0]
    assert divmod(blended.argmax().item(), 70) == (20, 30)
    assert blended[20, 30] == pytest.approx(0.8, abs=0.02)
    blended[20, 30] = 0.4
    assert (blended - 0.4).abs().max() < 0.02


def test_the_fills_texture_survives_and_its_colour_does_not():
    mask, flat = holes((10, 50, 10, 60)), torch.full((1, 3, 60, 70), 0.5)
    blended = blend(composite(flat + 0.2 + 0.2 * texture(), flat, mask), mask)
    inner = blended[..., 20:40, 20:50] - 0.5
    assert inner.mean().abs() < 0.03
    assert (inner * texture()[..., 20:40, 20:50]).mean() == pytest.approx(0.2 * 0.25, rel=0.1)


@pytest.mark.parametrize("box", BORDERS.values(), ids=BORDERS)
def test_at_the_images_border_a_fill_keeps_its_colours(box):
    image, mask = picture(), holes(box)
    edge = torch.zeros_like(mask)
    edge[..., [0, -1], :] = edge[..., :, [0, -1]] = 1
    top, bottom, left, right = box
    edge[..., max(0, top - 8) : top + 8, :] *= top == 0  # not next to the photograph
    edge[..., bottom - 8 : bottom + 8, :] *= bottom == 60
    edge[..., :, max(0, left - 8) : left + 8] *= left == 0
    edge[..., :, right - 8 : right + 8] *= right == 70
    assert error(blend(image, mask), image, edge * mask) < 0.02


def test_each_hole_is_cloned_by_itself():
    image, one, other = picture(), holes((10, 30, 12, 32)), holes((20, 55, 40, 60))
    filled = composite(image + 0.1 + 0.2 * texture(), image, one)
    both = blend(composite(image - 0.1, filled, other), one + other)
    assert torch.equal(both[..., 10:30, 12:32], blend(filled, one)[..., 10:30, 12:32])


@pytest.mark.parametrize("mask", [holes((10, 16, 5, 65)), holes((3, 4, 9, 10)), holes((0, 60, 0, 2))])
def test_nothing_is_left_of_a_fill_in_thin_holes(mask):
    image = picture()
    black, white = (blend(composite(torch.full_like(image, value), image, mask), mask) for value in (0.0, 1.0))
    assert torch.equal(black, white) and error(black, image, mask) < 0.1


def test_images_of_a_batch_are_blended_one_by_one():
    images = picture(batch=3)
    mask = torch.cat([holes((10, 34, 12, 51)), holes(), holes((0, 20, 0, 20))])
    filled = composite(images + 0.1, images, mask)
    expected = [blend(filled[n : n + 1], mask[n : n + 1]) for n in range(3)]
    assert torch.equal(blend(filled, mask), torch.cat(expected)) and torch.equal(expected[1], images[1:2])


def test_an_image_that_is_all_hole_or_has_none_is_left_alone():
    image = picture()
    assert torch.equal(blend(image, holes()), image)
    assert torch.equal(blend(image, torch.ones(1, 1, 60, 70)), image)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 5), (8, 1), (9, 9)])
def test_the_smallest_images_are_blended_too(size):
    image, mask = picture(*size), torch.ones(1, 1, *size)
    mask[..., -1, -1] = 0
    blended = blend(image, mask)
    assert blended.shape == image.shape and torch.equal(blended[..., -1, -1], image[..., -1, -1])


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="1 in the hole"):
        blend(picture(), torch.zeros(1, 1, 5, 5))
