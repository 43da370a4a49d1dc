import gzip
import io
import json
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from toys import Flat, fit

from datamodules import tars
from datamodules.decoding import read_image
from datamodules.errors import DataError, UnreadableImage
from datamodules.folder import Folder
from datamodules.tars import Tars, index_tars, key_of, spelt_out


def png(number, size=(40, 32)):
    """The bytes of a picture of noise, width x height."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def write_tar(path, members, **options):
    """A tar of (name, bytes)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def samples(numbers, label=lambda number: f"{number % 3}", suffix=".cls"):
    """Members of pictures with labels."""
    for number in numbers:
        yield f"{number % 2}/{number:03}.png", png(number)
        yield f"{number % 2}/{number:03}{suffix}", label(number).encode()


@pytest.fixture
def root(tmp_path):
    write_tar(tmp_path / "set-train-0001.tar", samples(range(10, 20)))
    write_tar(tmp_path / "set-train-0000.tar", samples(range(10)))
    write_tar(tmp_path / "sub/set-val-0.tar", samples(range(20, 25)))
    return tmp_path


def source(root, split="train", **settings):
    return Tars(root=str(root), crop=16, **settings).source(split)


def names(*arguments, **settings):
    found = source(*arguments, **settings)
    return [found.name(position) for position in range(len(found))]


def test_images_and_labels_are_read_by_position_in_the_order_of_the_tars(root, tmp_path):
    train = source(root)
    assert len(train) == 20 and train.name(3) == "1/003.png" and train.name(19) == "1/019.png"
    for position in (19, 0, 7, 12, 7):
        (tmp_path / "one.png").write_bytes(png(position))
        item = train.read(position)
        assert torch.equal(item["image"], read_image(tmp_path / "one.png")) and item["label"] == position % 3
    assert names(root, "val") == names(root, "test") == [f"{number % 2}/{number:03}.png" for number in range(20, 25)]


def test_training_on_tars_ends_with_the_weights_of_the_folder_bit_for_bit(root, tmp_path):
    for tar in root.glob("set-train-*.tar"):
        with tarfile.open(tar) as opened:
            opened.extractall(tmp_path / "folder/train", filter="data")
    names = [f"{number % 2}/{number:03}.png" for number in range(20)]
    (tmp_path / "folder/train.txt").write_text("\n".join(f"train/{name}" for name in names))
    (tmp_path / "folder/val.txt").write_text("train/0/000.png")
    settings = {"crop": 16, "resize": 20, "batch_size": 4, "workers": 0}
    lists = {"train_list": "train.txt", "val_list": "val.txt"}
    weights = []
    for data in (Tars(root=str(root), **settings), Folder(root=str(tmp_path / "folder"), **lists, **settings)):
        data.iterations = 5
        torch.manual_seed(0)
        module = Flat()
        fit(module, data, validate_every=5)
        weights.append(module.state_dict()["ab"])
    assert torch.equal(*weights) and weights[0].abs().max() > 0


def test_the_headers_are_read_once_and_again_when_a_tar_changes(root, monkeypatch):
    import os
    import time

    for tar in root.rglob("*.tar"):
        os.utime(tar, (time.time() - 100, time.time() - 100))
    scanned = []
    read = tars.members
    monkeypatch.setattr(tars, "members", lambda path, data: scanned.append(path) or read(path, data))
    for _ in range(3):
        source(root)
    assert len(scanned) == 2
    write_tar(root / "set-train-0001.tar", samples(range(40, 43)))
    assert len(source(root)) == 13 and len(scanned) == 4


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_is_read_long_names_included(tmp_path, form):
    long = "x" * (90 if form == tarfile.USTAR_FORMAT else 300)
    write_tar(tmp_path / "a.tar", [(f"d/{long}.png", png(1)), ("été.png", png(2))], format=form)
    found = source(tmp_path, val_share=1e-9)
    assert [found.name(0), found.name(1)] == [f"d/{long}.png", "été.png"]
    assert found.read(1)["image"].shape == (3, 32, 40) and "label" not in found.read(1)


@pytest.mark.parametrize(
    ("suffix", "label"),
    [(".cls", "{}"), (".txt", "{}\n"), (".json", '{{"label": {}}}'), (".json", '{{"cls": {}, "x": 1}}')],
)
def test_labels_are_read_from_every_kind_of_file(tmp_path, suffix, label):
    write_tar(tmp_path / "a.tar", samples(range(6), lambda number: label.format(number), suffix))
    found = source(tmp_path, val_share=1e-9)
    assert found.paths.labels.tolist() == list(range(6))


