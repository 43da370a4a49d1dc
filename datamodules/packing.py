"""Shards of one split, each written by one worker: what `datamodules/shards.py` reads.

A shard holds the readable ones of a fixed number of images in a row, so that shards are made in any order, by any
number of workers, and a packing that was stopped goes on where it was: a shard is done when its record lies beside it.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from dataclasses import dataclass

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from datamodules.encoded_source import EncodedSource
from datamodules.errors import DataError, UnreadableImage
from datamodules.file_source import FileSource
from datamodules.index import pack, save
from datamodules.shard_store import sha256_of, synced
from datamodules.view import View, pixels_at

LARGEST = 2**32 - 1  # bytes of a shard, whose offsets are uint32
FORMATS = ("jpeg", "png", "webp")  # the last two lossless
NAMES = "names.index"
WRITING = ".writing."


@dataclass(frozen=True, kw_only=True)
class PackSettings:
    """What is stored of each image.

    side      to which the shorter side of larger images is brought, aspect kept; 0: the file's bytes as they are
    format    of the images, one of FORMATS; without meaning where the bytes are kept
    quality   of JPEG, whose colours are not subsampled
    per_shard images
    """

    side: int = 256
    format: str = "jpeg"
    quality: int = 95
    per_shard: int = 1024

    def __post_init__(self):
        if self.side < 0 or self.per_shard < 1:
            raise DataError(f"--side must be 0 or more and --per-shard 1 or more; got {self.side}, {self.per_shard}")
        if not 1 <= self.quality <= 100:
            raise DataError(f"--quality must be from 1 to 100, got {self.quality}")
        assert self.format in FORMATS

    def described(self):
        """For the manifest: without what has no meaning."""
        kept = {"side": self.side, "per_shard": self.per_shard, "format": self.format if self.side else None}
        return kept | ({"quality": self.quality} if kept["format"] == "jpeg" else {})


class ShardWriter(Dataset):
    """Writes shard k of a split to `folder` when item k is asked for, and says in `records` that it is done.

    -> the error that was met, or None: a DataLoader would make a long text of an error that is raised.
    """

    def __init__(self, source, length, settings, folder, records):
        self.source, self.length, self.settings = source, length, settings
        self.folder, self.records = os.fspath(folder), os.fspath(records)

    def __len__(self):
        return -(-self.length // self.settings.per_shard)

    def record_path(self, number):
        return os.path.join(self.records, f"{number:06}.json")

    def missing(self):
        """The numbers of the shards that are still to be written."""
        for folder in (self.folder, self.records):
            os.makedirs(folder, exist_ok=True)
        for name in os.listdir(self.folder):
            if name.startswith(WRITING):
                shutil.rmtree(os.path.join(self.folder, name))  # of a worker that was killed
        return [number for number in range(len(self)) if not self.done(number)]

    def done(self, number):
        """Whether shard and record of a number are there."""
        try:
            with open(self.record_path(number), encoding="utf-8") as file:
                record = json.load(file)
            return not record["file"] or os.path.getsize(os.path.join(self.folder, record["file"])) == record["bytes"]
        except (OSError, ValueError):
            return False

    def __getitem__(self, number):
        try:
            self.write(number)
        except DataError as error:
            return error
        except OSError as error:
            return DataError(f"cannot write to {self.folder}: {error.strerror}")
        return None

    def write(self, number):
        first = number * self.settings.per_shard
        record = {"first": first, "images": 0, "labels": [], "unreadable": [], "file": None}
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=WRITING) as folder:
            writer = chunk_writer(folder, self.settings.per_shard, number)
            total = 0
            for position in range(first, min(first + self.settings.per_shard, self.length)):
                try:
                    parts, label = stored(self.source, position, self.settings)
                except UnreadableImage as error:
                    record["unreadable"].append([position, error.reason])
                    continue
                total += sum(map(len, parts)) + 8 + 4 * len(parts)
                if total > LARGEST:
                    raise DataError(
                        f"{self.settings.per_shard} images fill more than 4 GiB; give a smaller --per-shard"
                    )
                writer.add_item(record["images"], parts if len(parts) > 1 else parts[0])
                record["images"] += 1
                record["labels"].append(label)
                record["parts"] = len(parts)
            if record["images"]:
                record |= self.published(writer, number)
        replaced(self.record_path(number), json.dumps(record))

    def published(self, writer, number):
        """Ends a shard and moves it to its place. -> what its record says of the file."""
        (written,) = writer.done()
        about = {"file": f"chunk-0-{number}.bin", "bytes": os.path.getsize(written), "sha256": sha256_of(written)}
        synced(written)
        os.replace(written, os.path.join(self.folder, about["file"]))
        synced(self.folder)  # before a record says so
        return about | {"config": writer.get_config()}


def chunk_writer(folder, images, number):
    """LitData's writer of chunk `number`, which holds at most so many images."""
    from litdata.streaming.writer import BinaryWriter

    return BinaryWriter(folder, chunk_size=images, chunk_index=number)


def replaced(path, text):
    """Writes a file whole or not at all, on the disk once this returns."""
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        file.write(text)
    synced(f"{path}.part")
    os.replace(f"{path}.part", path)
    synced(os.path.dirname(path))


