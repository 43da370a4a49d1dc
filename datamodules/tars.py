"""Tar files as WebDataset has them: `<key>.jpg` (or .jpeg, .png, .webp) with `<key>.cls`, `.json` or `.txt` beside it.

`root` is a folder of .tar files, or names them by a pattern: `imagenet1k-train-{0000..1023}.tar`, `part-{a,b}-*.tar`.
The label is the number in .cls, or `label` or `cls` in .json, or a .txt that holds a number alone; a key is a member's
path up to the first dot of its file name. There are labels where every image has one. The images of a split are those
of the tars whose names match its pattern, and all are for training where none does. Where no tar is for validation, a
hash of each key picks `val_share` of the training images; where none is for test, those are the validation images.

WebDataset reads tars from front to back, so its order is approximate and so is its resume. Here the members' headers
are read once, the place of every image is remembered as that of a file is (datamodules/index.py), and images are read
by position: order and resume are as exact as those of a folder. That takes local, uncompressed tars.
"""

import json
import logging
import os
import re
import tarfile
from dataclasses import dataclass
from fnmatch import fnmatch
from glob import glob

from datamodules.base import DataConfig, ImageDataModule
from datamodules.encoded_source import EncodedSource, stretch
from datamodules.errors import DataError
from datamodules.index import describe_folder, pack, remembered, stable_share, stamp

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
IMAGES = (".jpg", ".jpeg", ".png", ".webp")
LABELS = (".cls", ".json", ".txt")  # the first that gives a number counts
LARGEST_LABEL = 1 << 20  # bytes of a .json beside an image that are looked at
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
URL = re.compile(r"(?:pipe:|[a-z0-9]+://)")


@dataclass(kw_only=True)
class TarsConfig(DataConfig):
    """Patterns are those of a shell, matched with a tar's path below the root in lower case."""

    train_tars: str = "*train*"
    val_tars: str = "*val*"
    test_tars: str = "*test*"
    val_share: float = 0.1  # of the training images, for validation, where no tar is for that

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.val_share < 1:
            raise ValueError(f"data.val_share must be between 0 and 1, got {self.val_share}")


class Tars(ImageDataModule):
    Config = TarsConfig

    def source(self, split):
        root, tars = tars_of(self.config.root)
        patterns = {each: getattr(self.config, f"{each}_tars") for each in SPLITS}
        of = {each: [tar for tar in tars if fnmatch(tar.lower(), patterns[each].lower())] for each in SPLITS}
        if not any(of.values()):
            of["train"] = tars
        if split == "test" and not of["test"]:
            split = "val"
        part = None
        if not of["val"] and split != "test":
            of["val"], part = of["train"], (split, self.config.val_share)
        if not of[split]:
            raise DataError(
                f"Tars: no tar of {root} matches data.{split}_tars = '{patterns[split]}'; there are {listed(tars)}"
            )
        paths = index_tars(root, of[split], part)
        if len(paths) == 0:
            note = "" if part is None else f" (a hash picks data.val_share = {part[1]} for 'val')"
            raise DataError(
                f"Tars: no image ({' '.join(IMAGES)}) for the split '{split}' in {listed(of[split])} of {root}{note}"
            )
        return TarSource(root, of[split], paths)


class TarSource(EncodedSource):
    """Images of tars by position; `paths.places` says where each is."""

    def __init__(self, root, tars, paths):
        super().__init__(paths)
        self.root, self.tars = root, tars

    def encoded(self, position):
        tar, start, size = self.paths.places[position].tolist()
        return [stretch(os.path.join(self.root, self.tars[tar]), start, size, self.paths[position])]


def tars_of(root):
    """(folder, paths of tars relative to it, sorted) of what data.root says. Raises DataError."""
    if root is None:
        raise DataError("Tars: set data.root to a folder of .tar files or to a pattern such as 'train-{000..127}.tar'")
    if URL.match(root):
        raise DataError(
            f"Tars: {root} is not a local path, and reading by position needs local tars; download them, or pack "
            "them as shards (chromafill data pack), which are read from a URL"
        )
    root = os.path.abspath(os.path.expanduser(root))
    if os.path.isdir(root):
        pattern, files = f"{root}/**/*.tar", glob(f"{glob_escaped(root)}/**/*.tar", recursive=True)
    else:
        pattern, files = root, [file for each in spelt_out(root) for file in matching(each)]
        root = os.path.dirname(re.split(r"[{*?\[]", root)[0])
    if not files:
        raise DataError(f"Tars: no file {pattern}; in {root}: {describe_folder(root)}")
    return root, sorted({os.path.relpath(file, root) for file in files})


