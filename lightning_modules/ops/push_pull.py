"""Smooth filling of holes from what surrounds them. Gortler, Grzeszczuk, Szeliski and Cohen: The Lumigraph, 1996."""

import torch
from torch.nn import functional as F

from lightning_modules.ops.masking import composite, require_mask


def push_pull(image, mask):
    """`image` (B,C,H,W) with the colours around each hole carried into it; bit for bit the same outside.

    Pull: the image is halved, each pixel the mean of the visible ones among 4 x 4, until none of it is a hole. Push:
    each hole takes its pixels from the image of half the size, enlarged bilinearly. mask (B,1,H,W), 1 = hole. What is
    in the hole has no influence; an image without a visible pixel becomes 0.
    """
    require_mask(image, mask)
    hole = mask > 0
    seen = torch.where(hole, 0.0, image)
    if image.shape[-2:] == (1, 1):
        return seen
    share = halved((~hole).to(image.dtype))
    coarse = push_pull(halved(seen) / share.clamp(min=1e-6), (share == 0).to(image.dtype))
    smooth = F.interpolate(coarse, image.shape[-2:], mode="bilinear", align_corners=False)
    return composite(smooth, image, mask)


def halved(plane):
    """Means of 4 x 4 pixels at every second one, zeros beyond the border. (B,C,H,W) -> (B,C,ceil(H/2),ceil(W/2))."""
    return F.avg_pool2d(plane, 4, stride=2, padding=1, ceil_mode=True)
