"""Pictures of a batch for people: what the network is shown, with the hole marked."""

import torch
from torchvision.utils import make_grid

HOLE = (1.0, 0.0, 0.6)  # RGB, rare in photographs
OPACITY = 0.5


def preview_grid(images, masks=None, columns=4):
    """A grid of the images, each with its hole tinted so that the image shows through. -> uint8 (3,H,W) on the CPU.

    images: float RGB in [0,1] (B,3,H,W); masks: (B,1,H,W), 1 = hole.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(f"images must be float RGB in [0,1], (B,3,H,W); got {images.dtype} {tuple(images.shape)}")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    images = images.detach().float().cpu()
    if masks is not None:
        expected = (images.shape[0], 1, *images.shape[2:])
        if masks.shape != expected:
            raise ValueError(f"masks must be {expected} with 1 in the hole; got {tuple(masks.shape)}")
        cover = OPACITY * masks.detach().float().cpu()
        images = images * (1 - cover) + torch.tensor(HOLE)[:, None, None] * cover
    grid = make_grid(images.clamp(0, 1), nrow=columns, padding=2, pad_value=1.0)
    return (grid * 255).round().to(torch.uint8)
