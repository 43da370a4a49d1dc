"""A split whose images are files below one folder, and what its data set says when they are not there."""

import os

from datamodules.base import Source
from datamodules.decoding import read_sized_image
from datamodules.errors import DataError, UnreadableImage
from datamodules.index import describe_folder
from datamodules.view import pixels_at, show_labels


class FileSource(Source):
    """Images `root/paths[i]`; `paths` is a PackedPaths, whose labels number `classes`.

    label_map(path) -> uint8 (H,W), given the image's relative path, reads the classes of its pixels from wherever the
    data set has them. It must be picklable: a module's function or a partial of one.
    """

    def __init__(self, root, paths, classes=None, label_map=None):
        self.root, self.paths, self.classes, self.label_map = root, paths, classes, label_map

    def __len__(self):
        return len(self.paths)

    def name(self, position):
        return self.paths[position]

    def missing(self, count):
        names = (self.paths[position] for position in range(count))
        return [name for name in names if not os.path.lexists(os.path.join(self.root, name))]

    def read(self, position, view=None):
        path = self.paths[position]
        file = os.path.join(self.root, path)
        image, size = read_sized_image(file, view)
        item = {"image": image}
        if self.paths.labels is not None:
            item["label"] = int(self.paths.labels[position])
        if self.label_map is not None:
            labels = matching(self.label_map(path), *size, file)
            item["semantic"] = labels if view is None else show_labels(labels, view)
        return item


def matching(labels, height, width, file):
    """A label map (h,w) at the size of its image, height x width. Raises UnreadableImage where the aspect differs."""
    rows, columns = labels.shape
    if abs(rows * width - columns * height) > 2 * max(rows, columns):  # a map of another scale has rounded sides
        raise UnreadableImage(file, f"its label map is {columns} x {rows} where the image is {width} x {height}")
    if (rows, columns) == (height, width):
        return labels
    return labels[pixels_at(range(height), height, rows)][:, pixels_at(range(width), width, columns)]


def data_root(owner, root, layout):
    """The folder of a data set as an absolute path. `layout` says in a few words what it holds. Raises DataError."""
    if root is None:
        raise DataError(f"{owner}: set data.root to the folder that holds {layout}")
    root = os.path.abspath(os.path.expanduser(root))
    if not os.path.isdir(root):
        above = os.path.dirname(root)
        raise DataError(f"{owner}: no folder {root}, which should hold {layout}; in {above}: {describe_folder(above)}")
    return root


def first_folder(owner, root, candidates):
    """The first of some relative paths below root that is a folder, as an absolute path. Raises DataError."""
    for candidate in candidates:
        if os.path.isdir(os.path.join(root, candidate)):
            return os.path.normpath(os.path.join(root, candidate))
    raise DataError(f"{owner}: none of {', '.join(candidates)} is a folder in {root}; {describe_folder(root)}")


def first_file(root, candidates):
    """The first of some relative paths below root that is a file, as an absolute path, or None."""
    paths = (os.path.normpath(os.path.join(root, candidate)) for candidate in candidates)
    return next((path for path in paths if os.path.isfile(path)), None)


def checked(source, owner, split, note=""):
    """The source, if it has images and its first one is there. Raises DataError."""
    if len(source) == 0:
        found = describe_folder(source.root)
        raise DataError(f"{owner}: no image for the split '{split}' in {source.root}{note}; {found}")
    first = source.name(0)
    if not os.path.lexists(os.path.join(source.root, first)):
        found = describe_folder(source.root)
        raise DataError(f"{owner}: the list of '{split}' begins with {first}, which is not in {source.root}; {found}")
    return source
