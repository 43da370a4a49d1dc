"""A few real photographs that come inside the scikit-image package, cut into many windows. Nothing is downloaded.

Five colour pictures that a camera took of an everyday scene: a portrait, a cat, a cup of coffee, a motorcycle in a
garage, a launch pad at dusk. The motorcycle is of the Middlebury 2014 stereo benchmark (Scharstein et al., GCPR 2014);
the others are in the public domain or CC0.
Left out of the package's colour pictures: `motorcycle_right` (the same scene from 19 cm further on, so it would leak
into validation), `retina`, `ihc` and `hubble_deep_field` (an eye's fundus, a stained tissue and a telescope's
composite: their colours come from an instrument or a dye), `color` and `logo` (drawn).

`split_by=regions` holds back blocks of every photograph: what a network must do there is fill in or colour a part of
a picture it has seen the rest of. `split_by=photograph` holds back whole photographs: the harder question, for which
five pictures are few. Validation and test windows are disjoint in both.
"""

import importlib.metadata
import importlib.resources
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from datamodules.base import DataConfig, ImageDataModule, Source
from datamodules.errors import DataError
from datamodules.view import shown

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
SPLITS = ("train", "val", "test")


@dataclass(kw_only=True)
class PhotosConfig(DataConfig):
    """Windows of `crop` x `crop` pixels, cut from photographs that may be reduced first."""

    crop: int = 64
    reduce_to: int | None = None  # shorter side of the photographs before windows are cut; never enlarged
    stride: int = 8  # distance between the corners of neighbouring training windows
    split_by: str = "regions"  # or `photograph`
    val_photographs: list[str] = field(default_factory=lambda: ["coffee.png"])  # for split_by=photograph
    test_photographs: list[str] = field(default_factory=lambda: ["chelsea.png"])  # for split_by=photograph

    def __post_init__(self):
        if self.resize is not None:
            raise ValueError(
                f"data.resize = {self.resize} has no meaning for photos, whose items are windows of data.crop pixels; "
                "data.reduce_to reduces the photographs that the windows are cut from"
            )
        super().__post_init__()
        if self.reduce_to is not None and self.reduce_to < self.crop:
            raise ValueError(f"data.reduce_to must be at least data.crop = {self.crop}, got {self.reduce_to}")
        if self.stride < 1:
            raise ValueError(f"data.stride must be at least 1, got {self.stride}")
        if self.split_by not in ("regions", "photograph"):
            raise ValueError(f"data.split_by must be regions or photograph, got {self.split_by}")
        for name in (*self.val_photographs, *self.test_photographs):
            if name not in PHOTOGRAPHS:
                raise ValueError(f"there is no photograph '{name}'; there are {', '.join(PHOTOGRAPHS)}")
        if both := set(self.val_photographs) & set(self.test_photographs):
            raise ValueError(f"photographs for validation and for test must differ, both have {sorted(both)}")


def photo_path(name):
    """Where the installed scikit-image keeps a photograph. Raises DataError where this version has it no more."""
    path = Path(str(importlib.resources.files("skimage"))) / "data" / name
    if not path.is_file():
        version = importlib.metadata.version("scikit-image")
        raise DataError(f"scikit-image {version} has no {path}; the photographs come with scikit-image 0.25 and 0.26")
    return path


@cache
def photograph(name, reduce_to):
    """uint8 (3,H,W) RGB, decoded once per process and shared with forked workers: not to be written to."""
    planes = torch.from_numpy(np.array(Image.open(photo_path(name)).convert("RGB"))).permute(2, 0, 1)
    height, width = planes.shape[-2:]
    scale = (reduce_to or min(height, width)) / min(height, width)
    if scale >= 1:
        return planes.contiguous()
    return v2.functional.resize(planes, [round(height * scale), round(width * scale)], antialias=True).contiguous()


def regions(height, width, crop, phase):
    """The split that each pixel belongs to, uint8 (H,W): an index into SPLITS.

    The windows that tile the picture are grouped to square blocks, about a quarter of its shorter side each. Every
    fifth block is held back, a knight's move from the next, in turn for validation and for test. `phase` moves the
    pattern, so that it differs between photographs. A margin narrower than a window, at the right and bottom, is
    trained on.
    """
    side = max(1, round(min(height, width) / (4 * crop)))  # windows along a block
    row, column = np.indices((height // crop, width // crop)) // side
    place = column + 2 * row + phase
    window = np.where(place % 5 == 0, 1 + (place // 5 + row) % 2, 0).astype(np.uint8)
    pixels = window.repeat(crop, 0).repeat(crop, 1)
    return np.pad(pixels, ((0, height - pixels.shape[0]), (0, width - pixels.shape[1])))


def corners(inside, crop, stride):
    """(N,2) top left corners, on a grid of `stride`, of the windows that lie in `inside`, bool (H,W), entirely."""
    outside = np.pad(np.cumsum(np.cumsum(~inside, 0), 1), ((1, 0), (1, 0)))  # integral image of the pixels outside
    count = outside[crop:, crop:] - outside[:-crop, crop:] - outside[crop:, :-crop] + outside[:-crop, :-crop]
    return np.argwhere(count[::stride, ::stride] == 0) * stride


class Windows(Source):
    """The windows of one split, (photograph, y, x), in a fixed shuffled order: `limit` takes from all photographs."""

    def __init__(self, photographs, windows, crop):
        self.photographs, self.crop = photographs, crop
        self.windows = np.random.default_rng(0).permutation(windows)  # (N,3) int64

    def __len__(self):
        return len(self.windows)

    def name(self, position):
        number, y, x = self.windows[position].tolist()
        return f"{PHOTOGRAPHS[number]}@{y},{x}"

    def read(self, position, view=None):
        number, y, x = self.windows[position].tolist()
        return shown({"image": self.photographs[number][:, y : y + self.crop, x : x + self.crop].clone()}, view)


class Photos(ImageDataModule):
    """Training windows overlap each other, held-back windows tile their regions without overlap."""

    Config = PhotosConfig

    def owner(self, number, height, width):
        """The split of each pixel of a photograph, uint8 (H,W): an index into SPLITS."""
        if self.config.split_by == "regions":
            return regions(height, width, self.config.crop, phase=number)
        held = [[], self.config.val_photographs, self.config.test_photographs]
        split = next((index for index, names in enumerate(held) if PHOTOGRAPHS[number] in names), 0)
        return np.full((height, width), split, np.uint8)

    def source(self, split):
        cfg = self.config
        photographs = [photograph(name, cfg.reduce_to) for name in PHOTOGRAPHS]
        stride = cfg.stride if split == "train" else cfg.crop
        windows = []
        for number, planes in enumerate(photographs):
            inside = self.owner(number, *planes.shape[-2:]) == SPLITS.index(split)
            windows += [(number, y, x) for y, x in corners(inside, cfg.crop, stride).tolist()]
        if not windows:
            sizes = ", ".join(f"{planes.shape[2]} x {planes.shape[1]}" for planes in photographs)
            raise DataError(
                f"no {split} window of data.crop = {cfg.crop} pixels in photographs of {sizes} with "
                f"split_by={cfg.split_by}; take a smaller crop, a larger reduce_to or the other split_by"
            )
        return Windows(photographs, windows, cfg.crop)
