"""Which images a data set has: file names in one block of bytes, remembered between runs.

A million paths as Python strings cost some 100 MB in every process, and each loader worker's reference counting copies
the pages it touches. Here they are one uint8 array and its int64 offsets, mapped from a cache file that all processes
share. The cache lies in $CHROMAFILL_CACHE, or ~/.cache/chromafill; an index there is valid while every folder that was
scanned and every list that was read has the time stamp it had. A stamp younger than two seconds when the scan began is
not trusted (file systems count in coarse steps), so the next run scans once more.
"""

import hashlib
import json
import logging
import os
import secrets
import struct
import time
from array import array
from collections import Counter
from pathlib import Path

import numpy as np

from datamodules.errors import DataError

log = logging.getLogger(__name__)

IMAGE_EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .webp .bmp .dib .tif .tiff .gif .ppm .pgm .pbm .pnm .jp2 .avif".split()
)
MAGIC = b"chroma-2"
HEADER = struct.Struct("<8s qqqqq 16s")  # magic, images, bytes of names, labels and places (0 or 1), time in ns, digest
YOUNG = 2_000_000_000  # ns


class PackedPaths:
    """Relative paths by position, and where the data set has them an int32 label for each, in `labels`.

    Of images that lie inside larger files, `places` says where: number of the file, first byte, bytes.
    Pickling sends the name of the cache file where there is one, not the paths.
    """

    def __init__(self, names, offsets, labels=None, places=None, cached=None):
        self.names, self.offsets = names, offsets  # uint8 (bytes,), int64 (n + 1,)
        self.labels, self.places = labels, places  # int32 (n,), int64 (n,3)
        self.cached = cached  # path and digest of the cache file that the arrays are mapped from

    def __len__(self):
        return len(self.offsets) - 1

    def __getitem__(self, position):
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} of {len(self)} paths")
        return os.fsdecode(self.names[self.offsets[position] : self.offsets[position + 1]].tobytes())

    @property
    def nbytes(self):
        return sum(array.nbytes for array in self.arrays() if array is not None)

    def arrays(self):
        """In the order of the cache file: offsets, places, labels, names."""
        return self.offsets, self.places, self.labels, self.names

    def __reduce__(self):
        if self.cached is not None:
            return reopened, self.cached
        return PackedPaths, (self.names, self.offsets, self.labels, self.places)


def pack(entries):
    """PackedPaths of an iterable of (path, label) or (path, label, place); the labels are ints, or None for all."""
    names, offsets, labels, places = bytearray(), array("q", [0]), array("i"), array("q")
    for path, label, *place in entries:
        names += os.fsencode(path)
        offsets.append(len(names))
        if label is not None:
            labels.append(label)
        if place:
            places.extend(place[0])
    assert len(labels) in (0, len(offsets) - 1), "either every path has a label or none has"
    return PackedPaths(
        np.frombuffer(names, np.uint8),
        np.frombuffer(offsets, np.int64),
        np.frombuffer(labels, np.int32) if labels else None,
        np.frombuffer(places, np.int64).reshape(-1, 3) if places else None,
    )


def index_folder(root, *, keep=None, label=None, options=None, also=()):
    """PackedPaths of the images below a folder, relative to it, sorted by their bytes.

    keep(path) -> bool and label(path) -> int see each relative path once, when the index is built; `options` (anything
    JSON can hold) must say all that they depend on, except for the files in `also`, whose time stamps are watched.
    Names that start with a dot are left out. Raises DataError where a folder cannot be listed.
    """
    root = os.path.abspath(root)
    assert options is not None or (keep is None and label is None), "say in options what keep and label depend on"

    def build():
        stamps = {os.fspath(file): stamp(file) for file in also}
        paths = (path for path in walk(root, stamps) if keep is None or keep(path))
        return pack((path, label(path) if label else None) for path in paths), stamps

    return remembered(["folder", root, options], build)


def index_list(file, parse, *, options=None, also=()):
    """PackedPaths of a text file, in its order. `parse`(line) -> (path, label or None), or None to leave the line out.

    `options` and `also` as for `index_folder`. Empty lines are left out. Raises DataError where there is no such file.
    """
    file = os.path.abspath(os.path.expanduser(file))
    if not os.path.isfile(file):
        raise DataError(f"no list {file}; {describe_folder(os.path.dirname(file))}")

    def build():
        stamps = {os.fspath(each): stamp(each) for each in (file, *also)}
        entries = (parse(line) for line in lines_of(file))
        return pack(entry for entry in entries if entry is not None), stamps

    return remembered(["list", file, parse.__qualname__, options], build)


def lines_of(file):
    """Yields the lines of a text file, stripped and without empty ones; bytes that are not UTF-8 as in os.fsdecode."""
    with open(file, encoding="utf-8-sig", errors="surrogateescape") as lines:
        for line in lines:
            if line := line.strip():
                yield line


