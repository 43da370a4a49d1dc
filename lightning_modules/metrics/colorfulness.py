"""Colourfulness (Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003)."""

import torch


def colorfulness(image):
    """RGB in [0,1] -> the paper's M^(3) on the scale of [0,255], (B,); 0 for grey.

    The opponent channels keep their signs; taking their magnitude first, as some ports do, is another score.
    """
    red, green, blue = (255 * image).unbind(1)  # (B,H,W) each
    opponents = torch.stack([red - green, (red + green) / 2 - blue], dim=1).flatten(2)  # rg and yb, (B,2,HW)
    spread = opponents.std(dim=2, correction=0).square().sum(1).sqrt()
    return spread + 0.3 * opponents.mean(dim=2).square().sum(1).sqrt()
