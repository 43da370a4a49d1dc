"""Writing pictures."""

from PIL import Image


def write_png(path, image):
    """uint8 RGB (3,H,W) on any device -> a PNG file."""
    Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy()).save(path, format="PNG")
