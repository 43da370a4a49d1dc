import numpy as np
import pytest
from odd_files import plant, write_odd_files
from omegaconf import OmegaConf
from PIL import Image

from datamodules.errors import DataError, UnreadableImage
from datamodules.folder import Folder, FolderConfig


def names(split, root, **settings):
    source = Folder(root=str(root), crop=16, **settings).source(split)
    return [source.name(position) for position in range(len(source))]


def test_the_hash_splits_a_folder_into_disjoint_parts_that_cover_it(tmp_path):
    root = plant(tmp_path, *(f"{i // 10}/{i}.jpg" for i in range(100)))
    train, val = names("train", root), names("val", root)
    assert len(train) + len(val) == len({*train, *val}) == 100 and 2 <= len(val) <= 20
    assert names("test", root) == val
    assert len(names("val", root, val_share=0.5)) > 35


def test_adding_images_moves_none_to_another_split(tmp_path):
    root = plant(tmp_path, *(f"{i}.jpg" for i in range(100)))
    train, val = set(names("train", root)), set(names("val", root))
    plant(root, *(f"0/{i}.jpg" for i in range(50)))
    assert train < set(names("train", root)) and val < set(names("val", root))


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_subfolders_are_the_splits(tmp_path, val):
    root = plant(tmp_path, "train/a.jpg", "train/x/b.jpg", f"{val}/c.jpg", "test/d.jpg", "other/e.jpg")
    assert names("train", root) == ["a.jpg", "x/b.jpg"]
    assert names("val", root) == ["c.jpg"] and names("test", root) == ["d.jpg"]


def test_without_a_folder_of_their_own_validation_images_come_from_train_and_test_is_validation(tmp_path):
    root = plant(tmp_path, *(f"train/{i}.jpg" for i in range(60)), "other/e.jpg")
    train, val = names("train", root), names("val", root)
    assert len(train) + len(val) == len({*train, *val}) == 60 and val and names("test", root) == val


def test_lists_are_the_splits_in_their_order(tmp_path):
    root = plant(tmp_path, "b.jpg", "x/a b.jpg", "c.jpg", "train/d.jpg")
    (root / "train.txt").write_text("x/a b.jpg\nb.jpg\n\n")
    (root / "val.txt").write_text("c.jpg\r\n")
    settings = {"train_list": "train.txt", "val_list": str(root / "val.txt")}
    assert names("train", root, **settings) == ["x/a b.jpg", "b.jpg"]
    assert names("val", root, **settings) == names("test", root, **settings) == ["c.jpg"]
    assert names("test", root, **settings, test_list="train.txt") == ["x/a b.jpg", "b.jpg"]


def test_a_train_list_alone_is_split_by_the_hash(tmp_path):
    root = plant(tmp_path, *(f"{i}.jpg" for i in range(60)))
    (root / "all.txt").write_text("\n".join(f"{i}.jpg" for i in range(50)))
    train, val = names("train", root, train_list="all.txt"), names("val", root, train_list="all.txt")
    assert len(train) + len(val) == len({*train, *val}) == 50 and val


def test_a_list_may_lie_in_the_working_folder(tmp_path, monkeypatch):
    root = plant(tmp_path / "root", "a.jpg")
    (tmp_path / "mine.txt").write_text("a.jpg\n")
    monkeypatch.chdir(tmp_path)
    assert names("val", root, val_list="mine.txt") == ["a.jpg"]


def test_a_list_may_hold_absolute_paths(tmp_path):
    root, other = plant(tmp_path / "root", "a.jpg"), plant(tmp_path / "other", "b.jpg")
    (root / "val.txt").write_text(f"{other}/b.jpg\n")
    source = Folder(root=str(root), crop=16, val_list="val.txt").source("val")
    assert source.read(0)["image"].shape == (3, 32, 48)


def test_label_maps_come_with_images_of_the_same_path(tmp_path):
    root = plant(tmp_path / "root", "train/x/a.jpg", "val/b.jpg")
    for path, number in (("train/x/a.png", 7), ("val/b.png", 9)):
        (tmp_path / "labels" / path).parent.mkdir(parents=True)
        Image.fromarray(np.full((32, 48), number, np.uint8)).save(tmp_path / "labels" / path)
    data = Folder(root=str(root), crop=16, semantic_root=str(tmp_path / "labels"), workers=0, batch_size=1)
    assert (data.source("train").read(0)["semantic"] == 7).all()
    (batch,) = data.val_dataloader()
    assert batch["semantic"].shape == (1, 16, 16) and (batch["semantic"] == 9).all()


def test_missing_label_maps_are_named_before_training(tmp_path):
    root = plant(tmp_path, "train/a.jpg")
    (root / "labels").mkdir()
    (root / "labels/a.mat").touch()
    with pytest.raises(DataError, match="labels/train/a.png: no such label map; in .*labels: found 1 .mat"):
        Folder(root=str(root), crop=16, semantic_root="labels", val_share=0.01).source("train")


def test_training_passes_over_what_evaluation_refuses(tmp_path):
    (tmp_path / "train").mkdir()
    odd = write_odd_files(tmp_path / "train")
    plant(tmp_path, "val/a.jpg")
    (tmp_path / "val/b.jpg").write_bytes(b"")
    data = Folder(root=str(tmp_path), crop=16, workers=0)
    train = data.dataset("train", train=True)
    items = [train[0, position] for position in range(len(train))]
    assert all(item["image"].shape == (3, 16, 16) for item in items)
    replaced = {train.source.name(position) for position, item in enumerate(items) if item["replaced"] >= 0}
    refused = {name for name, (path, readable) in odd.items() if not readable and path.is_symlink() | path.is_file()}
    assert replaced == refused | {"pipe.jpg"}
    with pytest.raises(UnreadableImage, match="b.jpg: empty file"):
        data.dataset("val")[0, 1]


@pytest.mark.parametrize(
    ("files", "settings", "split", "message"),
    [
        ([], {}, "train", "no image for the split 'train' in .*; found 1 .zip"),
        (
            ["a.jpg"],
            {"val_share": 0.001},
            "val",
            r"no image for the split 'val' .*val_share = 0.001.*found 1 .jpg, 1 .zip",
        ),
        (["a.jpg"], {"train_list": "no.txt"}, "train", "no list .*/no.txt; found 1 .jpg, 1 .zip"),
        (["a.jpg"], {"val_list": "l.txt"}, "val", "list of 'val' begins with b.jpg, which is not in .*found 1 .jpg"),
        (
            ["a.jpg"],
            {"val_list": "l.txt"},
            "train",
            "nothing says which images .* are for 'train'; set data.train_list",
        ),
        (["test/a.jpg"], {}, "train", "nothing says which images .* are for 'train'; set data.train_list"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(tmp_path, files, settings, split, message):
    plant(tmp_path, *files)
    (tmp_path / "images.zip").touch()
    if "val_list" in settings:
        (tmp_path / "l.txt").write_text("b.jpg")
    with pytest.raises(DataError, match=message):
        Folder(root=str(tmp_path), crop=16, **settings).source(split)


def test_a_share_outside_0_and_1_is_refused():
    with pytest.raises(ValueError, match="data.val_share must be between 0 and 1, got 1.0"):
        Folder(val_share=1.0)


def test_the_config_is_a_structured_config():
    config = OmegaConf.merge(OmegaConf.structured(FolderConfig), {"root": "/data", "val_list": "v.txt"})
    assert config.val_list == "v.txt" and config.semantic_root is None
