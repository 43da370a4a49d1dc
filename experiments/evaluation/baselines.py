"""Answers without training: the trivial ones, which a network must beat, and classical methods.

A known pixel of an inpainting answer is the input's, bit for bit, and what lies in a hole has no influence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from datamodules.errors import DataError, UnreadableImage
from datamodules.randomness import sample_uniforms
from lightning_modules.color.lab import lab_to_rgb, rgb_to_lab
from lightning_modules.ops.classical import biharmonic, navier_stokes, telea
from lightning_modules.ops.masking import mean_fill
from lightning_modules.ops.push_pull import push_pull
from lightning_modules.tasks import grey

ATTEMPTS = 1000  # training images in a row that may be unreadable


@dataclass(frozen=True)
class Baseline:
    """`answer(batch, data)`: a batch of a data set and its data module -> RGB (B,3,H,W) in [0,1]. May raise DataError
    for a batch that it has no answer to."""

    task: str
    title: str
    answer: Callable
    needs_train: bool = False  # whether it looks at training images


def grey_answer(batch, data):
    return grey(batch["image"])


def random_colour(batch, data):
    """The ab of a random training image under the image's own L (Colorful, Sec. 4.1, 'Random'). Which one depends on
    the seed of the data and the index alone; it is cropped as images of an evaluation are, to the same size."""
    image = batch["image"]
    others = torch.stack([training_image(data, index) for index in batch["index"].tolist()]).to(image)
    lab = torch.cat([rgb_to_lab(image)[:, :1], rgb_to_lab(others)[:, 1:]], dim=1)
    return lab_to_rgb(lab)


def training_image(data, index):
    """A random image of the training split for the image `index`, or the next readable one. RGB in [0,1] (3,H,W)."""
    dataset = data.dataset("train")
    first = int(sample_uniforms(data.seed, 0, index, "random colour")[0] * len(dataset))
    attempts = min(len(dataset), ATTEMPTS)
    for attempt in range(attempts):
        try:
            return dataset[0, (first + attempt) % len(dataset)]["image"].float() / 255
        except UnreadableImage:
            pass
    raise DataError(f"{attempts} training images in a row cannot be read, from {dataset.source.name(first)} on")


def inpainting(title, fill):
    """fill: RGB in [0,1] (B,3,H,W) and mask (B,1,H,W), 1 = hole -> RGB, the hole filled. It may raise ValueError."""
    return Baseline("inpainting", title, partial(fill_holes, fill=fill))


def fill_holes(batch, data, fill):
    image, mask = batch["image"], batch["mask"]
    nothing_seen = (mask > 0).all(dim=(1, 2, 3))
    if nothing_seen.any():
        index = batch["index"][nothing_seen][0].item()
        raise DataError(f"image {index} is nothing but hole, so there is nothing to fill it from; take a smaller mask")
    try:
        return fill(image, mask).clamp(0, 1)
    except ValueError as error:
        raise DataError(str(error)) from error


BASELINES = {
    "truth": Baseline("colorization", "the photograph itself", lambda batch, data: batch["image"]),
    "grey": Baseline("colorization", "grey", grey_answer),
    "random_colour": Baseline("colorization", "random colours", random_colour, needs_train=True),
    "mean_fill": inpainting("mean colour", mean_fill),
    "telea": inpainting("Telea, fast marching", telea),
    "navier_stokes": inpainting("Navier-Stokes (OpenCV)", navier_stokes),  # by name: see ops/classical.py
    "biharmonic": inpainting("biharmonic", biharmonic),
    "push_pull": inpainting("push-pull", push_pull),
}
