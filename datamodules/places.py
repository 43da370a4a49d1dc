"""Places (Zhou et al.): Places205 (NIPS 2014) and Places365 Standard and Challenge (TPAMI 2018, also called Places2).

`root` is where the archives were unpacked; every layout below is found there. Names in brackets are alternatives.

Places365, 256 x 256; with `resolution=high`, `large` stands for 256 in the names of folders and archives:
    data_256/a/airfield/00000001.jpg            train_256_places365standard.tar [data_256_standard, as torchvision
                                                names it; data_256_challenge; train_256_places365standard/data_256]
    val_256/Places365_val_00000001.jpg          val_256.tar, 36,500 images
    test_256/Places365_test_00000001.jpg        test_256.tar, 328,500 images without labels
    places365_train_standard.txt                "/a/airfield/00000001.jpg 0", with places365_train_challenge.txt,
    places365_val.txt, places365_test.txt       "Places365_val_00000001.jpg 165" and categories_places365.txt,
                                                "/a/airfield 0", in the root [filelist_places365-standard, meta]
Places365, "easy" format (places365standard_easyformat.tar, 256 x 256 only; its lists are not needed):
    places365_standard/train/airfield/00000001.jpg, places365_standard/val/airfield/Places365_val_00000435.jpg
Places205, 256 x 256 only:
    data/vision/torralba/deeplearning/images256/a/abbey/gsun_0003586c3eedd97457b2d729ebfe18b5.jpg [images256]
    trainvalsplit_places205/train_places205.csv "a/abbey/gsun_0003586c3eedd97457b2d729ebfe18b5.jpg 0", and
                                                val_places205.csv, in that folder [trainvalsplit, the root]
    categoryIndex_places205.csv                 "/a/abbey 0", comes with the networks; without it the names are those of
                                                the validation list's folders

Of Places365 the lists may be missing: the folders are then scanned, and training images are labelled by their folders
where the categories are known; the others have no labels.
"""

import logging
import os
from dataclasses import dataclass

from datamodules.base import DataConfig, ImageDataModule
from datamodules.errors import DataError
from datamodules.file_source import FileSource, checked, data_root, first_file, first_folder
from datamodules.index import describe_folder, index_folder, index_list, lines_of

log = logging.getLogger(__name__)

VARIANTS = ("places365_standard", "places365_challenge", "places205")
LIST_FOLDERS = ("", "filelist_places365-standard", "filelist_places365-challenge", "meta")
LIST_FOLDERS_205 = ("", "trainvalsplit_places205", "trainvalsplit")


