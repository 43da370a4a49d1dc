import io

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.decoding import read_image
from datamodules.encoded_source import EncodedSource, stretch
from datamodules.errors import UnreadableImage
from datamodules.index import pack
from datamodules.view import View


def file_of(array, **options):
    out = io.BytesIO()
    Image.fromarray(array).save(out, **options)
    return out.getvalue()


class InMemory(EncodedSource):
    """Images given as bytes."""

    def __init__(self, images, labels=None, **settings):
        entries = [(f"{i}.jpg", None if labels is None else labels[i]) for i in range(len(images))]
        super().__init__(pack(entries), **settings)
        self.images = images

    def encoded(self, position):
        return self.images[position]


def picture(height=60, width=80):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("view", [None, View(crop=16), View(crop=16, shorter=20, place=(0.3, 0.8), mirror=True)])
def test_bytes_are_read_as_the_file_that_they_are(tmp_path, view):
    data = file_of(picture(), format="JPEG", quality=90)
    (tmp_path / "0.jpg").write_bytes(data)
    item = InMemory([[data]], labels=[7]).read(0, view)
    assert torch.equal(item["image"], read_image(tmp_path / "0.jpg", view)) and item["label"] == 7


def test_the_label_map_is_shown_as_the_image_is():
    labels = picture()[..., 0]
    image = np.repeat(labels[..., None], 3, -1)
    source = InMemory([[file_of(image, format="PNG"), file_of(labels, format="PNG")]])
    item = source.read(0, View(crop=16, place=(0.2, 0.6), mirror=True))
    assert "label" not in item and torch.equal(item["semantic"], item["image"][0])
    assert torch.equal(source.read(0)["semantic"], torch.from_numpy(labels))


def test_damage_names_the_image():
    with pytest.raises(UnreadableImage, match="^0.jpg: "):
        InMemory([[b"not a picture"]]).read(0)
    source = InMemory([[file_of(picture(), format="PNG"), file_of(picture(9, 30)[..., 0], format="PNG")]])
    with pytest.raises(UnreadableImage, match="^0.jpg: its label map is 30 x 9 where the image is 80 x 60"):
        source.read(0)


def test_a_stretch_is_whole_or_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    assert stretch(tmp_path / "file", 2, 3, "x") == b"234"
    with pytest.raises(UnreadableImage, match="^x: .*file ends before byte 12"):
        stretch(tmp_path / "file", 9, 3, "x")
    with pytest.raises(UnreadableImage, match="^x: .*No such file"):
        stretch(tmp_path / "none", 0, 1, "x")


def test_a_source_without_bytes_says_so():
    with pytest.raises(TypeError, match="EncodedSource must give its encoded images"):
        EncodedSource(pack([("a", None)])).read(0)
