"""Labelled landscapes drawn from a seed: a data set without files, for smoke runs and for tests of learning.

Grey texture and place tell a region's class, the class tells its colour, and outlines go on through a hole, so
colorization and inpainting can both be learnt here; `datamodules/landscapes.py` draws the scenes.
"""

from dataclasses import dataclass

import numpy as np
import torch

from datamodules.base import DataConfig, ImageDataModule, Source
from datamodules.landscapes import SCENES, SEMANTIC_CLASSES, draw
from datamodules.view import shown

SPLITS = ("train", "val", "test")


@dataclass(kw_only=True)
class SyntheticConfig(DataConfig):
    """How many scenes, how large, from which seed."""

    scene_size: int | None = None  # side of the square scene as drawn; None draws `resize`, or else `crop`
    scene_seed: int = 0  # which data set this is; the run's own seed does not change the scenes
    train_count: int = 10_000
    val_count: int = 500
    test_count: int = 500

    def __post_init__(self):
        super().__post_init__()
        if self.scene_size is not None and self.scene_size < self.crop:
            raise ValueError(f"data.scene_size must be at least data.crop = {self.crop}, got {self.scene_size}")
        if self.scene_seed < 0:
            raise ValueError(f"data.scene_seed must be 0 or more, got {self.scene_seed}")
        for split, count in self.counts().items():
            if count < 1:
                raise ValueError(f"data.{split}_count must be at least 1, got {count}")

    def counts(self):
        """Scenes in each split."""
        return dict(zip(SPLITS, (self.train_count, self.val_count, self.test_count), strict=True))


class Scenes(Source):
    """One split. Labels take turns, so they are balanced in every stretch; `classes` are the kinds of scene and
    `semantic_classes` those of regions."""

    classes = list(SCENES)
    semantic_classes = SEMANTIC_CLASSES

    def __init__(self, split, count, size, seed):
        self.split, self.count, self.size, self.seed = split, count, size, seed

    def __len__(self):
        return self.count

    def name(self, position):
        return f"{self.classes[position % len(self.classes)]}_{self.split}_{position}"

    def read(self, position, view=None):
        """A function of (seed, split, position) alone. `semantic` holds indices into `semantic_classes`."""
        label = position % len(self.classes)
        rng = np.random.default_rng((self.seed, SPLITS.index(self.split), position))
        image, semantic = draw(self.classes[label], self.size, rng)
        planes = torch.from_numpy(image).permute(2, 0, 1).contiguous()  # (3,H,W)
        return shown({"image": planes, "semantic": torch.from_numpy(semantic), "label": label}, view)


class Synthetic(ImageDataModule):
    """Scenes of eight kinds, each with a label and a class map."""

    Config = SyntheticConfig

    def source(self, split):
        cfg = self.config
        return Scenes(split, cfg.counts()[split], cfg.scene_size or cfg.resize or cfg.crop, cfg.scene_seed)
