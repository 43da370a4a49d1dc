"""The reference is scikit-image 0.26 in float64, with the settings of Wang (2004) for SSIM."""

import numpy as np
import pytest
import torch
from scipy.signal import fftconvolve
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from lightning_modules.metrics.pixel import (
    PSNR_CAP,
    hole_ratio,
    l1,
    l1_in_hole,
    l2,
    l2_in_hole,
    ms_ssim,
    psnr,
    psnr_in_hole,
    ssim,
)


@pytest.fixture
def pair():
    """(prediction, image), smooth pictures with different amounts of noise, (3,3,40,56) in [0,1], float64."""
    generator = torch.Generator().manual_seed(0)
    image = torch.nn.functional.interpolate(
        torch.rand(3, 3, 5, 7, generator=generator, dtype=torch.float64), size=(40, 56), mode="bicubic"
    )
    noise = torch.tensor([0.01, 0.1, 0.4])[:, None, None, None] * torch.randn(image.shape, generator=generator)
    return (image + noise).clamp(0, 1), image.clamp(0, 1)


def by_scikit_image(score, pred, image):
    return [score(i.numpy(), p.numpy()) for p, i in zip(pred, image, strict=True)]


def test_psnr_agrees_with_scikit_image(pair):
    expected = by_scikit_image(lambda i, p: peak_signal_noise_ratio(i, p, data_range=1.0), *pair)
    assert psnr(*pair).tolist() == pytest.approx(expected, abs=1e-5)  # measured: 2e-6 dB, from a float32 log(10)


def scikit_ssim(image, pred):
    return structural_similarity(
        image, pred, data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


def test_ssim_agrees_with_scikit_image(pair):
    expected = by_scikit_image(scikit_ssim, *pair)
    assert ssim(*pair).tolist() == pytest.approx(expected, abs=2e-6)  # in float32; measured 1e-6
    in_float32 = ssim(*(picture.float() for picture in pair))
    assert in_float32.tolist() == pytest.approx(expected, abs=1e-5)


def test_ssim_needs_one_whole_window():
    assert ssim(torch.zeros(1, 3, 11, 11), torch.zeros(1, 3, 11, 11)).item() == 1
    with pytest.raises(ValueError, match="at least 11 x 11"):
        ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20))


@pytest.fixture
def large_pair():
    """(prediction, image), the same at 176 x 187, an odd side, (3,3,176,187)."""
    generator = torch.Generator().manual_seed(1)
    image = torch.nn.functional.interpolate(
        torch.rand(3, 3, 11, 13, generator=generator, dtype=torch.float64), size=(176, 187), mode="bicubic"
    )
    noise = torch.tensor([0.01, 0.1, 0.4])[:, None, None, None] * torch.randn(image.shape, generator=generator)
    return (image + noise).clamp(0, 1), image.clamp(0, 1)


def ms_ssim_of_planes(pred, image):
    """Wang 2003 word for word, of (3,H,W) arrays; all sums are over windows that lie inside the plane."""
    offset = np.arange(-5, 6)
    line = np.exp(-(offset**2) / (2 * 1.5**2))
    window = np.outer(line, line)[None] / np.outer(line, line).sum()
    score = 1.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
        mean_x, mean_y, xx, yy, xy = (
            fftconvolve(plane, window, mode="valid", axes=(1, 2))
            for plane in (pred, image, pred * pred, image * image, pred * image)
        )
        contrast = (2 * (xy - mean_x * mean_y) + 0.03**2) / (xx - mean_x**2 + yy - mean_y**2 + 0.03**2)
        luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        score *= (contrast if scale < 4 else contrast * luminance).mean() ** weight
        height, width = (side // 2 * 2 for side in pred.shape[1:])
        pred, image = (
            plane[:, :height, :width].reshape(3, height // 2, 2, width // 2, 2).mean((2, 4)) for plane in (pred, image)
        )
    return score


def test_ms_ssim_agrees_with_its_definition_in_scipy(large_pair):
    expected = [ms_ssim_of_planes(p.numpy(), i.numpy()) for p, i in zip(*large_pair, strict=True)]
    assert expected[0] > expected[1] > expected[2]
    assert ms_ssim(*large_pair).tolist() == pytest.approx(
        expected, abs=1e-3
    )  # torchmetrics mirrors the smallest border


def test_ms_ssim_of_a_copy_is_one_and_of_a_negative_is_zero(large_pair):
    _, image = large_pair
    assert ms_ssim(image, image).tolist() == pytest.approx([1, 1, 1], abs=1e-6)
    assert ms_ssim(1 - image, image).tolist() == [0, 0, 0]


def test_ms_ssim_needs_one_whole_window_at_the_coarsest_scale():
    assert ms_ssim(torch.zeros(1, 3, 176, 176), torch.zeros(1, 3, 176, 176)).item() == pytest.approx(1)
    with pytest.raises(ValueError, match="at least 176 x 176 pixels; got .1, 3, 175, 256."):
        ms_ssim(torch.zeros(1, 3, 175, 256), torch.zeros(1, 3, 175, 256))


def test_an_exact_copy_has_the_psnr_of_the_cap():
    image = torch.full((2, 3, 12, 12), 0.3)
    mask = torch.zeros(2, 1, 12, 12)
    mask[..., :3, :3] = 1
    assert psnr(image, image).tolist() == [PSNR_CAP, PSNR_CAP] == psnr_in_hole(image, image, mask).tolist()


def test_scores_of_a_picture_by_hand():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    pred = image.clone()
    pred[0, :, 0, 0] = torch.tensor([0.1, 0.2, 0.3])  # 3 of 12 values are off
    assert l1(pred, image).item() == pytest.approx(0.6 / 12)
    assert l2(pred, image).item() == pytest.approx(0.14 / 12)
    assert psnr(pred, image).item() == pytest.approx(10 * np.log10(12 / 0.14), abs=1e-5)


def test_scores_in_a_hole_divide_by_the_hole():
    image = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    pred = image.clone()
    pred[0, :, 0, 0] = torch.tensor([0.1, 0.2, 0.3])
    pred[0, :, 1, 1] = 0.9  # outside the hole
    mask = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]], dtype=torch.float64)
    assert hole_ratio(mask).item() == 0.5
    assert l1_in_hole(pred, image, mask).item() == pytest.approx(0.6 / 6)
    assert l2_in_hole(pred, image, mask).item() == pytest.approx(0.14 / 6)
    assert psnr_in_hole(pred, image, mask).item() == pytest.approx(10 * np.log10(6 / 0.14), abs=1e-5)


def test_a_score_in_no_hole_is_nan():
    image = torch.zeros(1, 3, 4, 4)
    assert torch.isnan(psnr_in_hole(image, image, torch.zeros(1, 1, 4, 4))).all()


@pytest.mark.parametrize("score", [l1_in_hole, l2_in_hole, psnr_in_hole])
def test_hole_scores_reject_a_mask_that_is_not_b1hw(score):
    with pytest.raises(ValueError, match="1 in the hole"):
        score(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4))


@pytest.mark.parametrize("score", [psnr, ssim, ms_ssim, l1, l2])
def test_a_sample_scores_the_same_in_any_batch(large_pair, score):
    pred, image = large_pair
    alone = torch.cat([score(pred[i : i + 1], image[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(score(pred, image), alone, rtol=0, atol=1e-12)