def test_captions_are_no_labels_and_some_labels_are_none(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", samples(range(6), lambda number: "a cat" if number else "7", ".txt"))
    found = source(tmp_path, val_share=1e-9)
    assert found.paths.labels is None and "5 of 6 images" in caplog.text
    write_tar(tmp_path / "b/a.tar", samples(range(6), lambda number: json.dumps({"label": -number}), ".json"))
    assert source(tmp_path / "b", val_share=1e-9).paths.labels is None
    assert "label" not in found.read(0)


def test_other_members_are_passed_over(tmp_path):
    members = [("a.png", png(1)), ("a.seg.png", png(2)), ("a.json.gz", b"x"), ("b.npy", b"x"), ("c.JPG", png(3))]
    write_tar(tmp_path / "a.tar", members)
    with tarfile.open(tmp_path / "a.tar", "a") as tar:
        link = tarfile.TarInfo("d.png")
        link.type, link.linkname = tarfile.SYMTYPE, "a.png"
        tar.addfile(link)
    assert names(tmp_path, val_share=1e-9) == ["a.png", "c.JPG"]


def test_a_hash_sets_validation_images_apart_where_no_tar_is_for_them(tmp_path):
    write_tar(tmp_path / "part-0.tar", samples(range(60)))
    train, val = names(tmp_path, val_share=0.3), names(tmp_path, "val", val_share=0.3)
    assert len({*train, *val}) == len(train) + len(val) == 60 and 8 < len(val) < 30
    assert names(tmp_path, "test", val_share=0.3) == val
    write_tar(tmp_path / "part-1.tar", samples(range(100, 160)))
    assert set(train) < set(names(tmp_path, val_share=0.3))


def test_patterns_with_braces_and_stars_name_the_tars(root):
    assert spelt_out("a{00..2}b{x,yy}") == ["a00bx", "a00byy", "a01bx", "a01byy", "a02bx", "a02byy"]
    both = [names(f"{root}/set-train-{{0000..0001}}.tar", split, val_share=0.4) for split in ("train", "val")]
    assert sorted(both[0] + both[1]) == sorted(names(root)) and min(map(len, both)) > 2
    assert names(f"{root}/set-train-*.tar", "val", val_share=0.4) == both[1]
    assert names(f"{root}/{{set-train-0001,sub/set-val-0}}.tar") == names(root)[10:]
    assert names(root, train_tars="*-0000.tar") == names(root)[:10]


def test_a_cut_tar_is_an_error_and_not_a_smaller_data_set(root, caplog):
    file = root / "set-train-0000.tar"
    whole = file.read_bytes()
    last = source(root).paths.places[9].tolist()
    file.write_bytes(whole[: last[1] + 10])
    with pytest.raises(DataError, match="set-train-0000.tar is no uncompressed tar, or is cut short"):
        source(root)
    second = source(root, train_tars="*0001*").paths.places[1, 1] - 512
    damaged = bytearray((root / "set-train-0001.tar").read_bytes())
    damaged[second : second + 100] = b"\xff" * 100
    (root / "set-train-0001.tar").write_bytes(damaged)
    with pytest.raises(DataError, match=f"no header at byte {second}"):
        source(root, train_tars="*0001*")
    assert not caplog.records
    file.write_bytes(whole[: last[1] + (last[2] + 511) // 512 * 512])  # a whole member is the last
    assert len(source(root, train_tars="*0000*")) == 10 and "may have been cut short" in caplog.text


def test_a_tar_that_is_cut_while_it_is_used_names_the_image(root):
    train = source(root)
    (root / "set-train-0000.tar").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"0/002.png: .*set-train-0000.tar ends before byte"):
        train.read(2)


def test_what_cannot_be_read_by_position_is_refused(root, tmp_path):
    for url in ("https://x/train-{000..9}.tar", "s3://x/a.tar", "pipe:curl x"):
        with pytest.raises(DataError, match="is not a local path.*download them, or pack them as shards"):
            source(url)
    (tmp_path / "z").mkdir()
    (tmp_path / "z/a.tar").write_bytes(gzip.compress((root / "set-train-0000.tar").read_bytes()))
    with pytest.raises(DataError, match="z/a.tar is no uncompressed tar"):
        source(tmp_path / "z")
    with pytest.raises(DataError, match="set data.root to a folder of .tar files"):
        Tars(crop=16).source("train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no file .*empty/\*\*/\*.tar; in .*empty is empty"):
        source(tmp_path / "empty")
    with pytest.raises(DataError, match="set-train-0002.tar is not there; in .*: found 2 .tar"):
        source(f"{root}/set-train-{{0000..0002}}.tar")
    with pytest.raises(DataError, match=r"no tar of .* matches data.train_tars = '\*none\*'; there are set-train-0000"):
        source(root, train_tars="*none*")
    write_tar(tmp_path / "b/b.tar", [("a.npy", b"x")])
    with pytest.raises(DataError, match="no image .* for the split 'train' in b.tar of .*val_share = 0.1"):
        source(tmp_path / "b")
    with pytest.raises(ValueError, match="data.val_share must be between 0 and 1, got 1.5"):
        Tars(root="x", crop=16, val_share=1.5)


def test_keys_end_at_the_first_dot_of_the_file_name():
    assert [key_of(name) for name in ("a.jpg", "x.y/a.seg.png", "x/a")] == ["a", "x.y/a", "x/a"]


def test_the_index_of_many_images_keeps_no_object_for_each(root):
    paths = index_tars(str(root), ["set-train-0000.tar"], None)
    assert paths.nbytes == 10 * (len("0/000.png") + 8 + 24 + 4) + 8
    assert not paths.places.flags.owndata and not paths.places.flags.writeable
