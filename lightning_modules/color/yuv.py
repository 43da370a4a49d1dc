"""YUV from gamma-coded RGB and back, in full float32 whatever the precision around it.

Kornia's matrix: ITU-R BT.470 (PAL, luma 0.299 0.587 0.114) rounded to three decimals, full range, chroma around zero.
Image tensors are (..., 3, H, W): RGB and Y in [0, 1], U in [-0.436, 0.436], V in [-0.615, 0.615].
"""

import kornia.color
import torch

from lightning_modules.color.lab import full_float32


def rgb_to_yuv(image):
    """RGB -> YUV, float32. At most 1.5e-4 (in U) from scikit-image's rgb2yuv, whose matrix has eight decimals."""
    assert image.is_floating_point(), f"rgb_to_yuv takes RGB in [0, 1]; got {image.dtype}"
    with full_float32(image.device):
        return kornia.color.rgb_to_yuv(image.float())


def yuv_to_rgb(yuv):
    """YUV -> RGB clipped to [0, 1], float32; the inverse of rgb_to_yuv to 1e-6."""
    with full_float32(yuv.device):
        return kornia.color.yuv_to_rgb(yuv.float()).clamp(0, 1)


def reduce_uv(yuv):
    """YUV (B,3,H,W) with Y in [0,1]: UV of the colours that RGB does not have scaled towards grey until it has them.

    Y stays as it is everywhere, which clipping RGB does not grant. A channel is Y + d with d linear in UV, so the share
    of UV that fits is the smallest of (1 - Y) / d over d > 0 and Y / -d over d < 0, at most 1.
    """
    luma, uv = yuv[:, :1], yuv[:, 1:]
    with full_float32(yuv.device):
        d = kornia.color.yuv_to_rgb(yuv.float()) - luma
    room = torch.where(d > 0, 1 - luma, luma)
    share = (room / d.abs().clamp(min=1e-6)).amin(dim=1, keepdim=True).clamp(0, 1)
    return torch.cat([luma, share * uv], dim=1)
