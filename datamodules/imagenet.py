"""ImageNet, the classification data of ILSVRC2012 (Russakovsky et al., IJCV 2015), as its archives unpack.

    train/n01440764/n01440764_10026.JPEG               1,281,167 images in 1,000 synsets
    val/ILSVRC2012_val_00000001.JPEG                   50,000 images, or sorted into the synsets' folders
    ILSVRC2012_devkit_t12/data/meta.mat                the synsets, with ILSVRC2012_validation_ground_truth.txt
    LOC_synset_mapping.txt, LOC_val_solution.csv       the same in the edition of Kaggle

`root` is the folder of train and val, or one that holds them as `ILSVRC/Data/CLS-LOC`, as Kaggle's archive does. Labels
number the synsets in the order of their WordNet ids. A flat validation folder without devkit or Kaggle's table has no
labels. The test split is the validation folder unless `test_list` says otherwise: the labels of the 100,000 test images
were never published.
"""

import csv
import logging
import os
import re
from dataclasses import dataclass

from datamodules.base import DataConfig, ImageDataModule
from datamodules.errors import DataError
from datamodules.file_source import FileSource, checked, data_root, first_file, first_folder
from datamodules.index import describe_folder, index_folder, lines_of, pack

log = logging.getLogger(__name__)

LAYOUT = "ImageNet's train/n01440764/*.JPEG and val/"
DEVKIT = "ILSVRC2012_devkit_t12/data"
SYNSET = re.compile(r"n\d{8}")


@dataclass(kw_only=True)
class ImageNetConfig(DataConfig):
    """Lists name validation images, one a line with or without folder and suffix; what follows a blank is ignored."""

    val_list: str | None = None  # such as the first 10,000, which Colorful Image Colorization validates on
    test_list: str | None = None  # such as the ctest10k of Larsson et al. 2016


class ImageNet(ImageDataModule):
    Config = ImageNetConfig

    def source(self, split):
        root = image_root(data_root("ImageNet", self.config.root, LAYOUT))
        wnids, classes = synsets(root)
        folder = first_folder("ImageNet", root, ["train" if split == "train" else "val"])
        paths = index_by_synset(folder, wnids) if split == "train" else validation_paths(folder, wnids)
        names = {"train": None, "val": self.config.val_list, "test": self.config.test_list}[split]
        if names is not None:
            paths = selected(folder, paths, names)
        return checked(FileSource(folder, paths, classes), "ImageNet", split)


def image_root(root):
    """The folder that holds train and val. Raises DataError."""
    for inside in ("", "ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC"):
        folder = os.path.normpath(os.path.join(root, inside))
        if any(os.path.isdir(os.path.join(folder, split)) for split in ("train", "val")):
            return folder
    raise DataError(
        f"ImageNet: neither train nor val is a folder in {root} or in ILSVRC/Data/CLS-LOC below it; "
        f"{describe_folder(root)}"
    )


def beside(root, name):
    """A file of the devkit or of Kaggle's edition: in the folder of train and val or up to three above it; or None."""
    return first_file(root, [os.path.join(*[".."] * up, name) for up in range(4)])


def synsets(root):
    """WordNet ids in label order, and the class names: the synsets' words where a file tells them, else the ids."""
    mapping, meta = beside(root, "LOC_synset_mapping.txt"), beside(root, f"{DEVKIT}/meta.mat")
    if mapping:
        words = {line[:9]: line[10:] for line in lines_of(mapping)}  # n01440764 tench, Tinca tinca
    elif meta:
        words = {wnid: words for wnid, words in devkit_synsets(meta).values()}
    else:
        folder = os.path.join(root, "train" if os.path.isdir(os.path.join(root, "train")) else "val")
        words = {name: name for name in os.listdir(folder) if SYNSET.fullmatch(name)}
    wnids = sorted(words)
    return wnids, [words[wnid] for wnid in wnids]


def devkit_synsets(meta):
    """{ILSVRC2012_ID: (WNID, words)} of the synsets without children, which are the classes."""
    from scipy.io import loadmat

    table = loadmat(meta, squeeze_me=True)["synsets"]
    return {
        int(row["ILSVRC2012_ID"]): (str(row["WNID"]), str(row["words"])) for row in table if row["num_children"] == 0
    }


def index_by_synset(folder, wnids):
    """The images of synset folders, labelled by them. Raises DataError where the devkit does not know a folder."""
    number = {wnid: label for label, wnid in enumerate(wnids)}

    def label(path):
        wnid = path.split("/")[0]
        if wnid not in number:
            raise DataError(f"ImageNet: {folder}/{path} is not in the folder of one of the {len(wnids)} synsets")
        return number[wnid]

    return index_folder(folder, label=label, options=wnids)


def validation_paths(folder, wnids):
    """The images of the validation folder, flat or sorted into synsets, labelled where their synsets are known."""
    if any(SYNSET.fullmatch(name) for name in os.listdir(folder)):
        return index_by_synset(folder, wnids)
    file, truth = ground_truth(os.path.dirname(folder), wnids)
    if truth is None:
        log.warning("ImageNet: %s has no labels: neither %s nor LOC_val_solution.csv is beside it", folder, DEVKIT)
        return index_folder(folder)

    def label(path):
        if stem(path) not in truth:
            raise DataError(f"ImageNet: {file} has no label for {path} of {folder}")
        return truth[stem(path)]

    return index_folder(folder, label=label, options=wnids, also=[file])


def ground_truth(root, wnids):
    """The file that labels the validation images, and {stem of the file name: label}; (None, None) without one."""
    number = {wnid: label for label, wnid in enumerate(wnids)}
    devkit = beside(root, f"{DEVKIT}/ILSVRC2012_validation_ground_truth.txt")
    kaggle = beside(root, "LOC_val_solution.csv")
    if devkit:
        classes = devkit_synsets(os.path.join(os.path.dirname(devkit), "meta.mat"))
        ids = enumerate(lines_of(devkit), start=1)  # line i: the ILSVRC2012_ID of validation image i
        return devkit, {f"ILSVRC2012_val_{image:08}": number[classes[int(each)][0]] for image, each in ids}
    if kaggle:
        with open(
            kaggle, encoding="ascii", newline=""
        ) as lines:  # n03995372 85 1 499 272: a synset and a box, repeated
            rows = csv.DictReader(lines)
            return kaggle, {row["ImageId"]: number[row["PredictionString"].split()[0]] for row in rows}
    return None, None


def stem(path):
    """ILSVRC2012_val_00000001 of any path to that image."""
    return os.path.splitext(os.path.basename(path))[0]


def selected(folder, paths, names):
    """Those of the validation images that a list names, in its order. Raises DataError for one that is not there."""
    place = {stem(paths[position]): position for position in range(len(paths))}

    def entry(line):
        name = line.split()[0]
        if stem(name) not in place:
            raise DataError(f"ImageNet: {names} lists {name}, which is not in {folder}; {describe_folder(folder)}")
        position = place[stem(name)]
        return paths[position], None if paths.labels is None else int(paths.labels[position])

    names = os.path.abspath(os.path.expanduser(names))
    if not os.path.isfile(names):
        raise DataError(f"ImageNet: no list {names}; {describe_folder(os.path.dirname(names))}")
    return pack(entry(line) for line in lines_of(names))
