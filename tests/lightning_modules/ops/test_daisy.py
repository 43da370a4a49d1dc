"""The reference is scikit-image's daisy (step=1, l1) of the image mirrored by the radius."""

import numpy as np
import pytest
import skimage.feature
import torch
from scipy.ndimage import gaussian_filter

from lightning_modules.ops.daisy import blur, daisy, mirrored

PAPER = {"radius": 15, "rings": 1, "histograms": 3, "orientations": 8}  # 32 numbers, Deep Colorization
SETTINGS = {
    32: PAPER,
    200: {"radius": 15, "rings": 3, "histograms": 8, "orientations": 8},  # scikit-image's defaults
    40: {"radius": 6, "rings": 1, "histograms": 4, "orientations": 8},
    78: {"radius": 9, "rings": 2, "histograms": 6, "orientations": 6},
}


def picture(height, width, seed=0):
    """Smooth regions, edges and noise. (1,1,H,W) float64 in [0,1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = 0.5 + 0.3 * np.sin(x / 7 + y / 11) + 0.15 * (x > width // 2) + 0.05 * rng.standard_normal((height, width))
    return torch.from_numpy(np.clip(image, 0, 1))[None, None]


def reference(image, **settings):
    """(1,C,H,W) float64"""
    margin = np.pad(image[0, 0].numpy(), settings["radius"], mode="reflect")
    return torch.from_numpy(skimage.feature.daisy(margin, step=1, normalization="l1", **settings)).permute(2, 0, 1)[
        None
    ]


@pytest.mark.parametrize("points", SETTINGS)
def test_equals_scikit_image_to_rounding(points):
    image, settings = picture(50, 67), SETTINGS[points]
    expected = reference(image, **settings)
    assert expected.shape == (1, points, 50, 67)
    assert (daisy(image, **settings) - expected).abs().max() < 1e-12
    assert (daisy(image.float(), **settings) - expected).abs().max() < 1e-6


def test_the_defaults_are_those_of_scikit_image():
    image = picture(40, 40)
    assert torch.equal(daisy(image), daisy(image, **SETTINGS[200]))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 40), (130, 33), (3, 20)])
def test_any_size_down_to_a_few_pixels_equals_scikit_image(height, width):
    image = picture(height, width)
    assert (daisy(image, **PAPER) - reference(image, **PAPER)).abs().max() < 1e-12


def test_images_of_a_batch_do_not_see_each_other():
    images = torch.cat([picture(30, 40, seed) for seed in range(3)])
    alone = torch.cat([daisy(image[None], **PAPER) for image in images])
    torch.testing.assert_close(daisy(images, **PAPER), alone, atol=1e-14, rtol=0)


def test_descriptors_sum_to_one_and_flat_images_get_flat_ones():
    assert (daisy(picture(30, 30).float(), **PAPER).sum(1) - 1).abs().max() < 1e-5
    flat = daisy(torch.full((2, 1, 20, 20), 0.7), **PAPER)
    torch.testing.assert_close(flat, torch.full_like(flat, 1 / 32))


@pytest.mark.parametrize("orientations", [1, 8, 13, 64])
def test_flat_regions_have_numbers_with_any_count_of_orientations(orientations):
    image, settings = picture(24, 30).clone(), PAPER | {"orientations": orientations}
    image[..., :15] = 0.4
    found = daisy(image.float(), **settings)
    assert found.isfinite().all()
    assert (found - reference(image, **settings)).abs().max() < 1e-6


def test_doubling_the_contrast_changes_nothing():
    image = picture(30, 30)
    torch.testing.assert_close(daisy(image / 2, **PAPER), daisy(image, **PAPER), atol=1e-7, rtol=0)


def test_autocast_and_half_precision_input_are_computed_in_float32():
    image = picture(40, 40).half()
    plain = daisy(image.float(), **PAPER)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(daisy(image, **PAPER), plain)


def test_mirroring_reaches_beyond_the_image_as_numpy_does():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert (mirrored(image, 9)[0, 0].numpy() == np.pad(image[0, 0].numpy(), 9, mode="reflect")).all()
    assert (mirrored(torch.ones(1, 1, 1, 1), 2) == torch.ones(1, 1, 5, 5)).all()


@pytest.mark.parametrize("size", [(100, 70), (9, 40)])
def test_the_blur_is_that_of_scipy(size):
    planes = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = gaussian_filter(planes.numpy(), (0, 0, 5, 5), mode="reflect")
    assert np.abs(blur(planes, 5.0).numpy() - expected).max() < 1e-14


@pytest.mark.gpu
def test_a_gpu_gives_the_same_descriptors():
    images = torch.cat([picture(64, 80, seed) for seed in range(2)]).float()
    torch.testing.assert_close(daisy(images.cuda(), **PAPER).cpu(), daisy(images, **PAPER), atol=1e-5, rtol=0)
