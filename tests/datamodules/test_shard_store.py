import http.server
import importlib.util
import multiprocessing
import os
import shutil
import threading
from functools import partial

import pytest
import torch
from packed_shards import packed, write_pictures

from datamodules import shard_store
from datamodules.errors import DataError
from datamodules.folder import Folder
from datamodules.shard_store import LocalStore, RemoteStore, bring, store_of
from datamodules.shards import Shards


class Answers(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, counts what is asked for, and answers the first `failures` requests with `code`."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.failures:
            self.server.failures -= 1
            return self.send_error(self.server.code)
        return super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """(URL of shards on this machine, the server, the folder of pictures)."""
    monkeypatch.setattr(shard_store, "PAUSES", (0.0, 0.0))
    packed(tmp_path / "shards", write_pictures(tmp_path / "pictures"))
    handler = partial(Answers, directory=str(tmp_path / "shards"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked, server.failures, server.code = [], 0, 503
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", server, tmp_path / "pictures"
    server.shutdown()
    thread.join()
    server.server_close()


def images(source):
    return [source.read(position)["image"] for position in range(len(source))]


def same(first, second):
    return len(first) == len(second) and all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_shards_from_a_url_are_the_folder_and_come_once(served):
    url, server, pictures = served
    source = Shards(root=url, crop=16).source("train")
    assert server.asked == ["/manifest.json", "/train/names.index"]  # shards only when they are needed
    expected = images(Folder(root=str(pictures), crop=16).source("train"))
    assert same(images(source), expected) and same(images(source), expected)
    asked = [path for path in server.asked if path.endswith(".bin")]
    assert len(asked) == len(set(asked)) == 6
    server.asked.clear()
    assert same(images(Shards(root=url + "/", crop=16).source("train")), expected)  # another run: from the cache
    assert server.asked == ["/manifest.json"]


def read_all(source, order):
    for position in order:
        source.read(position)


def test_processes_that_need_the_same_shard_bring_it_once(served):
    url, server, _ = served
    source = Shards(root=url, crop=16).source("train")
    context = multiprocessing.get_context("fork")
    orders = (range(16), range(15, -1, -1), range(0, 16, 3))
    processes = [context.Process(target=read_all, args=(source, order)) for order in orders]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(server.asked[2:]) == sorted({f"/train/chunk-0-{number}.bin" for number in range(6)})


@pytest.mark.parametrize("code", [408, 425, 429, 500, 503])
def test_a_server_that_fails_for_a_moment_is_asked_again(served, caplog, code):
    url, server, _ = served
    server.failures, server.code = 2, code
    assert len(Shards(root=url, crop=16).source("val")) == 4
    assert caplog.text.count("trying again") == 2
    server.failures = 3
    with pytest.raises(DataError, match="cannot get http://127.0.0.1:.*manifest.json: HTTP Error"):
        Shards(root=url, crop=16).source("val")


def test_what_is_not_there_is_not_asked_for_again(served):
    url, server, _ = served
    with pytest.raises(DataError, match="cannot get .*/none/manifest.json: HTTP Error 404"):
        Shards(root=f"{url}/none", crop=16).source("val")
    assert len(server.asked) == 1


def test_data_packed_anew_is_not_mixed_with_the_old(served, tmp_path):
    url, _, pictures = served
    old = images(Shards(root=url, crop=16).source("train"))
    shutil.rmtree(tmp_path / "shards")
    packed(tmp_path / "shards", pictures, side=20, format="png")
    new = images(Shards(root=url, crop=16).source("train"))
    assert old[0].shape == (3, 32, 40) and new[0].shape == (3, 20, 25)


def test_a_file_of_another_length_is_refused(served, tmp_path):
    url, _, _ = served
    source = Shards(root=url, crop=16).source("train")
    file = tmp_path / "shards/train/chunk-0-0.bin"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(DataError, match="chunk-0-0.bin should have .* bytes and has .*; was it packed anew"):
        source.read(0)


def test_a_file_of_other_bytes_is_refused_and_not_kept(served, tmp_path):
    url, _, pictures = served
    source = Shards(root=url, crop=16).source("train")
    file = tmp_path / "shards/train/chunk-0-0.bin"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DataError, match=r"chunk-0-0.bin has other bytes .SHA-256. than when it was packed"):
        source.read(0)
    file.write_bytes(content)
    expected = Folder(root=str(pictures), crop=16).source("train").read(0)["image"]
    assert torch.equal(source.read(0)["image"], expected)


def test_a_shard_is_on_the_disk_before_it_takes_its_name(served, monkeypatch):
    url, _, _ = served
    source, synced = Shards(root=url, crop=16).source("train"), []
    monkeypatch.setattr(shard_store, "synced", lambda path: synced.append((path, os.path.exists(path[:-5]))))
    source.read(0)
    assert synced == [(f"{source.store.folder}/train/chunk-0-0.bin.part", False)]


def test_a_partial_file_of_a_killed_process_is_not_taken_for_the_file(served):
    url, _, pictures = served
    source = Shards(root=url, crop=16).source("train")
    partial_file = f"{source.store.folder}/train/chunk-0-0.bin.part"
    with open(partial_file, "wb") as file:
        file.write(b"half")
    expected = Folder(root=str(pictures), crop=16).source("train").read(0)["image"]
    assert torch.equal(source.read(0)["image"], expected) and not os.path.exists(partial_file)


def test_litdatas_downloaders_bring_the_same(tmp_path):
    """`local:` goes the way of s3:// and gs://, but for the network."""
    packed(tmp_path / "shards", write_pictures(tmp_path / "pictures"))
    source = Shards(root=f"local:{tmp_path / 'shards'}", crop=16).source("train")
    assert same(images(source), images(Folder(root=str(tmp_path / "pictures"), crop=16).source("train")))
    assert os.path.exists(f"{source.store.folder}/train/chunk-0-5.bin")
    with pytest.raises(DataError, match="cannot get local:.*none/manifest.json: .*doesn't exist"):
        Shards(root=f"local:{tmp_path / 'none'}", crop=16).source("train")


def test_a_disk_that_is_too_small_is_found_before_the_training(served, monkeypatch):
    url, _, _ = served
    monkeypatch.setattr(shard_store.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(DataError, match="are to be kept in .* GB free; set CHROMAFILL_CACHE"):
        Shards(root=url, crop=16).source("train")


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHROMAFILL_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot write to the cache .*file/shards: "):
        RemoteStore("http://127.0.0.1:9").manifest()


def test_roots_are_told_apart(monkeypatch):
    assert isinstance(store_of("some/folder"), LocalStore)
    assert store_of("file:///some/folder").root == "/some/folder"
    assert store_of("s3://bucket/x/").url == "s3://bucket/x" and isinstance(store_of("https://x/y"), RemoteStore)
    with pytest.raises(DataError, match="cannot read from ftp://x; expected a folder or one of http://"):
        store_of("ftp://x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"to read from s3://bucket install litdata: pip install "):
        store_of("s3://bucket")


def test_a_missing_client_library_is_one_line(tmp_path, monkeypatch):
    """google-cloud-storage is not a dependency of LitData."""
    from litdata.streaming import downloader

    monkeypatch.setattr(downloader, "_GOOGLE_STORAGE_AVAILABLE", False)
    with pytest.raises(DataError, match="cannot get gs://bucket/manifest.json: "):
        bring("gs://bucket/manifest.json", str(tmp_path / "x"))
