"""`chromafill data stats|preview|priors|doctor|masks|pack|verify`: what a data set holds; its masks and images as
files."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from datamodules.base import printable
from datamodules.errors import UnreadableImage
from datamodules.packing import FORMATS, PackSettings
from datamodules.preview import preview_grid
from experiments.arguments import Parser
from experiments.compose import build, compose_config, settings_given
from experiments.errors import UserError
from experiments.evaluation.mask_sets import write_mask_set
from experiments.evaluation.score_record import NO_HOLE, without
from experiments.evaluation.setup import compose_evaluation, data_name
from experiments.packing import pack_data, verify_shards
from experiments.progress import ProgressLines
from experiments.run_record import commit
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
        "\nof the 313 colour classes comes, for model.prior and protocol.prior. doctor: names images that will give\n"
        "trouble. masks: the holes that an evaluation with this seed cuts, as files for data.masks.folder. pack: the\n"
        "images in few large files, for data=shards; the same command goes on where one was stopped. verify: whether\n"
        "such a folder is as its manifest says.",
        "chromafill data preview experiment=context_encoder_photos -o preview.png\n"
        "  chromafill data masks protocol=places_256_irregular data.root=... -o masks\n"
        "  chromafill data pack data=places data.root=... -o places_256\n"
        "  chromafill data verify data.root=places_256",
    )
    parser.add_argument("action", choices=(*ACTIONS, *PACKING))
    parser.add_argument(
        "-o", "--output", type=Path, help="to write: a .png (preview), a .npy (priors), a folder (masks, pack)"
    )
    parser.add_argument("--count", type=int, help="images; default 200, 16, 10000, 1000 or all, by action")
    parser.add_argument(
        "--split",
        choices=SPLITS,
        action="append",
        help="default test for masks, else train; stats and doctor see all; pack takes all, or those that are given",
    )
    packing = parser.add_argument_group("pack")
    packing.add_argument("--side", type=int, default=256, help="shorter side of larger images; 0: files as they are")
    packing.add_argument("--format", choices=FORMATS, default="jpeg", help="png and webp are lossless; default jpeg")
    packing.add_argument("--quality", type=int, default=95, help="of jpeg; default 95")
    packing.add_argument("--per-shard", type=int, default=1024, help="images; default 1024")
    packing.add_argument("--workers", type=int, default=os.cpu_count(), help="processes; default one a CPU")
    return parser.overrides()


def run(arguments):
    if arguments.action in PACKING:
        return PACKING[arguments.action](arguments)
    if len(arguments.split or ()) > 1:
        raise UserError(f"{arguments.action} takes one --split, got {', '.join(arguments.split)}")
    default = "test" if arguments.action == "masks" else "train"
    arguments.split = arguments.split[0] if arguments.split else default
    data = data_module(settings(arguments.overrides))
    return ACTIONS[arguments.action](data, arguments)


def settings(overrides):
    """The configuration of an experiment, of a protocol or of data=..."""
    given = settings_given(overrides)
    if "protocol" in given:
        return compose_evaluation(["checkpoint=none", *overrides], given, [])
    return compose_config(overrides, "train" if "experiment" in given else "dataset")


def data_module(config):
    """Seeded as a run would be."""
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
    print(f"use it with model.prior={output}, or protocol.prior={output} in an evaluation")


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
                name = dataset.name(position)
                checked += 1
                try:
                    image = dataset.source.read(position)["image"]
                except UnreadableImage as error:
                    unreadable.append(printable(str(error)))
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


def masks(data, arguments):
    """Writes the masks of a split's images with a manifest, whole or not at all."""
    folder, config = arguments.output or Path("masks"), settings(arguments.overrides)
    about = {
        "data": data_name(config["data"]),
        "split": arguments.split,
        "masks": without(config["data"]["masks"], NO_HOLE),
        "seed": config["seed"],
    }
    manifest = write_mask_set(folder, data, arguments.split, arguments.count, about)
    print(f"{manifest['count']} masks of {manifest['height']} x {manifest['width']} written to {folder}")
    print(f"masks_sha256 {manifest['masks_sha256']}")
    print(f"use them with masks@data.masks=from_folder data.masks.folder={folder} data.masks.fixed=true")


def pack(arguments):
    """Writes a data set as shards with a manifest."""
    if arguments.output is None:
        raise UserError("say with -o which folder the shards are to be written to")
    if arguments.workers < 0:
        raise UserError(f"--workers must be 0 or more, got {arguments.workers}")
    packing = PackSettings(
        side=arguments.side, format=arguments.format, quality=arguments.quality, per_shard=arguments.per_shard
    )
    config = settings(arguments.overrides)
    splits = tuple(dict.fromkeys(arguments.split or SPLITS))
    about = {"data": data_name(config["data"]), "commit": commit()[0]}
    manifest = pack_data(arguments.output, data_module(config), splits, packing, arguments.workers, about)
    for split, entry in manifest["splits"].items():
        if "same_as" in entry:
            print(f"{split}: the same as {entry['same_as']}")
            continue
        print(f"{split}: {entry['images']:,} images, {entry['bytes'] / 1e9:.2f} GB in {len(entry['shards'])} shards")
        if entry["unreadable"]:
            print(f"{split}: {len(entry['unreadable'])} unreadable images are left out; manifest.json names them")
    print(f"written to {arguments.output}; use it with data=shards data.root={arguments.output}")


def verify(arguments):
    """Names what is not as the manifest says. Exit code 1 where anything is not."""
    given = settings_given(arguments.overrides)
    overrides = arguments.overrides if "data" in given else ["data=shards", *arguments.overrides]
    return verify_shards(settings(overrides)["data"]["root"])


ACTIONS = {"stats": stats, "preview": preview, "priors": priors, "doctor": doctor, "masks": masks}
PACKING = {"pack": pack, "verify": verify}
