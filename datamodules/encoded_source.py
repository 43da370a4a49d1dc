"""A split whose images are encoded files, each a stretch of bytes in a larger file, as in shards and tars."""

import io
import os

from datamodules.base import Source
from datamodules.decoding import read_label_map, read_sized_image
from datamodules.errors import UnreadableImage
from datamodules.file_source import matching
from datamodules.view import show_labels


class EncodedSource(Source):
    """Images named by `paths`, a PackedPaths, whose labels number `classes`. A subclass gives `encoded`."""

    def __init__(self, paths, classes=None):
        self.paths, self.classes = paths, classes

    def __len__(self):
        return len(self.paths)

    def name(self, position):
        return self.paths[position]

    def encoded(self, position):
        """[bytes of an image's file] and, where the data set has label maps, the bytes of the map's PNG behind it.

        Raises UnreadableImage.
        """
        raise TypeError(f"{type(self).__name__} must give its encoded images")

    def read(self, position, view=None):
        name = self.paths[position]
        image, *label_map = (NamedBytes(data, name) for data in self.encoded(position))
        image, size = read_sized_image(image, view)
        item = {"image": image}
        if self.paths.labels is not None:
            item["label"] = int(self.paths.labels[position])
        if label_map:
            labels = matching(read_label_map(label_map[0]), *size, name)
            item["semantic"] = labels if view is None else show_labels(labels, view)
        return item


class NamedBytes(io.BytesIO):
    """A file in memory; its name is what errors call it."""

    def __init__(self, data, name):
        super().__init__(data)
        self.name = name


def stretch(file, start, size, name):
    """`size` bytes of a file from `start` on. Raises UnreadableImage of the image `name` that they hold.

    The file is opened for the one read: kept open, or mapped, thousands of shards would use up the descriptors that a
    process may have.
    """
    try:
        with open(file, "rb", buffering=0) as opened:
            data = os.pread(opened.fileno(), size, start)
    except OSError as error:
        raise UnreadableImage(name, f"{file}: {error.strerror}") from error
    if len(data) < size:
        raise UnreadableImage(name, f"{file} ends before byte {start + size}")
    return data
