"""Scores of one image at a time. RGB in [0, 1]; mask (B,1,H,W), 1 = hole; each returns one value a sample, (B,)."""

import torch
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from lightning_modules.ops.masking import require_mask

PSNR_CAP = 60.0  # dB, libvmaf's for 8 bits: an exact copy would be inf and decide every mean
SSIM_BORDER = 5  # pixels at each side whose 11 x 11 window leaves the image
MS_SSIM_SIDE = 176  # pixels: after four halvings 11 are left, one window


def psnr(pred, image):
    """10 log10(1 / mean squared error) in dB over all pixels and channels, at most PSNR_CAP."""
    value = peak_signal_noise_ratio(pred, image, data_range=1.0, dim=(1, 2, 3), reduction="none")
    return value.clamp(max=PSNR_CAP)


def ssim(pred, image):
    """Structural similarity (Wang 2004: Gaussian window 11 x 11, sigma 1.5), mean over channels and whole windows.

    In float32, where torchmetrics takes 50 ms at 256 x 256 on one core and in float64 865; 1e-7 apart.
    """
    if min(image.shape[-2:]) <= 2 * SSIM_BORDER:
        raise ValueError(f"SSIM needs images of at least 11 x 11 pixels; got {tuple(image.shape)}")
    _, full = structural_similarity_index_measure(
        pred.float(), image.float(), data_range=1.0, reduction="none", return_full_image=True
    )
    whole = slice(SSIM_BORDER, -SSIM_BORDER)
    return full[..., whole, whole].double().mean((1, 2, 3))


def ms_ssim(pred, image):
    """Multi-scale SSIM (Wang 2003, Eq. 7) by torchmetrics: contrast and structure at five scales, luminance at the
    coarsest, whose border it mirrors; a negative mean counts as 0."""
    if min(image.shape[-2:]) < MS_SSIM_SIDE:
        raise ValueError(f"MS-SSIM needs images of at least 176 x 176 pixels; got {tuple(image.shape)}")
    value = multiscale_structural_similarity_index_measure(
        pred.float(), image.float(), data_range=1.0, reduction="none"
    )
    return value.double()


def hole_ratio(mask):
    """Share of hole pixels."""
    return mask.mean((1, 2, 3))


def hole_mean(error, mask):
    """Mean of `error` (B,C,H,W) over the hole's pixels and the channels; NaN where there is no hole."""
    require_mask(error, mask)
    return (error * mask).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) * error.shape[1])


def l1(pred, image):
    """Mean |pred - image| over all pixels and channels."""
    return (pred - image).abs().mean((1, 2, 3))


def l2(pred, image):
    """Mean squared error over all pixels and channels."""
    return (pred - image).square().mean((1, 2, 3))


def l1_in_hole(pred, image, mask):
    """Mean |pred - image| over the hole alone."""
    return hole_mean((pred - image).abs(), mask)


def l2_in_hole(pred, image, mask):
    """Mean squared error over the hole alone."""
    return hole_mean((pred - image).square(), mask)


def psnr_in_hole(pred, image, mask):
    """PSNR in dB over the hole alone, at most PSNR_CAP; NaN where there is no hole."""
    return (-10 * torch.log10(l2_in_hole(pred, image, mask))).clamp(max=PSNR_CAP)
