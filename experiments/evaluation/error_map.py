"""Where an answer is wrong, as a picture."""

from dataclasses import dataclass

import numpy as np
import torch

from lightning_modules.color.lab import rgb_to_lab


@dataclass(frozen=True)
class Scale:
    """What the brightest colour stands for, and all beyond it."""

    title: str
    most: float
    unit: str = ""


SCALES = {
    "inpainting": Scale("absolute error, mean of R, G and B", 40.0, "%"),
    "colorization": Scale("distance in ab", 80.0),
}


def error_map(prediction, truth, task):
    """uint8 RGB (3,H,W) both -> uint8 RGB (3,H,W), from black (none) to yellow (the scale's end, or more)."""
    size = pixel_error(prediction.float() / 255, truth.float() / 255, task) / SCALES[task].most
    return coloured((size.clamp(0, 1) * 255).round().to(torch.uint8))


def pixel_error(prediction, truth, task):
    """In the unit of the task's scale. RGB in [0,1] (3,H,W) both -> (H,W)."""
    if task == "inpainting":
        return 100 * (prediction - truth).abs().mean(0)
    return (rgb_to_lab(prediction) - rgb_to_lab(truth))[1:].norm(dim=0)


def coloured(level):
    """uint8 (H,W) -> RGB (3,H,W) by inferno, in which equal steps look equal, also without colour vision."""
    import cv2

    bgr = cv2.applyColorMap(level.cpu().numpy(), cv2.COLORMAP_INFERNO)
    return torch.from_numpy(np.ascontiguousarray(bgr[..., ::-1])).permute(2, 0, 1)


def legend(count=9):
    """Colours from none to the scale's end as '#rrggbb'."""
    levels = torch.linspace(0, 255, count).round().to(torch.uint8)[None]
    return ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in coloured(levels)[:, 0].T.tolist()]
