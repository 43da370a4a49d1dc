"""Lab colours that sRGB cannot show, brought inside without touching their lightness."""

import kornia.color
import torch

from lightning_modules.color.lab import full_float32

TOLERANCE = 5e-4  # beyond [0, 1]; clipping so little is lost in rounding to 8 bits
HALVINGS = 8  # the share of chroma that stays is found to 1/256


def shown(lab):
    """Whether sRGB holds the colours. Lab (B,3,H,W) -> bool (B,H,W)."""
    with full_float32(lab.device):
        image = kornia.color.lab_to_rgb(lab.float(), clip=False)
    return ((image >= -TOLERANCE) & (image <= 1 + TOLERANCE)).all(dim=1)


def reduce_chroma(lab):
    """Lab (B,3,H,W), L in [0,100]: ab of the colours outside sRGB scaled towards grey until they are inside.

    L stays as it is everywhere, and so do the colours inside. Clipping RGB instead makes
    a black to which 60 units of a or b are added up to 15 units of L too light, a dark red or blue.
    """
    outside = ~shown(lab)
    colours = lab.movedim(1, -1)[outside].T[None, :, None]  # (1,3,1,N)
    lightness, ab = colours[:, :1], colours[:, 1:]
    share, step = torch.zeros_like(lightness), 0.5
    for _ in range(HALVINGS):
        further = torch.cat([lightness, (share + step) * ab], dim=1)
        share = share + step * shown(further)[:, None]
        step /= 2
    inside = lab.movedim(1, -1).clone()
    inside[outside] = torch.cat([lightness, share * ab], dim=1)[0, :, 0].T
    return inside.movedim(-1, 1)
