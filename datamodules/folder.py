"""A folder of pictures, nested as it may be, with lists, sub-folders or a hash to say what is trained on.

Lists, where any is given, are `train_list`, `val_list` and `test_list`: one path per line, relative to the root.
Without lists the sub-folders `train`, `val` (or `valid`, `validation`) and `test` count, where there are any. Where
neither sets validation images apart, a hash of each path picks `val_share` of the training images or of the whole root;
adding images moves no other to another split. Where neither sets test images apart, they are the validation images.
"""

import os
from dataclasses import dataclass
from functools import partial

from datamodules.base import DataConfig, ImageDataModule
from datamodules.decoding import read_label_map
from datamodules.errors import DataError, UnreadableImage
from datamodules.file_source import FileSource, checked, data_root
from datamodules.index import describe_folder, index_folder, index_list, stable_share

SUBFOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


@dataclass(kw_only=True)
class FolderConfig(DataConfig):
    """Paths that are not absolute are looked for in the root, then in the working folder."""

    train_list: str | None = None
    val_list: str | None = None
    test_list: str | None = None
    val_share: float = 0.1  # for validation, of images that no list and no sub-folder sets apart
    semantic_root: str | None = (
        None  # label maps: an image's path below the root, with the suffix .png, below this folder
    )

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.val_share < 1:
            raise ValueError(f"data.val_share must be between 0 and 1, got {self.val_share}")


class Folder(ImageDataModule):
    Config = FolderConfig

    def source(self, split):
        root = data_root("Folder", self.config.root, "images")
        origin, part = self.origin(root, split)
        share = self.config.val_share

        def keep(path):
            return part is None or (stable_share(path) < share) == (part == "val")

        if os.path.isdir(origin):
            folder, paths = origin, index_folder(origin, keep=keep, options=[part, share])
        else:

            def parse(line):
                return (line.strip(), None) if keep(line.strip()) else None

            folder, paths = root, index_list(origin, parse, options=[part, share])
        source = FileSource(folder, paths, label_map=self.label_map(root, folder))
        checked(source, "Folder", split, "" if part is None else f" (a hash picks data.val_share = {share} for 'val')")
        if source.label_map is not None:
            source.label_map(source.name(0))  # says at once if the maps are not there
        return source

    def origin(self, root, split):
        """What names a split's images, a list or a folder, and which part of them: train or val by hash, None for all.

        Raises DataError where lists or sub-folders are given, but none of them for this split.
        """
        config = self.config
        lists = {"train": config.train_list, "val": config.val_list, "test": config.test_list}
        named = {each: located(root, name) if name else None for each, name in lists.items()}
        if not any(named.values()):
            named = {each: subfolder(root, each) for each in SUBFOLDERS}
        if not any(named.values()):
            named["train"] = root
        if split == "test" and not named["test"]:
            split = "val"
        if named[split]:
            return named[split], "train" if split == "train" and not named["val"] else None
        if split == "val" and named["train"]:
            return named["train"], "val"
        raise DataError(f"Folder: nothing says which images of {root} are for '{split}'; set data.{split}_list")

    def label_map(self, root, folder):
        """The function that reads the label map of an image below `folder`, or None."""
        if self.config.semantic_root is None:
            return None
        return partial(label_map_of, located(root, self.config.semantic_root), os.path.relpath(folder, root))


def located(root, name):
    """An absolute path: of the name in the root, or in the working folder where only that exists."""
    name = os.path.expanduser(name)
    in_root = os.path.join(root, name)
    return in_root if os.path.exists(in_root) or not os.path.exists(name) else os.path.abspath(name)


def subfolder(root, split):
    """The sub-folder of the root that holds a split, or None."""
    paths = (os.path.join(root, name) for name in SUBFOLDERS[split])
    return next((path for path in paths if os.path.isdir(path)), None)


def label_map_of(maps, subfolder, path):
    """uint8 (H,W), the label map of an image below one sub-folder of the root. Raises UnreadableImage."""
    file = os.path.normpath(os.path.join(maps, subfolder, os.path.splitext(path)[0] + ".png"))
    if not os.path.isfile(file):
        raise UnreadableImage(file, f"no such label map; in {maps}: {describe_folder(maps)}")
    return read_label_map(file)
