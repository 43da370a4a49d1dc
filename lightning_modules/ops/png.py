"""Pictures as files hold them."""

import torch
from PIL import Image


def to_uint8(image):
    """RGB in [0,1], what lies beyond cut off -> the nearest of the 256 levels of a file, on the same device."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def write_png(path, image):
    """uint8 RGB (3,H,W) on any device -> a PNG file."""
    Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy()).save(path, format="PNG")
