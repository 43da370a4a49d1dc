"""SUN397 (Xiao, Hays, Ehinger, Oliva, Torralba: SUN database, CVPR 2010), 108,754 photographs of 397 scenes.

    SUN397/ClassName.txt                        "/a/abbey", one class a line, in the order of the labels
    SUN397/a/abbey/sun_aaalbzqrimafwbiv.jpg     [the same in the root]
    Partitions/Training_01.txt, Testing_01.txt  "/a/abbey/sun_aaalbzqrimafwbiv.jpg", 50 + 50 a class, ten partitions of
                                                Partitions.zip, in the root [SUN397, SUN397/Partitions]

The partitions have no validation images; a hash of the path takes `val_share` of the training images for it.
"""

import os
from dataclasses import dataclass

from datamodules.base import DataConfig, ImageDataModule
from datamodules.errors import DataError
from datamodules.file_source import FileSource, checked, data_root, first_file, first_folder
from datamodules.index import describe_folder, index_list, lines_of, stable_share

PLACES = ("Partitions", "SUN397/Partitions", "SUN397", "")


@dataclass(kw_only=True)
class SUN397Config(DataConfig):
    partition: int = 1  # of the ten
    val_share: float = 0.1  # of the partition's training images

    def __post_init__(self):
        super().__post_init__()
        if not 1 <= self.partition <= 10:
            raise ValueError(f"data.partition must be 1 to 10, got {self.partition}")
        if not 0 < self.val_share < 1:
            raise ValueError(f"data.val_share must be between 0 and 1, got {self.val_share}")


class SUN397(ImageDataModule):
    Config = SUN397Config

    def source(self, split):
        root = data_root("SUN397", self.config.root, "SUN397/a/abbey/*.jpg and Partitions/Training_01.txt")
        folder = os.path.dirname(first_folder("SUN397", root, ["SUN397/a", "a"]))
        classes = [line[3:] for line in lines_of(official(root, "ClassName.txt"))]  # /a/abbey -> abbey
        number = {name: label for label, name in enumerate(classes)}
        name = f"{'Testing' if split == 'test' else 'Training'}_{self.config.partition:02}.txt"
        share = self.config.val_share

        def parse(line):
            if split != "test" and (stable_share(line) < share) != (split == "val"):
                return None
            category = os.path.dirname(line)[3:]
            if category not in number:
                raise DataError(f"SUN397: {line} of {name} is in none of the {len(classes)} classes of ClassName.txt")
            return line.lstrip("/"), number[category]

        paths = index_list(official(root, name), parse, options=[split, share, classes])
        return checked(FileSource(folder, paths, classes), "SUN397", split)


def official(root, name):
    """One of the data set's text files. Raises DataError where it is not."""
    file = first_file(root, [os.path.join(place, name) for place in PLACES])
    if file is None:
        raise DataError(f"SUN397: no {name} in {root} or in {', '.join(PLACES[:-1])} below it; {describe_folder(root)}")
    return file
