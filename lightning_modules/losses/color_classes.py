"""Losses over quantised colours (Zhang, Isola and Efros 2016), reduced as the released Caffe layers do it.

B images, Q bins, K neighbours. A target is the pair that soft_encode gives: index int64 (B,K,H,W) of the K bins that
are not zero and their weight (B,K,H,W). Losses sum over pixels (and bins), then average over images, in float32
whatever the precision around them.
"""

import torch
from torch.autograd.function import once_differentiable


class SoftCrossEntropy(torch.autograd.Function):
    """- sum_q Z_q log softmax(logits)_q for a Z given by K indices and weights; the gradient is its only large buffer.

    One image at a time, so that the float32 copies of 16-bit logits stay small too.
    """

    @staticmethod
    def forward(ctx, logits, index, weight):
        at_least_float32 = torch.promote_types(logits.dtype, torch.float32)
        cost, log_sum = [], []
        for image, i, w in zip(logits, index, weight, strict=True):
            image = image.to(at_least_float32)  # (Q,H,W)
            log_sum.append(image.logsumexp(0, keepdim=True))
            cost.append((w * (log_sum[-1] - image.gather(0, i))).sum(0, keepdim=True))
        log_sum = torch.stack(log_sum)  # (B,1,H,W)
        ctx.save_for_backward(logits, index, weight, log_sum)
        return torch.stack(cost)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_cost):
        logits, index, weight, log_sum = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for out, image, i, w, s, g in zip(gradient, logits, index, weight, log_sum, grad_cost, strict=True):
            buffer = out if out.dtype == s.dtype else torch.empty_like(out, dtype=s.dtype)
            softmax = torch.sub(image, s, out=buffer).exp_()
            softmax.mul_(w.sum(0, keepdim=True)).scatter_add_(0, i, -w.to(s.dtype)).mul_(g)  # (softmax - Z) g
            out.copy_(softmax)
        return gradient, None, None


def class_cross_entropy(logits, index, weight):
    """Cross-entropy of every pixel with its soft target, (B,1,H,W) float32. logits (B,Q,H,W).

    Forward and backward allocate one tensor of the size of the logits, the gradient. No gradient for the target.
    """
    batch, _, *size = logits.shape
    if index.shape != weight.shape or index.shape[0] != batch or list(index.shape[2:]) != size:
        raise ValueError(
            f"index and weight must be (B,K,H,W) = ({batch}, K, {', '.join(map(str, size))}) as the logits; "
            f"got {tuple(index.shape)} and {tuple(weight.shape)}"
        )
    return SoftCrossEntropy.apply(logits, index, weight)


def class_loss(logits, index, weight, pixel_weight=None):
    """- sum_hw v sum_q Z log Zhat, mean over images (Eq. 2). pixel_weight v (B,1,H,W), or None for 1 everywhere."""
    cost = class_cross_entropy(logits, index, weight)
    if pixel_weight is None:
        return cost.sum() / len(cost)
    if pixel_weight.shape != cost.shape and tuple(pixel_weight.shape[1:]) != (1, 1, 1):
        raise ValueError(
            f"pixel_weight must be (B,1,H,W) = {tuple(cost.shape)} or (B,1,1,1); got {tuple(pixel_weight.shape)}"
        )
    return (cost * pixel_weight.float()).sum() / len(cost)


def target_entropy(weight):
    """- sum_hw sum_q Z log Z, mean over images. weight (B,K,H,W).

    class_loss without pixel weights minus this is the divergence that the released Caffe layer prints.
    """
    return torch.special.entr(weight.float()).sum() / len(weight)


def pixel_weights(index, weight, class_weights):
    """v of Eq. 3: the weight of each pixel's closest bin, (B,1,H,W). class_weights (Q,)."""
    closest = index.gather(1, weight.argmax(1, keepdim=True))
    return class_weights.to(index.device)[closest]


def grey_mask(ab, threshold=5):
    """1 for an image with a pixel of |a| or |b| > threshold, 0 for a grey one, (B,1,1,1). ab (B,2,H,W)."""
    return (ab.abs().amax((1, 2, 3), keepdim=True) > threshold).float()


def l2_sum(pred_ab, ab):
    """1/2 sum_hw |ab - pred_ab|^2, mean over images (Eq. 1). (B,2,H,W) each."""
    if pred_ab.shape != ab.shape:
        raise ValueError(f"pred_ab must have the shape of ab, {tuple(ab.shape)}; got {tuple(pred_ab.shape)}")
    return 0.5 * (pred_ab.float() - ab.float()).square().sum() / len(ab)
