"""Reference values: what a method does to constants and polynomials follows from its definition; Telea's two levels
in a thin hole are measured, with OpenCV 5.0."""

import pytest
import torch

from lightning_modules.ops import classical
from lightning_modules.ops.classical import biharmonic, navier_stokes, telea

METHODS = {"telea": telea, "navier_stokes": navier_stokes, "biharmonic": biharmonic}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def hole(top=10, bottom=22, left=8, right=25, height=32, width=36):
    mask = torch.zeros(1, 1, height, width)
    mask[..., top:bottom, left:right] = 1
    return mask


def noise(batch=1, height=32, width=36):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@every_method
def test_visible_pixels_stay_bit_for_bit_though_they_are_no_multiples_of_a_level(method):
    image, mask = noise(2), torch.cat([hole(), hole(0, 9, 20, 36)])
    done = method(image, mask)
    outside = (mask == 0).expand_as(image)
    assert torch.equal(done[outside], image[outside]) and done.dtype == image.dtype
    assert done.min() >= 0 and done.max() <= 1


@every_method
def test_what_is_in_the_hole_has_no_influence(method):
    image, mask = noise(), hole()
    other = torch.where(mask > 0, torch.nan, image)
    assert torch.equal(method(image, mask), method(other, mask))


@every_method
def test_a_mask_of_1_and_one_of_255_mean_the_same(method):
    assert torch.equal(method(noise(), hole()), method(noise(), 255 * hole()))


@every_method
def test_images_of_a_batch_are_filled_one_by_one(method):
    image, mask = noise(3), torch.cat([hole(), hole(3, 9, 3, 9), hole(5, 5, 5, 5)])
    expected = [method(image[n : n + 1], mask[n : n + 1]) for n in range(3)]
    assert torch.equal(method(image, mask), torch.cat(expected))


@every_method
def test_an_image_without_a_hole_stays_and_one_that_is_nothing_else_becomes_black(method):
    image = noise(2)
    mask = torch.cat([torch.zeros(1, 1, 32, 36), torch.ones(1, 1, 32, 36)])
    assert torch.equal(method(image, mask), image * (1 - mask))


@pytest.mark.parametrize("level", [0, 118, 255])
@pytest.mark.parametrize(
    ("method", "mask", "levels"), [(navier_stokes, hole(), 0), (biharmonic, hole(), 0), (telea, hole(bottom=13), 2)]
)
def test_a_constant_image_comes_back(method, mask, levels, level):
    image = torch.full((1, 3, 32, 36), level / 255)
    assert (method(image, mask) - image).abs().max() * 255 <= levels + 1e-4


def test_navier_stokes_stays_between_the_visible_pixels():
    image, mask = 0.3 + 0.4 * noise(), hole()
    inside = navier_stokes(image, mask)[(mask > 0).expand_as(image)]
    assert inside.min() > 0.3 - 1 / 255 and inside.max() < 0.7 + 1 / 255 and inside.std() > 0.01


def test_biharmonic_continues_cubics_through_a_hole_inside():
    x, y = torch.linspace(0, 1, 36, dtype=torch.float64), torch.linspace(0, 1, 32, dtype=torch.float64)[:, None]
    planes = [x.expand(32, 36), (x**3).expand(32, 36), 0.2 + 0.3 * y**3 + 0.4 * x**2 * y]
    image, mask = torch.stack(planes)[None], hole()
    spoiled = torch.where(mask > 0, 0.5, image)
    assert (biharmonic(spoiled, mask) - image).abs().max() < 1e-11


def test_channels_are_filled_by_themselves():
    image, mask = noise(), hole()
    for method in METHODS.values():
        assert torch.equal(method(image.flip(1), mask), method(image, mask).flip(1))


def test_a_wider_radius_changes_what_is_averaged():
    assert not torch.equal(telea(noise(), hole(), radius=1), telea(noise(), hole(), radius=8))


def test_a_hole_beyond_the_memory_of_a_factorisation_is_refused(monkeypatch):
    monkeypatch.setattr(classical, "MOST_UNKNOWN", 203)
    with pytest.raises(ValueError, match="of at most 203 pixels; this one has 204: take smaller images or holes"):
        biharmonic(noise(), hole())
    biharmonic(noise(), hole(right=24))


def test_a_mask_of_another_shape_is_refused():
    for method in METHODS.values():
        with pytest.raises(ValueError, match="1 in the hole"):
            method(noise(), torch.zeros(1, 1, 5, 5))
