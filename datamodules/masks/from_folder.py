"""Masks that a user brings: PNG files in a folder, for instance the published test masks of irregular holes.

White is above half of the file's range: 1, 255 or 65535, the smallest that holds its brightest value, so that files of
0 and 1 and files of 0 and 255 mean the same. Colours count by their brightness.

`fixed` is for evaluations. Nothing is bent to fit then: a file of another size than the image, and an image beyond the
last file, are errors unless `resize` and `cycle` allow them, and `count` says how many files a complete set has.
Without that or data.limit, an evaluation refuses more files than images. The 12,000 test masks of Partial
Convolutions (Liu 2018), 512 x 512 with white holes, on images of 256 x 256: `fixed=true resize=true count=12000`, with
data.limit=12000 or fewer images.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from datamodules.errors import DataError, UnreadableImage


@dataclass(kw_only=True)
class FromFolder:
    folder: str  # searched with its subfolders; the files are numbered in the order of their paths
    polarity: str = "white"  # colour of the hole in the files: white or black
    fixed: bool = False  # image i gets file i, as an evaluation wants; else one drawn at random
    count: int | None = None  # files that there must be; None: any number
    cycle: bool = False  # fixed: after the last file comes the first again
    resize: bool | None = None  # to the image's size, to the nearest pixel; None: unless fixed
    flip: bool = False  # mirror half of the masks, left to right
    rotate: bool = False  # turn by a random multiple of 90 degrees
    crop: float = 1.0  # smallest share of both sides that a random window keeps; it is resized to the image
    cache_mib: int = 1024  # masks kept in the device's memory; files beyond are read anew each time

    def __post_init__(self):
        if self.polarity not in ("white", "black"):
            raise ValueError(f"polarity must be white or black, the colour of the hole; got {self.polarity!r}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop must be a share above 0 and at most 1, got {self.crop}")
        if self.fixed and (self.flip or self.rotate or self.crop < 1):
            raise ValueError("fixed masks are used as they are: switch off flip, rotate and crop, or fixed")
        if self.cycle and not self.fixed:
            raise ValueError("cycle is for fixed masks; others are drawn from all files at random")
        if self.resize is None:
            self.resize = not self.fixed
        self.files = self.found()
        self.kept, self.kept_bytes = {}, 0  # (device, file number, height, width) -> mask

    def found(self):
        """The paths of the mask files, sorted. Raises DataError where there are none, or not as many as `count`."""
        root = Path(self.folder).expanduser()
        if not root.is_dir():
            raise DataError(f"looked for mask files (*.png) in {root}: there is no such folder")
        present = [path for path in root.rglob("*") if path.is_file()]
        files = sorted(path for path in present if path.suffix.lower() == ".png")
        if not files:
            counts = Counter(path.suffix.lower() or "no extension" for path in present)
            others = ", ".join(f"{count} x {suffix}" for suffix, count in counts.most_common()) or "nothing"
            raise DataError(f"looked for mask files (*.png) in {root} and below: found {others}; convert masks to PNG")
        if self.count is not None and len(files) != self.count:
            raise DataError(
                f"expected {self.count} mask files in {root}, found {len(files)}; complete the set, or correct "
                "data.masks.count"
            )
        return files

    def require_fit(self, images, height, width, count_matters=True):
        """DataError where fixed masks are more than `images`, unless `count` says so or `count_matters` is off, or one
        has another size and `resize` is off. Of the files, headers alone are read."""
        if not self.fixed:
            return
        if len(self.files) > images and self.count is None and count_matters:
            raise DataError(
                f"{len(self.files)} mask files in {self.folder} for {images} images, of which image i gets file i; "
                f"name the folder of their masks, or say with data.masks.count={len(self.files)} that it is meant"
            )
        for path in [] if self.resize else self.files[:images]:
            try:
                with Image.open(path) as image:
                    columns, rows = image.size
            except (OSError, SyntaxError, UnidentifiedImageError) as error:
                raise UnreadableImage(path, f"not readable as a PNG file ({error})") from error
            if sorted((rows, columns)) != sorted((height, width)):  # EXIF may turn it
                raise other_size(path, rows, columns, height, width)

    def __call__(self, draws, height, width):
        numbers = self.numbers(draws)
        mask = torch.stack([self.mask(number, height, width, draws.device) for number in numbers.tolist()])  # (B,H,W)
        if self.flip or self.rotate or self.crop < 1:
            mask = self.varied(mask, draws)
        return mask[:, None].float()

    def numbers(self, draws):
        """Which file each sample gets. -> (B,) int64. Raises DataError for an image that fixed masks do not reach."""
        if not self.fixed:
            return draws.integers(0, len(self.files))
        last = int(draws.index.max())
        if last >= len(self.files) and not self.cycle:
            raise DataError(
                f"image {last} has no mask: {self.folder} has {len(self.files)}, from 0 on; add files, set "
                f"data.limit={len(self.files)}, or start again from the first with data.masks.cycle=true"
            )
        return draws.index % len(self.files)

    def mask(self, number, height, width, device):
        """The mask of one file, resized. -> (H,W) bool on the device."""
        key = (device, number, height, width)
        if key in self.kept:
            return self.kept[key]
        mask = self.read(self.files[number], height, width).to(device)
        if self.kept_bytes + mask.nbytes <= self.cache_mib << 20:
            self.kept[key] = mask
            self.kept_bytes += mask.nbytes
        return mask

    def read(self, path, height, width):
        """One file as (H,W) bool, True in the hole. Raises UnreadableImage, also where it is all hole or has none, and
        where it has another size and `resize` is off."""
        try:
            with Image.open(path) as image:
                image = ImageOps.exif_transpose(image)
                grey = np.asarray(image if image.mode.startswith("I") else image.convert("L"))
        except (OSError, SyntaxError, UnidentifiedImageError) as error:
            raise UnreadableImage(path, f"not readable as a PNG file ({error})") from error
        if not self.resize and grey.shape != (height, width):
            raise other_size(path, *grey.shape, height, width)
        full = next(full for full in (1, 255, 65535) if grey.max() <= full)
        hole = (grey > full / 2) == (self.polarity == "white")
        resized = Image.fromarray(hole.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
        mask = torch.from_numpy(np.array(resized)).bool()
        if mask.all() or not mask.any():
            share = "all" if mask.all() else "none"
            raise UnreadableImage(
                path,
                f"{share} of it is hole at {height} x {width} (values {grey.min()} to {grey.max()}, the hole is "
                f"{self.polarity}); remove it, or set the other polarity",
            )
        return mask

    def varied(self, mask, draws):
        """Mirrored, turned and cropped masks (B,H,W); a window that is all hole or has none is given up."""
        height, width = mask.shape[1:]
        row = ((torch.arange(height) + 0.5) / height).to(mask.device)[:, None]  # (H,1) in (0,1), divided on the CPU
        column = ((torch.arange(width) + 0.5) / width).to(mask.device)
        mirrored = (draws.uniform(1, 1) < 0.5) & self.flip
        turns = draws.integers(0, 4, 1, 1) if self.rotate else torch.zeros_like(mirrored, dtype=torch.int64)
        share = draws.uniform(1, 1, low=self.crop, high=1.0)
        top, left = (draws.uniform(2, 1, 1) * (1 - share[:, None])).unbind(1)  # (B,1,1)

        column = torch.where(mirrored, 1 - column, column)  # (B,1,W)
        row, column = torch.where(turns % 2 == 0, row, column), torch.where(turns % 2 == 0, column, 1 - row)
        row, column = torch.where(turns >= 2, 1 - row, row), torch.where(turns >= 2, 1 - column, column)
        y = ((top + share * row) * height).long().clamp(0, height - 1)
        x = ((left + share * column) * width).long().clamp(0, width - 1)
        varied = mask.flatten(1).gather(1, (y * width + x).flatten(1)).view_as(mask)
        usable = varied.any(2).any(1) & ~varied.all(2).all(1)
        return torch.where(usable[:, None, None], varied, mask)


def other_size(path, rows, columns, height, width):
    """What is raised for a mask file of another size than the images, height x width."""
    return UnreadableImage(
        path,
        f"a mask of {rows} x {columns} for images of {height} x {width}; set data.crop to its size, or resize it to "
        "the nearest pixel with data.masks.resize=true",
    )
