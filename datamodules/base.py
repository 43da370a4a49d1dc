"""What every data set shares: geometry in the worker, uint8 across the bus, masks for the whole batch on the device."""

import logging
import sys
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import Dataset, default_collate

from datamodules.errors import DataError, UnreadableImage
from datamodules.loader import ImageLoader
from datamodules.randomness import Draws, sample_uniforms
from datamodules.sampler import EachOnce, StreamBatches
from datamodules.view import View

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class DataConfig:
    """Settings that every data set has. A data set's own Config adds to these."""

    root: str | None = None  # folder of the data set as its authors lay it out
    resize: int | None = None  # shorter side after resizing, aspect kept; None keeps the file's own size
    resize_most: int | None = None  # training draws the shorter side from [resize, resize_most]; None: always `resize`
    squash: bool = False  # resize both sides to `resize`, aspect lost, as ImageNet's 256 x 256 databases were made
    crop: int = 128  # side of the square that the network sees: at random in training, in the centre elsewhere
    flip: bool = True  # mirror half of the training samples
    batch_size: int = 16  # images per process and iteration
    workers: int = 2  # loader processes per training process; 0 decodes in the training process
    masks: Any = None  # a generator of datamodules/masks; None for colorization
    limit: int | None = None  # use only the first so many images of each split

    def __post_init__(self):
        for name in ("crop", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.{name} must be at least 1, got {getattr(self, name)}")
        if self.workers < 0:
            raise ValueError(f"data.workers must be 0 or more, got {self.workers}")
        if self.resize is not None and self.resize < self.crop:
            raise ValueError(f"data.resize must be at least data.crop = {self.crop}, got {self.resize}")
        if self.resize_most is not None and self.resize_most < (self.resize or self.resize_most + 1):
            raise ValueError(
                "data.resize_most is the upper end of a range that begins with data.resize; "
                f"got {self.resize_most} and {self.resize}"
            )
        if self.squash and self.resize is None:
            raise ValueError("data.squash needs data.resize, the side to squash to")


class Source:
    """The images of one split. Subclasses give `__len__`, `read`, `name` and, where there are any, class names."""

    classes: list[str] | None = None  # names of the labels, in label order

    def __len__(self):
        raise TypeError(f"{type(self).__name__} must say how many images it has")

    def name(self, position):
        """What a person would call the image: its path below the root, whatever bytes it has, or a made-up name."""
        raise TypeError(f"{type(self).__name__} must name its images")

    def read(self, position, view=None):
        """{'image': uint8 (3,H,W) RGB} and, where known, 'label' (int) and 'semantic' (uint8 (H,W)): of the whole
        picture, or what a View shows of it. Raises UnreadableImage with the path and the reason.
        """
        raise TypeError(f"{type(self).__name__} must read its images")

    def missing(self, count):
        """Names of those of the first `count` images whose files are not there."""
        return []


def draws_of(batch, seed):
    """The Draws for what a paper chooses at random about each sample of a batch, by its `epoch` and `index`."""
    return Draws(seed, batch["epoch"], batch["index"], "model")


def printable(name):
    """A file's name as text that can be written: bytes of it that are no UTF-8 become U+FFFD."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


class ImageDataset(Dataset):
    """A Source as training or evaluation sees it. Keys are (epoch, position), so workers carry no state.

    In training (`train=True`) an unreadable image is replaced by the next readable one and named in the item's
    `replaced` (its position, or -1); elsewhere it raises UnreadableImage.
    """

    def __init__(self, source, config, seed, train):
        self.source, self.config, self.seed, self.train = source, config, seed, train

    def __len__(self):
        length = len(self.source)
        return length if self.config.limit is None else min(length, self.config.limit)

    def name(self, position):
        """What the Source calls the image, as text that can be written."""
        return printable(self.source.name(position))

    def __getitem__(self, key):
        epoch, position = key
        replaced = -1
        for attempt in range(min(len(self), 1000)):
            at = (position + attempt) % len(self)
            try:
                item = self.source.read(at, self.view(epoch, at))
                break
            except UnreadableImage:
                if not self.train:
                    raise
                replaced = position if replaced < 0 else replaced
        else:
            raise DataError(f"{attempt + 1} images in a row cannot be read, the first is {self.source.name(position)}")
        return item | {"index": at, "epoch": epoch, "replaced": replaced}

    def view(self, epoch, position):
        """What training or evaluation shows of an image."""
        config = self.config
        if not self.train:
            return View(crop=config.crop, shorter=config.resize, squash=config.squash)
        top, left, mirror, size = sample_uniforms(self.seed, epoch, position, "crop")
        shorter = config.resize
        if config.resize_most is not None:
            shorter += int(size * (config.resize_most - shorter + 1))
        return View(
            crop=config.crop,
            shorter=shorter,
            squash=config.squash,
            place=(top, left),
            mirror=config.flip and mirror < 0.5,
        )


class ImageDataModule(pl.LightningDataModule):
    """Base of every data set. A subclass gives `Config` and `source(split)` for the splits train, val and test.

    Batches after the transfer: `image` float32 RGB in [0,1] (B,3,H,W); `index`, `epoch`, `replaced` int64 (B,); `mask`
    float32 (B,1,H,W), 1 = hole, where `masks` is set; `label` int64 (B,) and `semantic` uint8 (B,H,W) where known;
    `draws`, the Draws for what a paper chooses at random about each sample.
    The training command sets `seed`, `iterations` and, on a resume, `done` (iterations) and `seen` (samples of all
    ranks).
    """

    Config = DataConfig

    def __init__(self, **settings):
        super().__init__()
        self.config = self.Config(**settings)
        self.seed, self.iterations, self.done, self.seen = 0, 0, 0, 0
        self.unreadable = {}  # path -> reason, of the files that training skipped
        self.sources = {}

    def source(self, split):
        """The Source of one split. Raises DataError where the files are not as described."""
        raise TypeError(f"{type(self).__name__} must give its source(split)")

    def dataset(self, split, train=False):
        """The images of a split, cropped at random where `train`, in the centre elsewhere; never empty."""
        if split not in self.sources:
            self.sources[split] = self.source(split)
        dataset = ImageDataset(self.sources[split], self.config, self.seed, train)
        if len(dataset) == 0:
            raise DataError(f"{type(self).__name__}: the split '{split}' is empty")
        return dataset

    def ranks(self):
        """(rank, world size) of this process."""
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)

    def loader(self, dataset, batches):
        """Loads `batches`, a batch sampler of (epoch, position) keys."""
        config, planes = self.config, 4  # three of the image, and one of its labels
        room = planes * config.batch_size * config.crop**2
        return ImageLoader(dataset, batches, room, torch.cuda.is_available(), num_workers=config.workers)

    def train_dataloader(self):
        dataset, (rank, world) = self.dataset("train", train=True), self.ranks()
        batches = StreamBatches(
            len(dataset),
            self.config.batch_size,
            self.iterations,
            seed=self.seed,
            rank=rank,
            world=world,
            done=self.done,
            seen=self.seen,
        )
        return self.loader(dataset, batches)

    def initial_batches(self, size=8):
        """An endless iterator of batches of what training begins with, on the CPU, as `training_step` gets them: the
        same on every rank, and of a size of their own, so that a start depends neither on batch size nor on ranks."""
        dataset = self.dataset("train", train=True)
        for keys in StreamBatches(len(dataset), size, sys.maxsize, seed=self.seed):
            yield self.on_after_batch_transfer(default_collate([dataset[key] for key in keys]))

    def val_dataloader(self):
        return self.each_once("val")

    def test_dataloader(self):
        return self.each_once("test")

    def each_once(self, split):
        """Every image of a split once over all ranks, in order; the first again for a rank that would have none, since
        Lightning leaves such a rank out and the others wait for it."""
        dataset, (rank, world) = self.dataset(split), self.ranks()
        batches = EachOnce(len(dataset), self.config.batch_size, rank=rank, world=world)
        return self.loader(dataset, batches if len(batches) else [[(0, 0)]])

    def on_after_batch_transfer(self, batch, dataloader_idx=0):
        """uint8 -> float, random numbers, and masks for the whole batch, on the device that the batch is on."""
        batch["image"] = batch["image"].float() / 255
        batch["draws"] = draws_of(batch, self.seed)
        if self.config.masks is not None:
            draws = Draws(self.seed, batch["epoch"], batch["index"], "mask")
            batch["mask"] = self.config.masks(draws, *batch["image"].shape[-2:])
        return batch

    def report_unreadable(self, replaced):
        """Names each file that a worker passed over, once, with the reason."""
        for position in replaced[replaced >= 0].tolist():
            source = self.sources["train"]
            path = source.name(position)
            if path in self.unreadable:
                continue
            try:
                source.read(position)
                reason = "unreadable a moment ago, readable now"
            except UnreadableImage as error:
                reason = error.reason
            self.unreadable[path] = reason
            log.warning("skipped %s: %s (%d unreadable so far)", path, reason, len(self.unreadable))

    def on_before_batch_transfer(self, batch, dataloader_idx=0):
        self.report_unreadable(batch["replaced"])
        return batch
