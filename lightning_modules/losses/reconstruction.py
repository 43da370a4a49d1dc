"""Pixel losses: (pred, target, mask) -> scalar. pred and target (B,C,H,W) in any range; mask (B,1,H,W), 1 = hole.

Papers that print the same norm divide it by different numbers, and the weights beside it only fit their own:
`*_weighted` divides by all values of the images (with the mask as weight: Liu 2018, L_hole, which grows with the hole),
`*_in_hole` by the values in the hole.
"""

from lightning_modules.ops.masking import require_mask


def l1_weighted(pred, target, weight):
    """Mean of weight * |pred - target| over all B*C*H*W values. weight (B,1,H,W), not normalised."""
    return (weight * absolute(pred, target, weight)).mean()


def l2_weighted(pred, target, weight):
    """Mean of weight * (pred - target)^2 over all B*C*H*W values. weight (B,1,H,W), not normalised."""
    return (weight * squared(pred, target, weight)).mean()


def l1_in_hole(pred, target, mask):
    """Mean |pred - target| over the values in an image's hole, then over images; 0 for an image without one."""
    return hole_mean(absolute(pred, target, mask), mask)


def l2_in_hole(pred, target, mask):
    """Mean (pred - target)^2 over the values in an image's hole, then over images; 0 for an image without one."""
    return hole_mean(squared(pred, target, mask), mask)


def overlap_weights(hole, weight):
    """1 in the hole, `weight` on the visible context around it that is predicted too. hole (B,1,H,W), 1 = hole."""
    return hole + weight * (1 - hole)


def absolute(pred, target, mask):
    require_mask(pred, mask)
    assert pred.shape == target.shape, (pred.shape, target.shape)
    return (pred - target).abs()


def squared(pred, target, mask):
    require_mask(pred, mask)
    assert pred.shape == target.shape, (pred.shape, target.shape)
    return (pred - target).square()


def hole_mean(error, mask):
    """Mean over the images of each one's mean error in its hole. error (B,C,H,W)."""
    values = mask.sum((1, 2, 3)) * error.shape[1]  # (B,)
    return ((error * mask).sum((1, 2, 3)) / values.clamp(min=1)).mean()
