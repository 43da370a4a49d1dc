import contextlib
import json

import pytest
from packed_shards import packed, write_pictures

from datamodules.errors import DataError, UnreadableImage
from datamodules.shard_manifest import differences, files_of, parsed, split_of
from datamodules.shards import Shards


@pytest.fixture
def shards(tmp_path):
    packed(tmp_path / "shards", write_pictures(tmp_path / "pictures"))
    return tmp_path / "shards"


def wrong(folder):
    manifest = parsed((folder / "manifest.json").read_bytes(), folder)
    return {path: what for path, what in differences(folder, manifest) if what is not None}


def test_what_was_packed_has_no_differences(shards):
    assert wrong(shards) == {}


def test_every_kind_of_damage_is_named(shards):
    def change(name, edit):
        (shards / name).write_bytes(edit((shards / name).read_bytes()))

    change("train/chunk-0-0.bin", lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    change("train/chunk-0-1.bin", lambda data: data[:-1])
    (shards / "train/chunk-0-2.bin").unlink()
    (shards / "train/more.bin").touch()
    change("train/names.index", lambda data: data[::-1])
    manifest = json.loads((shards / "manifest.json").read_text())
    manifest["splits"]["val"]["images"] += 1
    manifest["splits"]["val"]["shards"][0]["images"] += 1
    manifest["splits"]["val"]["bytes"] += 5
    (shards / "manifest.json").write_text(json.dumps(manifest))
    found = wrong(shards)
    assert found["train/chunk-0-0.bin"] == found["train/names.index"] == "has other bytes (SHA-256)"
    assert "bytes instead of" in found["train/chunk-0-1.bin"]
    assert found["train/chunk-0-2.bin"] == "No such file or directory"
    assert found["train/more.bin"] == "is not in the manifest"
    assert found["val/chunk-0-0.bin"] == "has 3 images instead of 4"
    assert "bytes of 'val', the shards have" in found["manifest.json"]
    assert len(found) == 7


def test_test_is_val_where_none_was_packed_and_where_both_are_the_same(shards):
    manifest = parsed((shards / "manifest.json").read_bytes(), shards)
    assert manifest["splits"]["test"]["same_as"] == "val"
    assert split_of(manifest, "test", shards) is split_of(manifest, "val", shards)
    del manifest["splits"]["test"]
    assert split_of(manifest, "test", shards) is manifest["splits"]["val"]
    assert set(files_of(manifest["splits"]["val"])) == {
        *("val/names.index", "val/index.json", "val/chunk-0-0.bin", "val/chunk-0-1.bin")
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "manifest.json is not JSON"),
        (b"[]", "is not of format chromafill-shards"),
        (b'{"format": "webdataset"}', "is not of format chromafill-shards"),
        (b"[" * 10**5, "manifest.json is not JSON"),
        (b'{"format": "chromafill-shards"}', "is of version None, this reads version 1"),
        (b'{"format": "chromafill-shards", "version": 9}', "is of version 9, this reads version 1"),
        (b'{"format": "chromafill-shards", "version": 1}', "says nothing usable of 'settings' of the whole"),
    ],
)
def test_another_manifest_is_refused(content, message):
    with pytest.raises(DataError, match=message) as error:
        parsed(content, "somewhere")
    assert "\n" not in str(error.value)


def places_in(part, place=()):
    """Yields the way to everything inside a manifest."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from places_in(value, (*place, key))


@pytest.mark.parametrize("strange", [None, -1, 2**70, 1.5, "x", [], {}, [3], "\ud800", "a\0b", {"same_as": "train"}])
def test_a_manifest_with_anything_in_any_place_is_read_or_refused_in_one_line(shards, strange):
    content = (shards / "manifest.json").read_bytes()
    refused = 0
    for place in list(places_in(json.loads(content))):
        manifest = json.loads(content)
        inside = manifest
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = strange
        (shards / "manifest.json").write_text(json.dumps(manifest))
        for split in ("train", "val", "test"):
            try:
                source = Shards(root=str(shards), crop=16).source(split)
                with contextlib.suppress(UnreadableImage):
                    source.read(0)
            except DataError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 50


def test_a_manifest_lacking_anything_is_read_or_refused_in_one_line(shards):
    content = (shards / "manifest.json").read_bytes()
    for place in list(places_in(json.loads(content))):
        manifest = json.loads(content)
        inside = manifest
        for key in place[:-1]:
            inside = inside[key]
        del inside[place[-1]]
        try:
            list(differences(shards, parsed(json.dumps(manifest), shards)))
        except DataError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "train/../../x"])
def test_a_manifest_reaches_no_file_outside_its_folder(shards, name):
    manifest = json.loads((shards / "manifest.json").read_bytes())
    manifest["splits"]["train"]["shards"][0]["file"] = name
    with pytest.raises(DataError, match="which is not below its own folder"):
        parsed(json.dumps(manifest), shards)
