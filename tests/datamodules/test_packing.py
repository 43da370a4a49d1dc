import io
import json
import os

import numpy as np
import pytest
import torch
from packed_shards import write_pictures
from PIL import Image

from datamodules import packing
from datamodules.errors import DataError
from datamodules.folder import Folder
from datamodules.index import load
from datamodules.packing import PackSettings, ShardWriter, file_bytes, finished, names_sha256, stored, write_shards
from datamodules.synthetic import Synthetic
from datamodules.tars import Tars


@pytest.fixture
def source(tmp_path):
    return Folder(root=str(write_pictures(tmp_path / "pictures")), crop=16).source("train")


def written(folder, source, workers=0, length=None, **settings):
    settings = PackSettings(**{"side": 0, "per_shard": 3} | settings)
    writer = ShardWriter(
        source, len(source) if length is None else length, settings, folder / "shards", folder / "records"
    )
    count = sum(1 for _ in write_shards(writer, writer.missing(), workers))
    return writer, count


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").rglob("*")) if path.is_file()}


def test_any_number_of_workers_writes_the_same_files(tmp_path, source):
    for workers in (0, 2):
        writer, count = written(tmp_path / str(workers), source, workers, side=24, format="jpeg")
        finished(writer, "train")
        assert count == 6
    assert contents(tmp_path / "0") == contents(tmp_path / "2")


def test_a_stopped_packing_goes_on_with_what_is_missing_and_ends_with_the_same_files(tmp_path, source):
    writer, _ = written(tmp_path / "whole", source)
    finished(writer, "train")
    writer, _ = written(tmp_path / "stopped", source)
    os.remove(writer.record_path(1))  # killed between shard and record
    os.remove(tmp_path / "stopped/shards/chunk-0-4.bin")
    (tmp_path / "stopped/shards/chunk-0-5.bin").write_bytes(b"half")
    (tmp_path / "stopped/shards/.writing.abc").mkdir()
    assert writer.missing() == [1, 4, 5]
    _, count = written(tmp_path / "stopped", source)
    finished(writer, "train")
    assert count == 3 and contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_shard_is_on_the_disk_before_its_record_is_written(tmp_path, source, monkeypatch):
    """In the order of a power cut's interest: bytes, name, record's bytes, record's name."""
    done = []
    monkeypatch.setattr(packing, "synced", lambda path: done.append(("sync", os.path.basename(path))))
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda *names: (done.append(("name", os.path.basename(names[1]))), replace(*names))
    )
    written(tmp_path, source, length=3)
    assert [name for name in done if name[1] != "0.bin"] == [
        ("sync", "chunk-0-0.bin"),
        ("name", "chunk-0-0.bin"),
        ("sync", "shards"),
        ("sync", "000000.json.part"),
        ("name", "000000.json"),
        ("sync", "records"),
    ]


def test_unreadable_images_are_left_out_and_named(tmp_path):
    root = write_pictures(tmp_path / "pictures")
    for name in ("001", "004", "007"):  # the whole first shard, and more
        next(root.glob(f"train/*/{name}.png")).write_bytes(b"not a picture")
    source = Folder(root=str(root), crop=16).source("train")
    bad = [i for i in range(16) if source.name(i).split("/")[1] in ("001.png", "004.png", "007.png")]
    writer, _ = written(tmp_path / "shards", source, per_shard=2)
    entry = finished(writer, "train")
    assert entry["images"] == 13
    assert [each["name"] for each in entry["unreadable"]] == [source.name(i) for i in bad]
    assert all("not an image" in each["reason"] for each in entry["unreadable"])
    names = load(str(tmp_path / "shards/shards/names.index"), trust=True)
    assert list(names) == [source.name(i) for i in range(16) if i not in bad]
    assert sum(each["images"] for each in entry["shards"]) == 13


def test_nothing_readable_is_an_error(tmp_path):
    root = write_pictures(tmp_path / "pictures", count=3)
    for file in root.rglob("*.png"):
        file.write_bytes(b"x")
    writer, _ = written(tmp_path / "shards", Folder(root=str(root), crop=16).source("train"))
    with pytest.raises(DataError, match="none of the 2 images of 'train' can be read"):
        finished(writer, "train")


def test_an_entry_says_what_a_split_holds(tmp_path):
    writer, _ = written(tmp_path / "shards", Synthetic(crop=32, train_count=7).source("train"), side=16, format="png")
    entry = finished(writer, "train")
    assert (entry["images"], entry["labels"], entry["semantic"]) == (7, True, True)
    assert entry["classes"][:2] == ["coast", "countryside"]
    assert entry["bytes"] == sum((tmp_path / "shards/shards" / f"chunk-0-{n}.bin").stat().st_size for n in range(3))
    assert load(str(tmp_path / "shards/shards/names.index"), trust=True).labels.tolist() == list(range(7))


