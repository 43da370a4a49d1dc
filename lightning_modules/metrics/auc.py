"""How far predicted colour lies from true colour in the ab plane (Colorful Image Colorization, Zhang 2016, Sec. 3.1).

ab (B,2,H,W) unnormalised. `weights` (B,1,H,W), any scale; each score is one value a sample, (B,).
"""

import torch

from lightning_modules.color.ab_bins import published_prior, soft_encode

LARGEST = 150  # last threshold, in units of ab
PRIOR_FLOOR = 1e-8


def ab_distance(pred_ab, ab):
    """Length of the ab error of each pixel, (B,1,H,W) in the dtype of `ab`."""
    return (pred_ab - ab).square().sum(1, keepdim=True).sqrt()


def weighted_mean(value, weights):
    """Mean over a sample's pixels. weights: None counts each alike."""
    if weights is None:
        return value.mean((1, 2, 3))
    return (value * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))


def ab_auc(pred_ab, ab, weights=None):
    """Area under the share of pixels whose ab error is at most t, for t = 0, 1, ..., 150; 1 for a perfect answer.

    The paper states neither steps nor quadrature; ours are 151 thresholds joined by straight lines. A pixel that counts
    from threshold f on, its error rounded up, adds 150 - f to the area and half a step before it.
    """
    first = ab_distance(pred_ab, ab).ceil()
    area = LARGEST - first + 0.5 * (first > 0)
    return weighted_mean(area.clamp(min=0) / LARGEST, weights)


def mean_ab_error(pred_ab, ab, weights=None):
    """Mean length of the ab error."""
    return weighted_mean(ab_distance(pred_ab, ab), weights)


def rarity(ab, prior=None):
    """1 / p of the bin that is closest to each pixel's true ab, the weights of the rebalanced score: (B,1,H,W) float64.

    prior (313,), by default the closed form near the published one; floored at 1e-8.
    """
    prior = published_prior() if prior is None else prior
    inverse = 1 / prior.to(ab.device, torch.float64).clamp(min=PRIOR_FLOOR)
    index, _ = soft_encode(ab, neighbours=1)  # (B,1,H,W)
    return inverse[index]
