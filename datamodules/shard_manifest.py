"""What `manifest.json` says of a folder of shards, and whether the folder is as it says.

manifest.json       format, version, data set, settings, and for each split: images, bytes, whether there are labels
                    and label maps, class names, the shards with images, bytes and SHA-256 each, and the images
                    left out because they could not be read. A split that equals another says `same_as`.
train/names.index   names and labels by position, as datamodules/index.py keeps them
train/index.json    LitData's own index, for its StreamingDataset
train/chunk-0-*.bin LitData's chunks: number of images N and N + 1 offsets, uint32, then the images; each a uint32
                    length for every part (the image's file; the PNG of its label map, where there is one), then
                    the parts
"""

import hashlib
import json
import os
import struct

from datamodules.errors import DataError
from datamodules.shard_store import MANIFEST

FORMAT, VERSION = "chromafill-shards", 1


def parsed(content, where):
    """The manifest of its bytes. Raises DataError."""
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise DataError(f"Shards: {where}/{MANIFEST} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"Shards: {where}/{MANIFEST} is not of format {FORMAT}; was it made by chromafill data pack?")
    if manifest["version"] != VERSION:
        raise DataError(
            f"Shards: {where} is of version {manifest['version']}, this reads version {VERSION}; pack it anew"
        )
    return manifest


def split_of(manifest, split, where):
    """A split's entry; its `test`, where none was packed, is its `val`. Raises DataError."""
    splits = manifest["splits"]
    name = "val" if split == "test" and "test" not in splits else split
    if name not in splits:
        raise DataError(f"Shards: {where} has no split '{split}'; it has {', '.join(splits)}")
    entry = splits[splits[name].get("same_as", name)]
    for file in files_of(entry):
        if os.path.isabs(file) or ".." in file.split("/"):
            raise DataError(f"Shards: {where}/{MANIFEST} names {file}, which is not below its own folder")
    return entry


def files_of(entry):
    """{path below the root: bytes} of one split."""
    return {each["file"]: each["bytes"] for each in (entry["names"], entry["index"], *entry["shards"])}


def sha256_of(path):
    """Of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(root, manifest):
    """Yields (path, what is wrong or None) of every file of the manifest, then what else is wrong."""
    named = {MANIFEST}
    for split, entry in manifest["splits"].items():
        if "same_as" in entry:
            continue
        for each in (entry["names"], entry["index"], *entry["shards"]):
            named.add(each["file"])
            yield each["file"], difference(os.path.join(root, each["file"]), each)
        for count in ("images", "bytes"):
            total = sum(each[count] for each in entry["shards"])
            if total != entry[count]:
                yield MANIFEST, f"says {entry[count]:,} {count} of '{split}', the shards have {total:,}"
    for folder, _, files in os.walk(root):
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), root)
            if path not in named:
                yield path, "is not in the manifest"


def difference(path, expected):
    """What is wrong with a file, or None."""
    try:
        size = os.path.getsize(path)
        if size != expected["bytes"]:
            return f"has {size:,} bytes instead of {expected['bytes']:,}"
        if sha256_of(path) != expected["sha256"]:
            return "has other bytes (SHA-256)"
        return None if "images" not in expected else miscounted(path, expected["images"])
    except OSError as error:
        return error.strerror


def miscounted(path, images):
    """What is wrong with the number of images that a shard says it has, or None."""
    with open(path, "rb") as file:
        (found,) = struct.unpack("<I", file.read(4))
    return None if found == images else f"has {found} images instead of {images}"