def walk(root, stamps):
    """Yields the images below root in the order of their paths' characters, and notes every folder's stamp.

    Links to folders are followed, except back to a folder that contains them.
    """
    pending = [("", iter([""]), ())]  # folder relative to root, names in it, identities of the folders around it
    while pending:
        parent, names, around = pending[-1]
        name = next(names, None)
        if name is None:
            pending.pop()
        elif name and not name.endswith("/"):
            yield parent + name
        else:
            folder = os.path.join(root, parent + name)
            try:
                status = os.stat(folder)
                identity = (status.st_dev, status.st_ino)
                if identity in around:
                    continue
                stamps[folder] = [status.st_mtime_ns, 0]  # taken before the listing, so that later changes show
                pending.append((parent + name, iter(listing(folder)), (*around, identity)))
            except OSError as error:
                raise DataError(f"cannot list {folder}: {error.strerror}") from error


def listing(folder):
    """Sorted names of the images in a folder and, with a slash at the end, of the folders in it."""
    names = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if is_folder(entry):
                names.append(entry.name + "/")
            elif os.path.splitext(entry.name)[1].lower() in IMAGE_EXTENSIONS:
                names.append(entry.name)
    return sorted(names)


def is_folder(entry):
    """Of a directory entry, links followed. A link in a circle is none: reading it will say what is wrong with it."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def stamp(path):
    """What changes when a folder's names or a list's lines do: modification time in ns, and a file's size."""
    status = os.stat(path)
    return [status.st_mtime_ns, 0 if os.path.isdir(path) else status.st_size]


def cache_folder():
    """Where indices, and shards from afar, are kept between runs."""
    return Path(os.environ.get("CHROMAFILL_CACHE") or "~/.cache/chromafill").expanduser()


def remembered(key, build):
    """The index of this key from the cache where it is still valid, else built anew and written to the cache."""
    folder = cache_folder()
    file = str(folder / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.index")
    index = load(file)
    if index is not None:
        return index
    began = time.time_ns()
    index, stamps = build()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save(file, index, stamps, began)
    except OSError as error:
        log.warning("the index of %s is not kept: cannot write to %s (%s)", key[1], folder, error.strerror)
        return index
    return load(file, trust=True) or index


def save(file, index, stamps, began):
    """Header, offsets, places, labels, names, then the stamps as JSON; under a temporary name until it is complete."""
    arrays = [np.ascontiguousarray(array) for array in index.arrays() if array is not None]
    digest = hashlib.blake2b(digest_size=16)
    for each in arrays:
        digest.update(each)
    kinds = (index.labels is not None, index.places is not None)
    header = HEADER.pack(MAGIC, len(index), len(index.names), *kinds, began, digest.digest())
    temporary = f"{file}.{secrets.token_hex(8)}"
    try:
        with open(temporary, "wb") as out:
            out.writelines([header, *arrays, json.dumps(stamps).encode()])
        os.replace(temporary, file)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def load(file, trust=False):
    """The index mapped from a cache file; None where there is none, it is damaged or, unless trusted, out of date."""
    try:
        raw = np.memmap(file, np.uint8, mode="r").view(np.ndarray)
        magic, count, size, labelled, placed, began, digest = HEADER.unpack(raw[: HEADER.size].tobytes())
    except (OSError, ValueError, struct.error):
        return None
    ends = np.cumsum([HEADER.size, 8 * (count + 1), 24 * count * placed, 4 * count * labelled, size])
    if magic != MAGIC or ends[-1] > len(raw):
        return None
    if not trust and not valid(raw[ends[-1] :].tobytes(), began):
        return None
    offsets, places, labels, names = (raw[start:end] for start, end in zip(ends, ends[1:], strict=False))
    return PackedPaths(
        names,
        offsets.view(np.int64),
        labels.view(np.int32) if labelled else None,
        places.view(np.int64).reshape(-1, 3) if placed else None,
        cached=(file, digest),
    )


def valid(stamps, began):
    """Whether the files and folders of a cache file are as they were when it was written."""
    try:
        return all(stamp(path) == old and old[0] < began - YOUNG for path, old in json.loads(stamps).items())
    except (OSError, ValueError):
        return False


def reopened(file, digest):
    """The index that another process had open. Raises DataError where the file is not that one any more."""
    index = load(file, trust=True)
    if index is None or index.cached[1] != digest:
        raise DataError(f"{file}: the data set's index changed while the run was starting; start it again")
    return index


def stable_share(path):
    """A number in [0, 1) that depends on the path alone, so that adding images moves no other to another split."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=6).digest()) / 2**48


def describe_folder(folder):
    """What is there instead of what was looked for, as 'found 12 .txt, 3 .zip, 4 folders'."""
    try:
        with os.scandir(folder) as entries:
            counts = Counter("/" if is_folder(entry) else os.path.splitext(entry.name)[1].lower() for entry in entries)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not counts:
        return f"{folder} is empty"
    folders = counts.pop("/", 0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    found = [f"{count} {extension or 'without extension'}" for extension, count in ordered[:6]]
    if len(counts) > 6:
        found.append(f"{len(counts) - 6} other kinds of files")
    if folders:
        found.append(f"{folders} folder{'s' if folders > 1 else ''}")
    return f"found {', '.join(found)}"
