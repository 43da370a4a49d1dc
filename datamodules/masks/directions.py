"""Unit vectors from a table: sine and cosine differ between devices in the last bit, a table does not."""

import math
from functools import lru_cache

import torch

TURN = 1024  # directions in a full turn
ROUNDING = 1 << 16  # the table holds multiples of 1 / ROUNDING


@lru_cache(maxsize=8)
def table(device):
    """(TURN, 2) float32: cosine and sine of k / TURN turns."""
    angles = [2 * math.pi * k / TURN for k in range(TURN)]
    pairs = [[round(math.cos(a) * ROUNDING) / ROUNDING, round(math.sin(a) * ROUNDING) / ROUNDING] for a in angles]
    return torch.tensor(pairs, device=device)


def steps_of(degrees):
    """An angle in degrees -> in steps of the table."""
    return round(degrees * TURN / 360)


def unit_vectors(steps):
    """Integer directions of any shape, in steps of the table and of either sign -> (*, 2) float32: x, y."""
    return table(steps.device)[steps % TURN]