@dataclass(kw_only=True)
class PlacesConfig(DataConfig):
    variant: str = "places365_standard"  # or places365_challenge, places205
    resolution: str = "256"  # or high
    test_on: str = "val"  # papers score on the validation images; `test`: the unlabelled test images of Places365

    def __post_init__(self):
        super().__post_init__()
        self.resolution = str(self.resolution)
        for name, allowed in (("variant", VARIANTS), ("resolution", ("256", "high")), ("test_on", ("val", "test"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"data.{name} must be one of {', '.join(allowed)}, got {getattr(self, name)}")
        if self.variant == "places205" and (self.resolution, self.test_on) != ("256", "val"):
            raise ValueError(
                "places205 has 256 x 256 images for train and val: no data.resolution=high, no data.test_on=test"
            )


class Places(ImageDataModule):
    Config = PlacesConfig

    def source(self, split):
        root = data_root(
            "Places", self.config.root, "data_256 and val_256, places365_standard, or Places205's images256"
        )
        folder = self.config.test_on if split == "test" else split
        if self.config.variant == "places205":
            source = places205(root, folder)
        elif self.is_easy(root):
            source = easy_format(root, folder)
        else:
            kind = self.config.variant.removeprefix("places365_")
            source = places365(root, folder, kind, "256" if self.config.resolution == "256" else "large")
        return checked(source, "Places", split)

    def is_easy(self, root):
        """Whether the root holds the easy format of the data set asked for, and not its first layout."""
        if (self.config.variant, self.config.resolution) != ("places365_standard", "256") or easy_root(root) is None:
            return False
        return not any(os.path.isdir(os.path.join(root, name)) for name in ("val_256", "data_256", "data_256_standard"))


def listed(line):
    """(path, label) of a line such as '/a/airfield/00000001.jpg 0'; the label is None where there is none."""
    path, *label = line.split()
    return path.lstrip("/"), int(label[0]) if label else None


def categories(file):
    """Names by label of a file of lines such as '/a/apartment_building/outdoor 8': apartment_building/outdoor."""
    names = {label: path.split("/", 1)[1] for path, label in map(listed, lines_of(file))}
    return [names[label] for label in sorted(names)]


def places365(root, split, kind, size):
    """The split of the layout of lists beside data_<size>, val_<size> and test_<size>."""
    archive = f"train_{size}_places365{kind}"
    folders = {"train": [f"data_{size}_{kind}", f"data_{size}", f"{archive}/data_{size}"]}
    folder = first_folder("Places", root, folders.get(split, [f"{split}_{size}"]))
    names = first_file(root, [os.path.join(place, "categories_places365.txt") for place in LIST_FOLDERS])
    classes = categories(names) if names else None
    name = f"places365_train_{kind}.txt" if split == "train" else f"places365_{split}.txt"
    file = first_file(root, [os.path.join(place, name) for place in LIST_FOLDERS])
    if file:
        return FileSource(folder, index_list(file, listed), classes)
    if split == "train" and classes:
        return FileSource(folder, index_by_folder(folder, classes, lambda path: path.split("/", 1)[1]), classes)
    log.warning("Places: the images of %s have no labels: %s is not in %s", folder, name, root)
    return FileSource(folder, index_folder(folder), classes)


def index_by_folder(folder, classes, class_of):
    """The images of a folder, labelled by class_of(the folder that an image lies in). Raises DataError."""
    number = {name: label for label, name in enumerate(classes)}

    def label(path):
        name = class_of(os.path.dirname(path))
        if name not in number:
            raise DataError(f"Places: {folder}/{path} is not in the folder of one of the {len(number)} categories")
        return number[name]

    return index_folder(folder, label=label, options=classes)


def easy_root(root):
    """The folder of the easy format's train and val: the root, or places365_standard in it; or None."""
    for folder in (root, os.path.join(root, "places365_standard")):
        if any(os.path.isdir(os.path.join(folder, split)) for split in ("train", "val")):
            return folder
    return None


def easy_format(root, split):
    """The split of the easy format, whose folders are the categories with '-' for '/', in the order of their names."""
    home = easy_root(root)
    folder = first_folder("Places", home, [split])
    names = first_file(root, [os.path.join(place, "categories_places365.txt") for place in (*LIST_FOLDERS, home)])
    if names:
        classes = [name.replace("/", "-") for name in categories(names)]
    else:
        with os.scandir(folder) as entries:
            classes = sorted(entry.name for entry in entries if entry.is_dir())
    return FileSource(folder, index_by_folder(folder, classes, lambda path: path), classes)


def places205(root, split):
    """The split of Places205, which needs its lists: train and validation images lie in the same folders."""
    folder = first_folder("Places", root, ["data/vision/torralba/deeplearning/images256", "images256"])
    lists = {}
    for each in (split, "val"):
        lists[each] = first_file(root, [os.path.join(place, f"{each}_places205.csv") for place in LIST_FOLDERS_205])
        if lists[each] is None:
            places = ", ".join(LIST_FOLDERS_205[1:])
            raise DataError(f"Places: no {each}_places205.csv in {root}, {places}; {describe_folder(root)}")
    names = first_file(root, [os.path.join(place, "categoryIndex_places205.csv") for place in LIST_FOLDERS_205])
    if names:
        classes = categories(names)
    else:
        folders = {label: os.path.dirname(path) for path, label in map(listed, lines_of(lists["val"]))}
        classes = [folders[label].split("/", 1)[1] for label in sorted(folders)]
    return FileSource(folder, index_list(lists[split], listed), classes)
