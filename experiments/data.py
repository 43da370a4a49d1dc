"""`chromafill data stats|preview|priors|doctor`: looking at a data set before training on it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from datamodules.errors import UnreadableImage
from datamodules.preview import preview_grid
from experiments.arguments import Parser
from experiments.compose import build, compose_config, settings_given
from experiments.progress import ProgressLines
from experiments.tables import show
from lightning_modules.color.ab_bins import accumulate_prior
from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.ops.png import write_png

SPLITS = ("train", "val", "test")
GREY = 5.0  # an image whose |a| and |b| stay below this has no colour to learn from (Colorful's threshold)


def parser():
    parser = Parser(
        "data",
        "stats: counts, labels and colour per split. preview: a picture of images and masks. priors: how often each"
        "\nof the 313 colour classes comes, for model.prior. doctor: names images that will give trouble.",
        "chromafill data preview experiment=context_encoder_photos -o preview.png",
    )
    parser.add_argument("action", choices=tuple(ACTIONS))
    parser.add_argument("-o", "--output", type=Path, help="file to write (preview: .png, priors: .npy)")
    parser.add_argument("--count", type=int, help="images to look at; default 16, 200, 10000 or 1000 by action")
    parser.add_argument("--split", choices=SPLITS, default="train")
    return parser.overrides()


def run(arguments):
    data = data_module(arguments.overrides)
    return ACTIONS[arguments.action](data, arguments)


def data_module(overrides):
    """The data module of an experiment or of data=..., seeded as a run of it would be."""
    named = "experiment" in settings_given(overrides)
    config = compose_config(overrides, "train" if named else "dataset")
    data = build(config["data"], "data")
    data.seed = config["seed"]
    return data


def spread(length, count):
    """At most `count` positions, evenly over the data set."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.int64)).tolist()


def crops(data, split, count, train):
    """(position, item) of evenly spread samples; unreadable images are left out."""
    dataset = data.dataset(split, train=train)
    positions = spread(len(dataset), count)
    with ProgressLines(len(positions), f"read {split}") as progress:
        for position in positions:
            try:
                yield position, dataset[0, position]
            except UnreadableImage:
                pass
            progress.advance()


def batches(data, split, count, size=16):
    """Batches as a network gets them, on the CPU."""
    items = [item for _, item in crops(data, split, count, train=False)]
    for first in range(0, len(items), size):
        yield data.on_after_batch_transfer(torch.utils.data.default_collate(items[first : first + size]))


def stats(data, arguments):
    """One row a split: images, labels, mean colour, chroma, and the share of grey images among those looked at."""
    table = Table("split", "images", "labels", "mean RGB", "mean chroma", "grey", title=type(data).__name__)
    for split in SPLITS:
        dataset = data.dataset(split)
        labels, means, chroma, grey = Counter(), [], [], 0
        for _, item in crops(data, split, arguments.count or 200, train=False):
            image = item["image"].float() / 255
            ab = rgb_to_lab(image)[1:]
            means.append(image.mean((1, 2)))
            chroma.append(ab.norm(dim=0).mean().item())
            grey += int(ab.abs().max() <= GREY)
            labels[item.get("label")] += 1
        mean = torch.stack(means).mean(0)
        known = [label for label in labels if label is not None]
        table.add_row(
            split,
            f"{len(dataset):,}",
            f"{len(known)} seen" if known else "none",
            " ".join(f"{value:.3f}" for value in mean.tolist()),
            f"{np.mean(chroma):.1f}",
            f"{grey}/{len(means)}",
        )
    show(table)


def preview(data, arguments):
    """Writes a grid of crops, with the holes tinted where the data has masks."""
    output = arguments.output or Path("preview.png")
    batch = next(batches(data, arguments.split, arguments.count or 16, size=arguments.count or 16))
    write_png(output, preview_grid(batch["image"], batch.get("mask")))
    if "mask" in batch:
        shares = batch["mask"].mean((1, 2, 3))
        print(f"hole share {shares.mean():.1%}, from {shares.min():.1%} to {shares.max():.1%}")
    print(f"written to {output}")


def priors(data, arguments):
    """Writes the prior of the colour classes as .npy of 313 float64, and beside it a .json that says what it is of."""
    output = (arguments.output or Path("prior.npy")).with_suffix(".npy")
    counts = torch.zeros(313, dtype=torch.float64)
    images = 0
    for batch in batches(data, arguments.split, arguments.count or 10_000):
        accumulate_prior(counts, rgb_to_lab(batch["image"])[:, 1:], stride=4)
        images += len(batch["image"])
    prior = (counts / counts.sum()).numpy()
    np.save(output, prior)
    about = {"data": type(data).__name__, "split": arguments.split, "images": images, "pixels": "every 4th of each row"}
    output.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    entropy = -(prior[prior > 0] * np.log(prior[prior > 0])).sum()
    print(f"{images} images; most frequent class {prior.max():.3f}, entropy {entropy:.3f} nats; written to {output}")
    print(f"use it with model.prior={output}")


def doctor(data, arguments):
    """Names images that cannot be read, are smaller than the crop, or have no colour. Exit code 2 where any cannot."""
    troubles = {"unreadable": [], f"smaller than the crop of {data.config.crop} px": [], "grey": []}
    unreadable, small, grey = troubles.values()
    checked = 0
    for split in SPLITS:
        dataset = data.dataset(split)
        positions = spread(len(dataset), arguments.count or 1000)
        with ProgressLines(len(positions), f"check {split}") as progress:
            for position in positions:
                name = dataset.source.name(position)
                checked += 1
                try:
                    image = dataset.source.read(position)["image"]
                except UnreadableImage as error:
                    unreadable.append(str(error))
                else:
                    if min(image.shape[1:]) < data.config.crop:
                        small.append(f"{name}: {image.shape[2]} x {image.shape[1]}")
                    thin = image[:, ::4, ::4].float() / 255
                    if rgb_to_lab(thin)[1:].abs().max() <= GREY:
                        grey.append(name)
                progress.advance()
    for trouble, names in troubles.items():
        print(f"{trouble}: {len(names)}")
        for name in names[:20]:
            print(f"  {name}")
    print(f"{checked} images checked")
    return 2 if unreadable else 0


ACTIONS = {"stats": stats, "preview": preview, "priors": priors, "doctor": doctor}