def test_only_the_first_images_are_packed_where_so_many_are_asked_for(tmp_path, source):
    writer, count = written(tmp_path / "shards", source, length=4)
    assert count == 2 and finished(writer, "train")["images"] == 4


def test_larger_images_are_brought_to_the_side_and_smaller_ones_kept(source):
    assert source.read(0)["image"].shape == (3, 32, 40)
    for side, size in ((16, (20, 16)), (32, (40, 32)), (64, (40, 32))):
        parts, label = stored(source, 0, PackSettings(side=side, format="png"))
        assert Image.open(io.BytesIO(parts[0])).size == size and label is None and len(parts) == 1


@pytest.mark.parametrize("form", ["png", "webp"])
def test_lossless_formats_keep_every_pixel(source, form):
    parts, _ = stored(source, 0, PackSettings(side=32, format=form))
    pixels = np.array(Image.open(io.BytesIO(parts[0])))
    assert torch.equal(torch.from_numpy(pixels).permute(2, 0, 1), source.read(0)["image"])


def test_jpeg_quality_is_that_of_the_settings_and_colour_is_not_subsampled(source):
    small, large = (stored(source, 0, PackSettings(side=32, quality=quality))[0][0] for quality in (30, 95))
    assert len(small) < len(large)
    assert {layer[1:3] for layer in Image.open(io.BytesIO(large)).layer} == {(1, 1)}


def test_files_are_kept_byte_by_byte_where_the_side_is_0(source):
    parts, _ = stored(source, 3, PackSettings(side=0))
    with open(os.path.join(source.root, source.name(3)), "rb") as file:
        assert parts == [file.read()]
    with pytest.raises(DataError, match="--side 0 keeps the bytes of files, and Scenes has none"):
        file_bytes(Synthetic(crop=32).source("val"), 0)


def test_errors_cross_from_the_workers_as_one_line(tmp_path):
    source = Synthetic(crop=32, train_count=3).source("train")
    with pytest.raises(DataError, match="^--side 0 keeps the bytes of files"):
        written(tmp_path / "shards", source, workers=1)


def test_a_disk_that_refuses_is_an_error_of_one_line(tmp_path, source, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("datamodules.packing.sha256_of", full)
    with pytest.raises(DataError, match="cannot write to .*shards: No space left on device"):
        written(tmp_path / "shards", source)


def test_a_shard_beyond_4_gib_is_refused(tmp_path, source, monkeypatch):
    monkeypatch.setattr("datamodules.packing.LARGEST", 5000)
    with pytest.raises(DataError, match="3 images fill more than 4 GiB; give a smaller --per-shard"):
        written(tmp_path / "shards", source)


def test_mixed_label_maps_are_refused(tmp_path, source):
    writer, _ = written(tmp_path / "shards", source)
    record = json.loads(open(writer.record_path(0)).read()) | {"parts": 2}
    with open(writer.record_path(0), "w") as file:
        json.dump(record, file)
    with pytest.raises(DataError, match="some images of 'train' have a label map and some have none"):
        finished(writer, "train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": -1}, "--side must be 0 or more"),
        ({"per_shard": 0}, "--per-shard 1 or more"),
        ({"quality": 101}, "--quality must be from 1 to 100, got 101"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(DataError, match=message):
        PackSettings(**settings)


def test_settings_without_meaning_are_not_recorded():
    assert PackSettings(side=0).described() == {"side": 0, "per_shard": 1024, "format": None}
    assert "quality" not in PackSettings(format="webp").described() and PackSettings().described()["quality"] == 95


def test_the_hash_of_the_names_is_that_of_their_lines(source):
    import hashlib

    lines = "".join(f"{source.name(position)}\n" for position in range(5))
    assert names_sha256(source, 5) == hashlib.sha256(lines.encode()).hexdigest()


def test_shards_and_tars_are_packed_byte_by_byte_too(tmp_path, source):
    import tarfile

    with tarfile.open(tmp_path / "a-train.tar", "w") as tar:
        tar.add(os.path.join(source.root, source.name(0)), "0.png")
    tars = Tars(root=str(tmp_path), crop=16, val_share=1e-9).source("train")
    with open(os.path.join(source.root, source.name(0)), "rb") as file:
        assert stored(tars, 0, PackSettings(side=0))[0] == [file.read()]
