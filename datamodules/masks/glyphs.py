"""Letters as bitmaps: Pillow's own scalable font, drawn once per size and kept on the device."""

from functools import lru_cache
from string import ascii_lowercase, ascii_uppercase, digits

import torch
from PIL import Image, ImageDraw, ImageFont

SPACE = 0
LOWER, UPPER, DIGIT = 1, 27, 53  # number of the first small letter, capital and digit
CHARACTERS = " " + ascii_lowercase + ascii_uppercase + digits
SPACING = 1.25  # of two lines, in letter sizes
INK = 128  # grey level of 255 from which a pixel belongs to a letter


def bitmap(character, size):
    """One character on its line: (line height, advance) uint8 in {0,1}."""
    font = ImageFont.load_default(size)
    image = Image.new("L", (max(1, round(font.getlength(character))), round(SPACING * size)))
    ImageDraw.Draw(image).text((0, 0), character, font=font, fill=255)
    return (torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8) >= INK).view(image.height, image.width)


@lru_cache(maxsize=8)
def atlas(sizes, device):
    """All characters at several sizes (a tuple of pixels).

    -> bitmaps (S,C,Y,X) bool, padded at the bottom and on the right, where the last column is always empty; advances
    (S,C) and line heights (S,) int64 pixels.
    """
    drawn = [[bitmap(character, size) for character in CHARACTERS] for size in sizes]
    heights = torch.tensor([row[0].shape[0] for row in drawn])
    advances = torch.tensor([[glyph.shape[1] for glyph in row] for row in drawn])
    bitmaps = torch.zeros(len(sizes), len(CHARACTERS), int(heights.max()), int(advances.max()) + 1, dtype=torch.bool)
    for into, row in zip(bitmaps, drawn, strict=True):
        for cell, glyph in zip(into, row, strict=True):
            cell[: glyph.shape[0], : glyph.shape[1]] = glyph
    return bitmaps.to(device), advances.to(device), heights.to(device)
