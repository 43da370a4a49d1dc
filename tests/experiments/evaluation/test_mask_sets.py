import csv
import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from toys import synthetic

from datamodules.errors import DataError
from datamodules.masks.centre import Centre
from datamodules.masks.free_form import FreeForm
from datamodules.masks.from_folder import FromFolder
from experiments.errors import UserError
from experiments.evaluation.mask_sets import write_mask_set
from experiments.evaluation.score_record import combined_sha256
from experiments.evaluation.scoring import packed_sha256


def module(masks, **settings):
    data = synthetic(1, crop=32, test_count=70, masks=masks, **settings)
    data.seed = 5
    return data


def evaluated(data, positions):
    """The masks that an evaluation of these images sees, bool (B,H,W)."""
    dataset = data.dataset("test")
    items = torch.utils.data.default_collate([dataset[0, position] for position in positions])
    return data.on_after_batch_transfer(items)["mask"][:, 0] > 0


def test_files_are_the_masks_of_an_evaluation_bit_for_bit(tmp_path):
    data = module(FreeForm())
    manifest = write_mask_set(tmp_path / "set", data, "test", None, {"seed": 5})
    expected = evaluated(data, range(70))
    files = sorted((tmp_path / "set").glob("*.png"))
    assert [path.name for path in files] == [f"{index:06}.png" for index in range(70)]
    for path, mask in zip(files, expected, strict=True):
        with Image.open(path) as image:
            assert image.mode == "1" and np.array_equal(np.asarray(image), mask.numpy())
    assert manifest["masks_sha256"] == combined_sha256([packed_sha256(mask) for mask in expected])
    again = module(FromFolder(folder=str(tmp_path / "set"), fixed=True, count=70))
    again.seed = 99
    assert torch.equal(evaluated(again, range(70)), expected)


def test_the_table_and_the_manifest_say_what_the_masks_are_of(tmp_path):
    data = module(Centre())
    write_mask_set(tmp_path / "set", data, "test", 3, {"data": "synthetic", "seed": 5})
    with (tmp_path / "set/masks.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    names = [data.dataset("test").source.name(index) for index in range(3)]
    assert [row["name"] for row in rows] == names and [row["file"] for row in rows][2] == "000002.png"
    assert {row["hole_ratio"] for row in rows} == {"0.25"}
    manifest = json.loads((tmp_path / "set/manifest.json").read_text())
    bits = np.packbits(np.pad(np.ones((16, 16), bool), 8)).tobytes()
    expected = hashlib.sha256(hashlib.sha256(bits).digest() * 3).hexdigest()
    assert manifest["masks_sha256"] == expected
    assert manifest["images_sha256"] == hashlib.sha256("\n".join(names).encode()).hexdigest()
    assert (manifest["data"], manifest["seed"], manifest["hole"]) == ("synthetic", 5, "white")
    assert (manifest["count"], manifest["height"], manifest["width"]) == (3, 32, 32)


def test_no_image_is_read(tmp_path, monkeypatch):
    data = module(Centre())
    monkeypatch.setattr(data.dataset("test").source, "read", None)
    assert write_mask_set(tmp_path / "set", data, "test", 2, {})["count"] == 2


def test_an_empty_folder_is_filled_and_one_with_something_in_it_is_left_alone(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    write_mask_set(folder, module(Centre()), "test", 2, {})
    before = sorted(path.name for path in folder.iterdir())
    assert before == ["000000.png", "000001.png", "manifest.json", "masks.csv"]
    with pytest.raises(UserError, match="set is there already and not an empty folder; name another"):
        write_mask_set(folder, module(Centre()), "test", 4, {})
    assert sorted(path.name for path in folder.iterdir()) == before
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is there already"):
        write_mask_set(tmp_path / "file", module(Centre()), "test", 2, {})


class AllHoleLater(Centre):
    """The mask of image 2 is all hole."""

    def __call__(self, draws, height, width):
        mask = super().__call__(draws, height, width)
        mask[draws.index == 2] = 1
        return mask


def test_a_set_that_fails_half_way_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="image 2 has a mask that is all hole; change data.masks"):
        write_mask_set(tmp_path / "set", module(AllHoleLater()), "test", 4, {})
    with pytest.raises(UserError, match="set cannot be written: "):
        (tmp_path / "file").write_text("")
        write_mask_set(tmp_path / "file" / "set", module(Centre()), "test", 4, {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("count", [0, -1, 71])
def test_a_count_that_the_split_has_not_is_refused(tmp_path, count):
    with pytest.raises(UserError, match=f"--count must be from 1 to 70, the images of the split 'test'; got {count}"):
        write_mask_set(tmp_path / "set", module(Centre()), "test", count, {})


def test_data_without_masks_has_none_to_write(tmp_path):
    with pytest.raises(UserError, match="no masks to write; give masks@data.masks=centre"):
        write_mask_set(tmp_path / "set", module(None), "test", 2, {})
