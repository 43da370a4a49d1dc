"""One of several mask generators for each sample."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(kw_only=True)
class Mixture:
    parts: list[Any]  # generators; in a YAML each is its settings with `_target_`
    weights: list[float] | None = None  # how often each part is chosen, in any unit; None: all alike

    def __post_init__(self):
        if not self.parts or not all(callable(part) for part in self.parts):
            found = [type(part).__name__ for part in self.parts]
            raise ValueError(f"parts must be mask generators, got {found}; in a YAML each needs its `_target_`")
        weights = self.weights
        if weights is not None and (len(weights) != len(self.parts) or min(weights) < 0 or sum(weights) <= 0):
            raise ValueError(
                f"weights must be {len(self.parts)} numbers, one a part, none negative, not all 0; got {list(weights)}"
            )

    def __call__(self, draws, height, width):
        weights = torch.tensor(self.weights or [1.0] * len(self.parts), dtype=torch.float64)
        bounds = (weights.cumsum(0) / weights.sum())[:-1].to(draws.device)
        choice = (draws.uniform()[:, None] >= bounds).sum(1)  # (B,)
        mask = torch.zeros(draws.batch, 1, height, width, device=draws.device)
        for number, part in enumerate(self.parts):
            rows = (choice == number).nonzero()[:, 0]
            if len(rows):
                mask[rows] = part(draws.fold(f"part {number}").take(rows), height, width)
        return mask
