import os
import pickle
import sys

import numpy as np
import pytest
import torch
from packed_shards import packed, write_pictures
from toys import Flat, fit

from datamodules.errors import DataError, UnreadableImage
from datamodules.folder import Folder
from datamodules.packing import PackSettings
from datamodules.sampler import StreamBatches
from datamodules.shards import Shards
from datamodules.synthetic import Synthetic
from experiments.packing import pack_data


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A folder of pictures and its shards, files as they are."""
    base = tmp_path_factory.mktemp("pair")
    write_pictures(base / "pictures")
    packed(base / "shards", base / "pictures")
    return base / "pictures", base / "shards"


def sources(pair, split):
    folder, shards = pair
    return Folder(root=str(folder), crop=16).source(split), Shards(root=str(shards), crop=16).source(split)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_names_and_pixels_are_those_of_the_folder_in_its_order(pair, split):
    folder, shards = sources(pair, split)
    assert len(folder) == len(shards) > 3
    for position in np.random.default_rng(1).permutation(len(folder)).tolist():
        assert shards.name(position) == folder.name(position)
        assert torch.equal(shards.read(position)["image"], folder.read(position)["image"])


def test_litdata_reads_the_same_bytes_by_its_own_index(pair):
    from litdata import StreamingDataset

    _, shards = sources(pair, "train")
    theirs = StreamingDataset(str(pair[1] / "train"), shuffle=False)
    assert [theirs[position] for position in range(len(shards))] == [shards.encoded(i)[0] for i in range(len(shards))]
    assert len(theirs) == len(shards)


def trained(data, workers=0, iterations=5):
    """The weights after a few iterations."""
    data.config.workers, data.iterations = workers, iterations
    torch.manual_seed(0)
    module = Flat()
    fit(module, data, validate_every=iterations)
    return module.state_dict()


def test_training_on_lossless_shards_ends_with_the_weights_of_the_folder_bit_for_bit(pair):
    settings = {"crop": 16, "resize": 24, "resize_most": 30, "batch_size": 4}
    folder = trained(Folder(root=str(pair[0]), **settings))
    for workers in (0, 2):
        shards = trained(Shards(root=str(pair[1]), **settings), workers)
        assert all(torch.equal(shards[key], folder[key]) for key in folder)
    other = trained(Folder(root=str(pair[0]), **settings | {"resize_most": 32}))
    assert not all(torch.equal(other[key], folder[key]) for key in folder)  # the comparison can fail


@pytest.mark.parametrize("side", [32, 37, 48])
def test_png_shards_at_a_side_give_the_pixels_of_the_folder_resized_to_it(tmp_path, side):
    root = write_pictures(tmp_path / "pictures", count=10, size=(61, 48))
    packed(tmp_path / "shards", root, splits=("train",), side=side, format="png")
    settings = {"crop": 16, "resize": side}
    folder = Folder(root=str(root), **settings).dataset("train", train=True)
    shards = Shards(root=str(tmp_path / "shards"), **settings).dataset("train", train=True)
    for key in [(epoch, position) for epoch in range(3) for position in range(len(folder))]:
        assert torch.equal(folder[key]["image"], shards[key]["image"])


def test_labels_classes_and_label_maps_come_along(tmp_path):
    data = Synthetic(crop=32, train_count=9, val_count=4)
    pack_data(tmp_path / "s", data, ("train",), PackSettings(side=32, format="webp", per_shard=4), 0, {"data": "x"})
    drawn, shards = data.source("train"), Shards(root=str(tmp_path / "s"), crop=32).source("train")
    assert shards.classes == drawn.classes
    for position in range(9):
        first, second = drawn.read(position), shards.read(position)
        assert first["label"] == second["label"]
        assert torch.equal(first["image"], second["image"]) and torch.equal(first["semantic"], second["semantic"])


def test_label_maps_are_reduced_as_they_are_shown(tmp_path):
    data = Synthetic(crop=16, resize=24, scene_size=40, train_count=5)
    pack_data(tmp_path / "s", data, ("train",), PackSettings(side=24, format="png"), 0, {"data": "x"})
    drawn = data.dataset("train", train=True)
    shards = Shards(root=str(tmp_path / "s"), crop=16, resize=24).dataset("train", train=True)
    for position in range(5):
        for kind in ("image", "semantic"):
            assert torch.equal(drawn[1, position][kind], shards[1, position][kind])


def test_a_resumed_order_reads_on_where_the_first_part_ended(pair):
    """In batches of two ranks after batches of one: the names are those of one run in one piece."""
    _, source = sources(pair, "train")
    keys = [key for batch in StreamBatches(len(source), 4, 10, seed=3) for key in batch]
    first = [key for batch in StreamBatches(len(source), 4, 5, seed=3) for key in batch]
    ranks = [StreamBatches(len(source), 2, 10, seed=3, rank=rank, world=2, done=5, seen=20) for rank in (0, 1)]
    rest = [key for batches in zip(*ranks, strict=True) for batch in batches for key in batch]
    images = [source.read(position)["image"] for _, position in first + rest]
    assert all(torch.equal(image, source.read(at)["image"]) for image, (_, at) in zip(images, keys, strict=True))


def test_a_pickled_source_is_small_and_reads_the_same(pair):
    _, source = sources(pair, "train")
    pickled = pickle.dumps(source)
    assert len(pickled) < 4000
    assert torch.equal(pickle.loads(pickled).read(2)["image"], source.read(2)["image"])


def test_reading_keeps_no_file_open(pair):
    _, source = sources(pair, "train")
    source.read(0)
    before = len(os.listdir("/proc/self/fd"))
    for position in range(len(source)):
        source.read(position)
    assert len(os.listdir("/proc/self/fd")) == before


def test_litdata_is_not_needed_to_read(pair, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "litdata"] + ["litdata"]:
        monkeypatch.setitem(sys.modules, name, None)
    _, source = sources(pair, "train")
    assert source.read(0)["image"].shape == (3, 32, 40)


def test_a_damaged_image_is_named_and_passed_over_in_training(tmp_path):
    root = write_pictures(tmp_path / "pictures")
    packed(tmp_path / "shards", root)
    data = Shards(root=str(tmp_path / "shards"), crop=16)
    source = data.source("train")
    file = tmp_path / "shards/train/chunk-0-0.bin"
    content = bytearray(file.read_bytes())
    start = int.from_bytes(content[4:8], "little")
    content[start : start + 4] = b"\xff\xff\xff\x00"  # the length of the first image
    file.write_bytes(content)
    with pytest.raises(UnreadableImage, match="chunk-0-0.bin is damaged at byte"):
        source.read(0)
    assert data.dataset("train", train=True)[0, 0]["replaced"] == 0
    file.write_bytes(content[:-30])
    with pytest.raises(UnreadableImage, match="ends before byte"):
        source.read(2)
    file.unlink()
    with pytest.raises(UnreadableImage, match="No such file"):
        source.read(2)


def test_packed_images_that_must_be_enlarged_are_mentioned(tmp_path, caplog):
    root = write_pictures(tmp_path / "pictures")
    packed(tmp_path / "shards", root, side=24, format="png")
    Shards(root=str(tmp_path / "shards"), crop=16, resize=24).source("train")
    assert not caplog.records
    Shards(root=str(tmp_path / "shards"), crop=16, resize=28).source("train")
    assert "packed with a shorter side of 24 and are enlarged" in caplog.text


def test_what_is_no_folder_of_shards_is_refused(pair, tmp_path):
    with pytest.raises(DataError, match="set data.root to a folder made by chromafill data pack"):
        Shards(crop=16).source("train")
    with pytest.raises(DataError, match=r"no manifest.json in .*pictures.*; found 2 folders"):
        Shards(root=str(pair[0]), crop=16).source("train")
    root = write_pictures(tmp_path / "pictures")
    packed(tmp_path / "shards", root, splits=("train",))
    with pytest.raises(DataError, match="has no split 'test'; it has train"):
        Shards(root=str(tmp_path / "shards"), crop=16).source("test")
    names = tmp_path / "shards/train/names.index"
    names.write_bytes(b"x" * names.stat().st_size)
    with pytest.raises(DataError, match="names.index does not hold the names of 16 images"):
        Shards(root=str(tmp_path / "shards"), crop=16).source("train")
    (tmp_path / "shards/train/chunk-0-1.bin").unlink()
    with pytest.raises(DataError, match="chunk-0-1.bin should have .* bytes and is not there"):
        Shards(root=str(tmp_path / "shards"), crop=16).source("train")
