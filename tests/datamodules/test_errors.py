import pickle

import pytest

from datamodules.errors import DataError, UnreadableImage
from datamodules.loader import ImageLoader


class Broken:
    def __getitem__(self, position):
        raise UnreadableImage("a: b.jpg", "it is empty")


def test_an_unreadable_image_says_which_and_why():
    error = UnreadableImage("x.jpg", "truncated")
    assert (str(error), error.path, error.reason) == ("x.jpg: truncated", "x.jpg", "truncated")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason) == ("x.jpg", "truncated") and isinstance(copy, DataError)


def test_it_comes_out_of_a_loaders_worker_in_one_line():
    with pytest.raises(UnreadableImage) as error:
        next(iter(ImageLoader(Broken(), [[0]], num_workers=1, multiprocessing_context="fork")))
    assert str(error.value) == "a: b.jpg: it is empty"
