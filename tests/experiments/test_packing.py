import json
import os
import signal
import subprocess
import sys
import time

import pytest
from filelock import FileLock
from packed_shards import packed, write_pictures

from datamodules.packing import ShardWriter
from experiments import packing
from experiments.errors import UserError
from experiments.packing import verify_shards


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / "pictures")


def test_the_manifest_says_what_was_packed_and_nothing_else_is_left(tmp_path, pictures):
    manifest = packed(tmp_path / "shards", pictures)
    assert json.loads((tmp_path / "shards/manifest.json").read_text()) == manifest
    assert (manifest["format"], manifest["version"], manifest["data"]) == ("chromafill-shards", 1, "folder")
    assert manifest["settings"] == {"side": 0, "per_shard": 3, "format": None}
    train, test = manifest["splits"]["train"], manifest["splits"]["test"]
    assert (train["images"], train["labels"], train["semantic"], train["unreadable"]) == (16, False, False, [])
    assert test == {"same_as": "val", "source_sha256": manifest["splits"]["val"]["source_sha256"]}
    named = {each["file"] for entry in ("train", "val") for each in manifest["splits"][entry]["shards"]}
    named |= {f"{split}/{name}" for split in ("train", "val") for name in ("names.index", "index.json")}
    assert set(contents(tmp_path / "shards")) == {"manifest.json", *named}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "shards"]


def test_a_packing_that_fails_halfway_goes_on_and_ends_with_the_same_files(tmp_path, pictures, monkeypatch):
    packed(tmp_path / "whole", pictures)
    write, count = ShardWriter.write, iter(range(100))

    def failing(self, number):
        if next(count) == 4:
            raise KeyboardInterrupt
        write(self, number)

    monkeypatch.setattr(ShardWriter, "write", failing)
    with pytest.raises(KeyboardInterrupt):
        packed(tmp_path / "stopped", pictures)
    assert not (tmp_path / "stopped").exists()
    with pytest.raises(UserError, match=r"\.stopped.packing was begun with other images or settings"):
        packed(tmp_path / "stopped", pictures, per_shard=4)
    packed(tmp_path / "stopped", pictures)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert next(count) == 9  # 4 before, the one that failed, 4 of the 8 after: none was written twice


def test_a_killed_packing_goes_on_and_ends_with_the_same_files(tmp_path, monkeypatch):
    pictures = write_pictures(tmp_path / "pictures", count=300, size=(160, 160))
    words = ["data=folder", f"data.root={pictures}", "--side", "128", "--format", "png", "--per-shard", "4"]
    command = [sys.executable, "-m", "experiments.cli", "data", "pack", *words, "--workers", "2", "-o"]
    process = subprocess.Popen([*command, str(tmp_path / "shards")], stderr=subprocess.DEVNULL)
    records = tmp_path / ".shards.packing/records/train"
    until = time.monotonic() + 60
    while not (records.is_dir() and len(list(records.iterdir())) > 5):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "shards").exists()
    settings = {"side": 128, "format": "png", "per_shard": 4}
    packed(tmp_path / "whole", pictures, **settings)
    packed(tmp_path / "shards", pictures, **settings)
    whole, shards = contents(tmp_path / "whole"), contents(tmp_path / "shards")
    commits = [json.loads(each.pop("manifest.json")) for each in (whole, shards)]
    assert shards == whole and commits[0] == commits[1]


def test_two_packings_do_not_write_into_one_folder(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(packing, "PATIENCE", 0.0)
    (tmp_path / ".shards.packing").mkdir()
    with FileLock(tmp_path / ".shards.packing/lock"), pytest.raises(UserError, match="another process is packing to"):
        packed(tmp_path / "shards", pictures)


def test_nothing_is_overwritten(tmp_path, pictures):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/mine.txt").touch()
    with pytest.raises(UserError, match="is there already and not an empty folder"):
        packed(tmp_path / "shards", pictures)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, pictures):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/shards cannot be written: "):
        packed(tmp_path / "file/shards", pictures)


def test_packing_without_litdata_says_how_to_get_it(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(packing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"packing needs litdata: pip install 'chromafill\[stream\]'"):
        packed(tmp_path / "shards", pictures)


def test_verify_names_what_differs(tmp_path, pictures, capsys):
    packed(tmp_path / "shards", pictures)
    assert verify_shards(str(tmp_path / "shards")) == 0
    assert "12 files with 20 images are as packed" in capsys.readouterr().out
    (tmp_path / "shards/train/chunk-0-2.bin").unlink()
    assert verify_shards(str(tmp_path / "shards")) == 1
    assert "train/chunk-0-2.bin: No such file or directory\n1 of 12 files differ" in capsys.readouterr().out
    with pytest.raises(UserError, match="verify reads a local folder, not https://x"):
        verify_shards("https://x")
