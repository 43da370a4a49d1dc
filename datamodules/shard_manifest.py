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

import json
import os

from datamodules.errors import DataError
from datamodules.shard_store import MANIFEST, sha256_of

FORMAT, VERSION = "chromafill-shards", 1
LARGEST = 2**60  # of any number
# {key: type} of what is read of the manifest, of a split and of a file
WHOLE = {"settings": dict, "splits": dict}
SPLIT = {
    "images": int,
    "bytes": int,
    "semantic": bool,
    "classes": list | None,
    "names": dict,
    "index": dict,
    "shards": list,
}
FILE = {"file": str, "bytes": int, "sha256": str}


def parsed(content, where):
    """The manifest of its bytes, with all in it that is read. Raises DataError."""
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"Shards: {where}/{MANIFEST} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"Shards: {where}/{MANIFEST} is not of format {FORMAT}; was it made by chromafill data pack?")
    if manifest.get("version") != VERSION:
        raise DataError(
            f"Shards: {where} is of version {manifest.get('version')}, this reads version {VERSION}; pack it anew"
        )
    wrong = next(faults(manifest), None)
    if wrong is not None:
        raise DataError(f"Shards: {where}/{MANIFEST} {wrong}; was it made by chromafill data pack?")
    return manifest


def faults(manifest):
    """Yields what is wrong with a manifest. Each is found before anything that only makes sense without it."""
    yield from lacking(manifest, WHOLE, "the whole")
    yield from lacking(manifest["settings"], {"side": int}, "the settings")
    splits = manifest["splits"]
    for name, entry in splits.items():
        twin = entry.get("same_as") if isinstance(entry, dict) else None
        if twin is not None:
            if not isinstance(twin, str) or not isinstance(splits.get(twin), dict) or "same_as" in splits[twin]:
                yield f"has no split that '{name}' is the same as"
            continue
        yield from lacking(entry, SPLIT, f"the split '{name}'")
        for each in (entry["names"], entry["index"], *entry["shards"]):
            yield from lacking(each, FILE, f"a file of '{name}'")
            if not each["file"].isprintable() or os.path.isabs(each["file"]) or ".." in each["file"].split("/"):
                yield f"names {each['file']!r}, which is not below its own folder"
        for each in entry["shards"]:
            yield from lacking(each, {"images": int}, f"a shard of '{name}'")


def lacking(part, kinds, what):
    """Yields the keys of a part of a manifest whose values are not of their types, or numbers out of all bounds."""
    for key, kind in kinds.items():
        value = part.get(key) if isinstance(part, dict) else None
        known = isinstance(part, dict) and key in part and isinstance(value, kind)
        if not known or (kind is int and not 0 <= value < LARGEST):
            yield f"says nothing usable of '{key}' of {what}"


def split_of(manifest, split, where):
    """A split's entry; its `test`, where none was packed, is its `val`. Raises DataError."""
    splits = manifest["splits"]
    name = "val" if split == "test" and "test" not in splits else split
    if name not in splits:
        raise DataError(f"Shards: {where} has no split '{split}'; it has {', '.join(splits)}")
    return splits[splits[name].get("same_as", name)]


def files_of(entry):
    """{path below the root: bytes} of one split."""
    return {each["file"]: each["bytes"] for each in (entry["names"], entry["index"], *entry["shards"])}


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
        found = int.from_bytes(file.read(4), "little")
    return None if found == images else f"has {found} images instead of {images}"
