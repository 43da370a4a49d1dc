"""Hiding the seam around a filled hole: colours at its rim come from the photograph, gradients from what filled it.

The post-processing of GLCIC (Iizuka 2017), in which OpenCV does the work: fast marching (Telea, 2004, radius 1) carries
the photograph's colours into the hole, then Poisson cloning (Pérez, Gangnet and Blake, SIGGRAPH 2003) lays the filled
image over that. OpenCV shrinks a hole by 3 pixels before it takes gradients: one thinner than 7 is left as fast
marching filled it. Departs from the authors' script:
- each connected hole is cloned by itself; as one, holes move the visible pixels between them, and with them each other;
- a hole is cloned where it is; the script's centre moves one of even width or height up or left by a pixel;
- a hole may touch the image's border: it goes on beyond it, and what filled it keeps its own colours there.
"""

import numpy as np
import scipy.ndimage
import torch

from lightning_modules.ops.classical import channels_last, holes, marched
from lightning_modules.ops.masking import composite, require_mask

ERODED = 3  # pixels by which OpenCV shrinks the mask
BEYOND = ERODED + 1  # pixels by which a hole goes on over the image's border; one is for differences between neighbours
RADIUS = 1  # of fast marching, in pixels


def blend(done, mask):
    """done RGB in [0,1] (B,3,H,W), its holes filled; mask (B,1,H,W), 1 = hole -> RGB in [0,1] (B,3,H,W), blended.

    The same outside the holes, bit for bit; in them a multiple of 1/255. An image that is nothing but hole is returned
    as it is. Runs on the CPU, an image at a time.
    """
    require_mask(done, mask)
    levels = channels_last((done * 255).round().clamp(0, 255).to(torch.uint8))
    blended = np.stack([blend_one(image, hole) for image, hole in zip(levels, holes(mask), strict=True)])
    blended = torch.from_numpy(blended).permute(0, 3, 1, 2).to(done) / 255
    return composite(blended, done, mask * ~mask.bool().all(dim=(1, 2, 3), keepdim=True))


def blend_one(image, hole):
    """uint8 RGB (H,W,3) and bool (H,W), 1 = hole -> uint8 (H,W,3)."""
    import cv2

    if not hole.any() or hole.all():
        return image
    photograph = marched(image, hole, RADIUS, cv2.INPAINT_TELEA)
    rim = BEYOND + 1  # windows take in one pixel around a hole
    source = np.pad(image, ((rim, rim), (rim, rim), (0, 0)), mode="edge")
    target = source.copy()
    target[rim:-rim, rim:-rim] = photograph
    labels, _ = scipy.ndimage.label(np.pad(np.pad(hole, BEYOND, mode="edge"), 1), structure=np.ones((3, 3)))
    cloned = target.copy()
    for number, box in enumerate(scipy.ndimage.find_objects(labels), 1):
        inside = labels[box] == number
        if min(inside.shape) <= 2 * ERODED:  # nothing is left to take gradients from
            continue
        window = tuple(slice(part.start - 1, part.stop + 1) for part in box)
        only = np.pad(inside, 1).astype(np.uint8) * 255
        centre = (1 + inside.shape[1] // 2, 1 + inside.shape[0] // 2)  # x, y
        answer = cv2.seamlessClone(source[window], target[window], only, centre, cv2.NORMAL_CLONE)
        cloned[box][inside] = answer[1:-1, 1:-1][inside]
    return cloned[rim:-rim, rim:-rim]
