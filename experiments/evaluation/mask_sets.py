"""Masks of an evaluation as files, so that others, and other programs, can score on the very same holes.

A folder holds `<index>.png`, one bit a pixel and white in the hole; `masks.csv`, which says what image a mask is of and
how large the hole is; and `manifest.json`, whose `masks_sha256` is that of the protocol in scores.json where the masks
are the same. It is used with `masks@data.masks=from_folder data.masks.folder=... data.masks.fixed=true`.
"""

import csv
import json
import os
import secrets
import shutil
from pathlib import Path

import torch
from PIL import Image

from datamodules.errors import DataError
from experiments.errors import UserError
from experiments.evaluation.score_record import combined_sha256, sha256
from experiments.evaluation.scoring import packed_sha256
from experiments.run_record import commit

AT_ONCE = 64  # masks that are made together


def write_mask_set(folder, data, split, count, about):
    """Writes the masks of the first `count` images of a split (None: of all). -> the manifest.

    about: what the manifest says beside the counts and hashes. The folder must be empty or not there; it appears when
    all is written.
    """
    folder = Path(folder)
    dataset = data.dataset(split)
    names = [dataset.name(position) for position in range(mask_count(data, dataset, split, count))]
    require_room(folder)
    staged = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        staged.mkdir(parents=True)
        manifest = about | write_masks(staged, data, names)
        (staged / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        os.replace(staged, folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return manifest


def mask_count(data, dataset, split, count):
    """How many masks there are to be. UserError where there cannot be so many."""
    if data.config.masks is None:
        raise UserError("there are no masks to write; give masks@data.masks=centre or another generator")
    if count is not None and not 1 <= count <= len(dataset):
        raise UserError(f"--count must be from 1 to {len(dataset)}, the images of the split '{split}'; got {count}")
    return count or len(dataset)


def require_room(folder):
    """UserError unless nothing would be overwritten."""
    if folder.is_dir() and any(folder.iterdir()) or folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is there already and not an empty folder; name another, or move it away")


def write_masks(folder, data, names):
    """The PNG files and masks.csv. -> their part of the manifest."""
    digits = max(6, len(str(len(names) - 1)))  # so that the order of the paths is that of the images
    table, digests = [], []
    for index, mask in enumerate(masks(data, len(names))):
        if mask.all() or not mask.any():
            raise DataError(f"image {index} has a mask that is {'all' if mask.all() else 'no'} hole; change data.masks")
        file = f"{index:0{digits}}.png"
        Image.fromarray(mask.numpy()).save(folder / file, format="PNG", optimize=True)
        table.append((index, file, names[index], mask.double().mean().item()))
        digests.append(packed_sha256(mask))
    with (folder / "masks.csv").open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("index", "file", "name", "hole_ratio"))
        writer.writerows(table)
    return {
        "count": len(names),
        "height": mask.shape[0],
        "width": mask.shape[1],
        "hole": "white",
        "images_sha256": sha256("\n".join(names).encode()),
        "masks_sha256": combined_sha256(digests),
        "commit": commit()[0],
    }


def masks(data, count):
    """The mask of each image as an evaluation makes it, bool (H,W). It depends on no image, so none is read."""
    side = data.config.crop
    for first in range(0, count, AT_ONCE):
        index = torch.arange(first, min(first + AT_ONCE, count))
        image = torch.zeros(len(index), 3, side, side, dtype=torch.uint8)
        batch = {"image": image, "index": index, "epoch": torch.zeros_like(index)}
        yield from data.on_after_batch_transfer(batch)["mask"][:, 0] > 0
