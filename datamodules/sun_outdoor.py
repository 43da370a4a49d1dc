"""The eight outdoor scenes of Oliva and Torralba (Modeling the shape of the scene, IJCV 2001): 2,688 images, 256 x 256.

Deep Colorization (Cheng, Yang, Sheng, ICCV 2015) uses 2,688 labelled images of the SUN database; that they are these is
inferred from the number alone. With labels of objects they are distributed as the SIFT Flow data set (Liu, Yuen,
Torralba):

    Images/spatial_envelope_256x256_static_8outdoorcategories/coast_arnat59.jpg
    SemanticLabels/spatial_envelope_256x256_static_8outdoorcategories/coast_arnat59.mat

A .mat holds the matrix S: 0 = unlabelled, 1 to 33 = classes. The folder of images alone will do too, and label maps may
be images. The label of an image is its scene, which the file's name begins with. The paper's 1,344 test images are not
known: a hash of the name draws half of the images, unless `test_list` names them.
"""

import os
from dataclasses import dataclass
from functools import partial

import torch

from datamodules.base import DataConfig, ImageDataModule
from datamodules.decoding import FAULTS, read_label_map
from datamodules.errors import DataError, UnreadableImage
from datamodules.file_source import FileSource, checked, data_root, first_folder
from datamodules.index import describe_folder, index_folder, lines_of, stable_share

SCENES = ["coast", "forest", "highway", "insidecity", "mountain", "opencountry", "street", "tallbuilding"]
SET = "spatial_envelope_256x256_static_8outdoorcategories"


@dataclass(kw_only=True)
class SUNOutdoorConfig(DataConfig):
    """Folders and list are paths below the root, or absolute."""

    images: str | None = None  # folder of the images; None: SIFT Flow's, or that of the images alone
    labels: str | None = (
        None  # folder of the label maps, .mat or .png under the images' names; None: SIFT Flow's if there
    )
    test_list: str | None = None  # names of the test images, one a line; None: by the hash
    test_share: float = 0.5  # without a list
    val_share: float = 0.1  # of the images that are not for the test

    def __post_init__(self):
        super().__post_init__()
        for name in ("test_share", "val_share"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"data.{name} must be between 0 and 1, got {getattr(self, name)}")


class SUNOutdoor(ImageDataModule):
    Config = SUNOutdoorConfig

    def source(self, split):
        config = self.config
        root = data_root("SUNOutdoor", config.root, f"Images/{SET} or the images themselves")
        candidates = [f"Images/{SET}", f"images/{SET}", SET, "Images", "images", "."]
        folder = first_folder("SUNOutdoor", root, candidates if config.images is None else [config.images])
        test_names = None if config.test_list is None else listed_stems(os.path.join(root, config.test_list))

        def keep(path):
            return split_of(stem(path), test_names, config.test_share, config.val_share) == split

        options = [split, sorted(test_names or []), config.test_share, config.val_share]
        paths = index_folder(folder, keep=keep, label=scene, options=options)
        source = FileSource(folder, paths, SCENES, self.label_map(root))
        checked(source, "SUNOutdoor", split)
        if source.label_map is not None:
            source.label_map(source.name(0))  # says at once if the maps are not there
        return source

    def label_map(self, root):
        """The function that reads an image's label map; None where there are none and none are asked for."""
        folder = f"SemanticLabels/{SET}" if self.config.labels is None else self.config.labels
        if self.config.labels is None and not os.path.isdir(os.path.join(root, folder)):
            return None
        return partial(read_labels, first_folder("SUNOutdoor", root, [folder]))


def stem(path):
    """coast_arnat59 of any path to that image."""
    return os.path.splitext(os.path.basename(path))[0]


def listed_stems(file):
    """The names in a list of images, whatever their folders and suffixes. Raises DataError where there is no list."""
    if not os.path.isfile(file):
        raise DataError(f"SUNOutdoor: no list {file}; {describe_folder(os.path.dirname(file))}")
    return {stem(line.replace("\\", "/")) for line in lines_of(file)}


def split_of(name, test_names, test_share, val_share):
    """train, val or test, by the list of test images or by the hash of the name."""
    if name in test_names if test_names is not None else stable_share(name) < test_share:
        return "test"
    return "val" if stable_share("val/" + name) < val_share else "train"


def scene(path):
    """The label of an image by its file's name. Raises DataError for another name."""
    name = stem(path).split("_")[0].lower()
    if name not in SCENES:
        raise DataError(f"SUNOutdoor: {path} does not begin with one of the scenes {', '.join(SCENES)}")
    return SCENES.index(name)


def read_labels(folder, path):
    """uint8 (H,W) of an image's label map, from <name>.mat or <name>.png in the folder. Raises UnreadableImage."""
    mat, png = (os.path.join(folder, os.path.splitext(path)[0] + suffix) for suffix in (".mat", ".png"))
    if os.path.isfile(png) or not os.path.isfile(mat):
        return read_label_map(png)
    from scipy.io import loadmat

    try:
        return torch.from_numpy(loadmat(mat)["S"].astype("uint8"))
    except FAULTS as error:
        raise UnreadableImage(mat, f"no matrix S of class numbers in it ({error})") from error
