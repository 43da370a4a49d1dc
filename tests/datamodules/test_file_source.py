import pickle
from functools import partial

import numpy as np
import pytest
import torch
from odd_files import encoded, quarters
from PIL import Image

from datamodules.decoding import read_label_map
from datamodules.errors import DataError, UnreadableImage
from datamodules.file_source import FileSource, checked, data_root, first_file, first_folder
from datamodules.index import index_folder
from datamodules.view import View


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images/x").mkdir(parents=True)
    (tmp_path / "images/a.jpg").write_bytes(encoded(quarters(48, 32), "JPEG"))
    (tmp_path / "images/x/b.jpg").write_bytes(encoded(quarters(401, 203), "JPEG"))
    return tmp_path


def label_map_in(folder, path):
    return read_label_map(folder / path.replace(".jpg", ".png"))


def write_labels(root, width, height, path="labels/a.png"):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    columns = np.arange(width) * 4 // width  # four bands, left to right
    Image.fromarray(columns.astype(np.uint8)[None].repeat(height, 0)).save(root / path)


def test_items_have_image_name_and_label(root):
    paths = index_folder(root / "images", label=lambda path: path.count("/") + 5, options="depth")
    source = FileSource(root / "images", paths, classes=["flat"])
    assert len(source) == 2 and source.name(1) == "x/b.jpg" and source.classes == ["flat"]
    item = source.read(1)
    assert item["image"].shape == (3, 203, 401) and item["label"] == 6 and set(item) == {"image", "label"}
    assert source.read(1, View(crop=48, shorter=64))["image"].shape == (3, 48, 48)


def test_without_labels_the_item_has_none(root):
    assert set(FileSource(root / "images", index_folder(root / "images")).read(0)) == {"image"}


def test_files_that_went_away_are_named_up_to_the_count_asked_for(root):
    source = FileSource(root / "images", index_folder(root / "images"))
    assert source.missing(2) == []
    (root / "images/x/b.jpg").unlink()
    assert source.missing(2) == ["x/b.jpg"] and source.missing(1) == []


def test_an_unreadable_image_is_named_by_its_whole_path(root):
    (root / "images/a.jpg").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=f"{root}/images/a.jpg: empty file"):
        FileSource(root / "images", index_folder(root / "images")).read(0)


@pytest.mark.parametrize("scale", [1, 2])
def test_the_label_map_shows_what_the_image_shows_whatever_its_own_scale(root, scale):
    """Classes are columns of the picture, which is red on the left and green on the right."""
    labels = np.repeat((np.arange(401 * scale) >= 200 * scale)[None], 203 * scale, 0)
    (root / "labels/x").mkdir(parents=True)
    Image.fromarray(labels.astype(np.uint8)).save(root / "labels/x/b.png")
    source = FileSource(
        root / "images", index_folder(root / "images"), label_map=partial(label_map_in, root / "labels")
    )
    whole = source.read(1)
    assert whole["semantic"].shape == whole["image"].shape[1:] == (203, 401)
    for view in (
        View(crop=48, shorter=50),  # the decoder reduces by four
        View(crop=150, shorter=180, place=(0.0, 0.4)),
        View(crop=150, shorter=180, place=(0.0, 0.6), mirror=True),
        View(crop=120),
        View(crop=120, shorter=140, squash=True, place=(0.0, 0.5)),
    ):
        item = source.read(1, view)
        red, green = item["image"][0, 5].int(), item["image"][1, 5].int()
        agree = (item["semantic"][5] == 1) == (green > red)
        assert 0 < item["semantic"][5].sum() < view.crop
        assert agree.sum() >= view.crop - 1  # at the edge itself half a pixel decides
        assert item["semantic"].dtype == torch.uint8 and item["semantic"].shape == (view.crop, view.crop)


def test_a_label_map_of_another_shape_is_refused(root):
    write_labels(root, 32, 48)
    source = FileSource(
        root / "images", index_folder(root / "images"), label_map=partial(label_map_in, root / "labels")
    )
    with pytest.raises(UnreadableImage, match="a.jpg: its label map is 32 x 48 where the image is 48 x 32"):
        source.read(0)


def test_a_source_is_small_to_send_to_a_worker(root):
    source = FileSource(
        root / "images", index_folder(root / "images"), label_map=partial(label_map_in, root / "labels")
    )
    write_labels(root, 48, 32)
    pickled = pickle.dumps(source)
    assert len(pickled) < 1000
    assert pickle.loads(pickled).read(0)["semantic"].equal(source.read(0)["semantic"])


def test_a_root_that_is_not_set_or_not_there_is_one_line_of_help(tmp_path):
    (tmp_path / "data.zip").touch()
    with pytest.raises(DataError, match=r"Things: set data.root to the folder that holds red/\*.jpg"):
        data_root("Things", None, "red/*.jpg")
    with pytest.raises(DataError, match=f"Things: no folder {tmp_path}/data, .* in {tmp_path}: found 1 .zip"):
        data_root("Things", str(tmp_path / "data"), "red/*.jpg")


def test_a_root_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_root("Things", "~", "red") == str(tmp_path)


def test_the_first_of_the_alternatives_that_exists_is_taken(root):
    (root / "list.txt").touch()
    assert first_folder("Things", root, ["nowhere", "images/x", "images"]) == str(root / "images/x")
    assert first_folder("Things", root, ["."]) == str(root)
    assert first_file(root, ["images", "list.txt"]) == str(root / "list.txt")
    assert first_file(root, ["images", "other.txt"]) is None
    with pytest.raises(DataError, match=f"Things: none of red, blue is a folder in {root}; found 1 .txt, 1 folder"):
        first_folder("Things", root, ["red", "blue"])


def test_a_split_without_images_or_without_its_first_image_is_refused(root):
    (root / "empty").mkdir()
    (root / "empty/list.txt").touch()
    with pytest.raises(DataError, match="Things: no image for the split 'val' in .*empty; found 1 .txt"):
        checked(FileSource(root / "empty", index_folder(root / "empty")), "Things", "val")
    elsewhere = FileSource(root / "empty", index_folder(root / "images"))
    with pytest.raises(DataError, match="list of 'val' begins with a.jpg, which is not in .*empty; found 1 .txt"):
        checked(elsewhere, "Things", "val")