def glob_escaped(path):
    return re.sub(r"([*?\[])", r"[\1]", path)


def matching(pattern):
    """The files of a shell pattern; a name without wildcards must be there. Raises DataError."""
    files = glob(pattern)
    if not files and not re.search(r"[*?\[]", pattern):
        folder = os.path.dirname(pattern)
        raise DataError(f"Tars: {pattern} is not there; in {folder}: {describe_folder(folder)}")
    return files


def spelt_out(pattern):
    """The names of a pattern with braces: {000..127} counts, with leading zeros, {a,b} lists."""
    match = BRACES.search(pattern)
    if match is None:
        return [pattern]
    before, choices, behind = pattern[: match.start()], match[1].split(","), pattern[match.end() :]
    if bounds := RANGE.fullmatch(match[1]):
        first, last = bounds.groups()
        choices = [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return [name for choice in choices for name in spelt_out(before + choice + behind)]


def listed(names, most=3):
    """'a, b, c and 5 more'."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def index_tars(root, tars, part):
    """PackedPaths of the images in tars, with their places, in the order of the tars and of their members.

    part: None, or (train or val, share): the images that a hash of their keys gives to this part.
    """

    def build():
        files = [os.path.join(root, tar) for tar in tars]
        stamps = {file: stamp(file) for file in files}
        found = (sample for number, file in enumerate(files) for sample in samples(file, number))
        index = pack(each for each in found if part is None or belongs(each[0], *part))
        unlabelled = int((index.labels < 0).sum()) if len(index) else 0
        if unlabelled:
            if unlabelled < len(index):
                log.warning("Tars: %d of %d images of %s have no label, so none is used", unlabelled, len(index), root)
            index.labels = None
        return index, stamps

    return remembered(["tars", root, [tars, part]], build)


def belongs(name, part, share):
    """Whether the hash of an image's key picks it for train or val."""
    return (stable_share(key_of(name)) < share) == (part == "val")


def key_of(name):
    """a/b of a/b.seg.png: the path up to the first dot of the file's name."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{file.split('.')[0]}" if folder else file.split(".")[0]


def samples(path, number):
    """Yields (name, label or -1, (number of the tar, first byte, bytes)) of the images of one tar.

    The members of a key lie together, as WebDataset demands. Raises DataError where the file is no plain tar.
    """
    with open(path, "rb") as data:
        key, images, labels = None, [], {}
        for member in members(path, data):
            if key_of(member.name) != key:
                yield from labelled_images(images, labels)
                key, images, labels = key_of(member.name), [], {}
            suffix = member.name[len(key) :].lower()
            if suffix in IMAGES:
                images.append((member.name, (number, member.offset_data, member.size)))
            elif suffix in LABELS and member.size <= LARGEST_LABEL:
                labels[suffix] = label_in(suffix, os.pread(data.fileno(), member.size, member.offset_data))
        yield from labelled_images(images, labels)


def members(path, data):
    """Yields the regular files of an open tar. Raises DataError."""
    try:
        with tarfile.open(fileobj=data, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # it keeps the header of every member
                if member.isreg() and not member.sparse:
                    yield member
            end = os.pread(data.fileno(), tarfile.BLOCKSIZE, tar.offset)
            if end.strip(b"\0"):  # tarfile takes a damaged header for the end
                raise tarfile.ReadError(f"no header at byte {tar.offset}")
            if len(end) < tarfile.BLOCKSIZE:
                log.warning("Tars: %s has no end mark: it may have been cut short", path)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise DataError(f"Tars: {path} is no uncompressed tar, or is cut short: {error}") from error


def labelled_images(images, labels):
    """The images of one key with its label."""
    label = next((labels[suffix] for suffix in LABELS if labels.get(suffix, -1) >= 0), -1)
    return [(name, label, place) for name, place in images]


def label_in(suffix, data):
    """The class number that a label file holds, or -1."""
    try:
        value = json.loads(data)
    except ValueError:  # a caption
        return -1
    if suffix == ".json" and isinstance(value, dict):
        value = value.get("label", value.get("cls"))
    return value if type(value) is int and 0 <= value < 2**31 else -1
