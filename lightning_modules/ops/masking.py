"""Putting a filled hole and its photograph together. mask (B,1,H,W) float, 1 in the hole, everywhere."""

import torch


def require_mask(image, mask):
    """ValueError unless `mask` is (B,1,H,W) for `image` (B,C,H,W)."""
    expected = (image.shape[0], 1, *image.shape[2:])
    if tuple(mask.shape) != expected:
        raise ValueError(f"mask must be (B,1,H,W) = {expected} with 1 in the hole; got {tuple(mask.shape)}")


def composite(pred, image, mask):
    """pred in the hole, image around it, the latter bit for bit. (B,C,H,W) each, any range."""
    require_mask(image, mask)
    return torch.where(mask > 0, pred, image)


def mean_fill(image, mask):
    """The hole filled with the mean colour of what is visible in the same image, the trivial answer. (B,3,H,W)."""
    require_mask(image, mask)
    valid = 1 - mask
    mean = (image * valid).sum((2, 3), keepdim=True) / valid.sum((2, 3), keepdim=True).clamp(min=1)
    return composite(mean.expand_as(image), image, mask)