def stored(source, position, settings):
    """([bytes of the image] and, where there is a label map, its PNG, the label or None). Raises UnreadableImage."""
    item = source.read(position)  # the whole picture, also where its bytes are kept: so they are known to be readable
    image, labels = item["image"], item.get("semantic")
    if settings.side == 0:
        parts = [file_bytes(source, position)]
    else:
        image, labels = reduced(image, labels, settings.side)
        parts = [encoded(Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()), settings)]
    if labels is not None:
        parts.append(saved(Image.fromarray(labels.numpy()), format="PNG"))
    return parts, item.get("label")


def reduced(image, labels, side):
    """Image uint8 (3,H,W) and label map uint8 (H,W) or None, their shorter side brought down to `side`.

    By the operator and the scale of `view.show`, so that pixels are those that it would show at this size.
    """
    height, width = image.shape[-2:]
    if min(height, width) <= side:
        return image, labels
    rows, columns = View(crop=1, shorter=side).resized(height, width)
    scales = rows / height, columns / width
    image = torch.ops.aten._upsample_bilinear2d_aa(image[None], [rows, columns], False, *scales)[0]
    if labels is not None:
        labels = labels[pixels_at(range(rows), rows, height)][:, pixels_at(range(columns), columns, width)]
    return image, labels


def encoded(picture, settings):
    """The bytes of a Pillow RGB image in the format of the settings."""
    if settings.format == "jpeg":
        return saved(picture, format="JPEG", quality=settings.quality, subsampling="4:4:4")
    if settings.format == "webp":
        return saved(picture, format="WEBP", lossless=True)
    return saved(picture, format="PNG")


def saved(picture, **options):
    out = io.BytesIO()
    picture.save(out, **options)
    return out.getvalue()


def file_bytes(source, position):
    """An image's file as it is. Raises DataError where the source has none."""
    if isinstance(source, EncodedSource):
        return source.encoded(position)[0]
    if not isinstance(source, FileSource):
        raise DataError(f"--side 0 keeps the bytes of files, and {type(source).__name__} has none; give another --side")
    with open(os.path.join(source.root, source.paths[position]), "rb") as file:
        return file.read()


def write_shards(writer, missing, workers):
    """Writes the shards of these numbers; yields once for each. Raises DataError."""
    loader = DataLoader(writer, batch_size=None, sampler=missing, num_workers=min(workers, len(missing)))
    for error in loader:
        if error is not None:
            raise error
        yield


def finished(writer, folder):
    """Writes names and LitData's index of a split whose shards are all there. -> its entry of the manifest.

    folder: of the split below the root. Raises DataError where images differ in what is known of them.
    """
    records = []
    for number in range(len(writer)):
        with open(writer.record_path(number), encoding="utf-8") as file:
            records.append(json.load(file))
    shards = [record for record in records if record["images"]]
    if not shards:
        raise DataError(f"none of the {writer.length} images of '{folder}' can be read; nothing is left to pack")
    if len({record["parts"] for record in shards}) > 1:
        raise DataError(f"some images of '{folder}' have a label map and some have none; pack them apart")
    save(os.path.join(writer.folder, NAMES), pack(kept(writer.source, records)), {}, 0)
    synced(os.path.join(writer.folder, NAMES))
    chunks = [
        {"filename": each["file"], "chunk_bytes": each["bytes"], "chunk_size": each["images"], "dim": None}
        for each in shards
    ]
    index = {"chunks": chunks, "config": shards[0]["config"]}
    replaced(os.path.join(writer.folder, "index.json"), json.dumps(index, sort_keys=True))
    return {
        "images": sum(record["images"] for record in shards),
        "bytes": sum(record["bytes"] for record in shards),
        "labels": shards[0]["labels"][0] is not None,
        "semantic": shards[0]["parts"] > 1,
        "classes": writer.source.classes,
        "names": described(writer.folder, folder, NAMES),
        "index": described(writer.folder, folder, "index.json"),
        "shards": [
            {
                "file": f"{folder}/{each['file']}",
                "images": each["images"],
                "bytes": each["bytes"],
                "sha256": each["sha256"],
            }
            for each in shards
        ],
        "unreadable": [
            {"name": writer.source.name(position), "reason": reason}
            for record in records
            for position, reason in record["unreadable"]
        ],
    }


def kept(source, records):
    """Yields (name, label) of the images that were stored."""
    for record in records:
        unreadable = {position for position, _ in record["unreadable"]}
        count = record["images"] + len(unreadable)
        positions = (each for each in range(record["first"], record["first"] + count) if each not in unreadable)
        for position, label in zip(positions, record["labels"], strict=True):
            yield source.name(position), label


def described(folder, split, name):
    """file, bytes and SHA-256 of a file of the split's folder."""
    path = os.path.join(folder, name)
    return {"file": f"{split}/{name}", "bytes": os.path.getsize(path), "sha256": sha256_of(path)}


def names_sha256(source, length):
    """SHA-256 of the names of the first `length` images, one a line."""
    digest = hashlib.sha256()
    for position in range(length):
        digest.update(os.fsencode(source.name(position)) + b"\n")
    return digest.hexdigest()
