"""Filling holes without training, by OpenCV and scikit-image: on the CPU, an image at a time.

Images are RGB in [0,1] (B,3,H,W), masks (B,1,H,W) with 1 = hole. Outside the hole a result is the image, bit for bit;
what is in the hole has no influence; an image that is nothing but hole becomes 0.
"""

from functools import partial

import numpy as np
import torch

from lightning_modules.ops.masking import composite, require_mask

RADIUS = 3  # pixels around one that is filled, of which it is made, as in OpenCV's examples
MOST_UNKNOWN = 250_000  # hole pixels of a sparse factorisation; 200,000 in one square took 0.9 GiB


def telea(image, mask, radius=RADIUS):
    """Fast marching (Telea, 2004) as OpenCV has it, in 8 bits. OpenCV's gradient term is off, and what it adds grows
    inwards: a constant image comes back within 2 of 255 levels in a hole of 3 pixels' width, and 12 in one of 128.
    """
    import cv2

    return filled(image, mask, partial(in_eight_bits, radius=radius, method=cv2.INPAINT_TELEA))


def navier_stokes(image, mask, radius=RADIUS):
    """What OpenCV calls Navier-Stokes (Bertalmio, Bertozzi and Sapiro, 2001), in 8 bits.

    It does not solve that equation: in the order of fast marching, each pixel becomes a weighted mean of the known ones
    within the radius, so that it lies between them.
    """
    import cv2

    return filled(image, mask, partial(in_eight_bits, radius=radius, method=cv2.INPAINT_NS))


def biharmonic(image, mask):
    """The smoothest surface with the value and slope of the rim, by scikit-image: its twofold Laplacian is 0 in the
    hole. Clipped to the range of the visible pixels. ValueError where a hole is too large for the memory that it takes.
    """
    from skimage.restoration import inpaint_biharmonic

    largest = int((mask > 0).sum((1, 2, 3)).max())
    if largest > MOST_UNKNOWN:
        raise ValueError(
            f"biharmonic filling factorises a matrix as large as the hole, of at most {MOST_UNKNOWN:,} pixels; "
            f"this one has {largest:,}: take smaller images or holes, or another method"
        )
    return filled(image, mask, partial(inpaint_biharmonic, channel_axis=-1))


def filled(image, mask, fill):
    """fill: float64 RGB (H,W,3) in [0,1], its hole 0, and bool (H,W) -> (H,W,3)."""
    require_mask(image, mask)
    seen = torch.where(mask > 0, 0.0, image)
    done = seen.clone()
    for place, (pixels, hole) in enumerate(zip(channels_last(seen.double()), holes(mask), strict=True)):
        if hole.any() and not hole.all():
            done[place] = torch.from_numpy(fill(pixels, hole)).permute(2, 0, 1)
    return composite(done, seen, mask)


def in_eight_bits(pixels, hole, *, radius, method):
    """Marching over the 256 levels, which is all that OpenCV takes for colour. (H,W,3) in [0,1] -> float64 likewise."""
    levels = (pixels * 255).round().clip(0, 255).astype(np.uint8)
    return marched(levels, hole, radius, method) / 255


def marched(pixels, hole, radius, method):
    """uint8 (H,W,3) and bool (H,W) -> uint8 (H,W,3), the hole filled from its rim inwards by cv2.INPAINT_..."""
    import cv2

    return cv2.inpaint(pixels, hole.astype(np.uint8) * 255, radius, method)


def channels_last(image):
    """(B,3,H,W) on any device -> NumPy (B,H,W,3)."""
    return np.ascontiguousarray(image.detach().permute(0, 2, 3, 1).cpu().numpy())


def holes(mask):
    """(B,1,H,W) on any device -> NumPy bool (B,H,W)."""
    return (mask[:, 0] > 0).cpu().numpy()
