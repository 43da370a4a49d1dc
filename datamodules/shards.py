"""Shards that `chromafill data pack` made of a data set: a folder of few large files, or the URL of one.

The files are LitData's (datamodules/shard_manifest.py), written by its writer. They are read here by position, so that
the order of samples is the sampler's own: exact on a resume, for any number of ranks, equal to that of the folder the
shards were packed from. LitData's reader is made for going through chunks in its own order: at random, an image of
20 KB in a local folder cost 200 to 330 us of CPU time with it and 27 us here (LitData 0.2.76, shards of 100 and 1024
images, one AMD EPYC core), since it keeps four chunks open and looks through the whole table of any other; from a URL
it asks for the place and the bytes of every image anew and keeps neither.

Packed without loss, images are bit for bit what the original data set gives at data.resize = --side, and with --side 0
at any size. Where a JPEG of twice that side or more is decoded at a fraction of its size (datamodules/decoding.py), the
packed image, which was decoded whole, differs a little.

The first time that a shard at a URL is needed it is downloaded whole (datamodules/shard_store.py). In random order the
first batches of a run need nearly all of them, so training begins slowly until the cache is full; then it is local.
"""

import logging
import struct
from dataclasses import dataclass

import numpy as np

from datamodules.base import DataConfig, ImageDataModule
from datamodules.encoded_source import EncodedSource, stretch
from datamodules.errors import DataError, UnreadableImage
from datamodules.index import load
from datamodules.shard_manifest import files_of, parsed, split_of
from datamodules.shard_store import store_of

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ShardsConfig(DataConfig):
    """`root` is a folder, or a URL: https:// s3:// gs:// azure:// r2:// hf://."""


class Shards(ImageDataModule):
    Config = ShardsConfig

    def source(self, split):
        store = store_of(self.config.root)
        manifest = parsed(store.manifest(), store)
        entry = split_of(manifest, split, store)
        store.require(files_of(entry))
        side = manifest["settings"]["side"]
        if side and max(self.config.resize or 0, self.config.resize_most or 0, self.config.crop) > side:
            log.warning("Shards: images of %s were packed with a shorter side of %d and are enlarged", store, side)
        return ShardSource(store, entry)


class ShardSource(EncodedSource):
    """The images of one split of a manifest, by position."""

    def __init__(self, store, entry):
        names = store.path(*described(entry["names"]))
        paths = load(names, trust=True)
        if paths is None or len(paths) != entry["images"]:
            raise DataError(f"Shards: {names} does not hold the names of {entry['images']} images; copy it again")
        found = sum(each["images"] for each in entry["shards"])
        if found != entry["images"]:
            raise DataError(f"Shards: the shards in {store} have {found:,} of {entry['images']:,} images; pack it anew")
        super().__init__(paths, entry["classes"])
        self.store, self.parts = store, 2 if entry["semantic"] else 1
        self.files = [described(each) for each in entry["shards"]]
        self.ends = np.cumsum([each["images"] for each in entry["shards"]])

    def encoded(self, position):
        name = self.paths[position]
        shard = int(np.searchsorted(self.ends, position, side="right"))
        place = position - (int(self.ends[shard - 1]) if shard else 0)
        file = self.store.path(*self.files[shard])
        start, end = struct.unpack("<2I", stretch(file, 4 + 4 * place, 8, name))
        item = stretch(file, start, max(0, end - start), name)
        head = 4 * self.parts
        edges = np.cumsum([head, *struct.unpack_from(f"<{self.parts}I", item.ljust(head, b"\0"))]).tolist()
        if edges[-1] != len(item):
            raise UnreadableImage(name, f"{file} is damaged at byte {start}")
        return [item[first:last] for first, last in zip(edges, edges[1:], strict=False)]


def described(each):
    """(name, bytes, SHA-256) of a file of the manifest."""
    return each["file"], each["bytes"], each["sha256"]
