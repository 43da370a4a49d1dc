import os

import pytest

from experiments.reliability import listing
from experiments.reliability.finding import Effort
from experiments.reliability.listing import (
    Listing,
    bounded,
    findings,
    listed_paths,
    orders_made,
    readable,
    scan,
    workers_memory,
)

SMALL = Listing(name="small", count=5000, line="/a/folder_{f:04}/{i:08}.jpg {f}\n")


def test_small_lists_keep_every_bound(tmp_path):
    found = list(listed_paths(SMALL, tmp_path / "small", workers=(0, 1), batches=12))
    assert len(found) == 8 and [(each.what, each.held) for each in found if each.held < each.tried] == []
    index = next(each for each in found if "bytes a path" in each.what)
    assert "38.0 bytes a path" in index.what  # 26 characters, an offset and a label


def test_bounds_that_are_too_low_are_reported(tmp_path, monkeypatch):
    for name in ("COLD", "WARM", "BESIDE", "PEAK", "ORDER", "KEY"):
        monkeypatch.setattr(listing, name, -1e9)
    monkeypatch.setattr(listing, "OWN", -(1 << 40))
    found = list(listed_paths(SMALL, tmp_path / "small", workers=(1,), batches=6))
    assert [each.held for each in found] == [0, 0, 0, 0, 0, 0, 1]


class Leaking(list):
    """Paths that keep 64 KB for each one that is read."""

    kept = []

    def __getitem__(self, position):
        self.kept.append(os.urandom(1 << 16))
        return "x"


def test_a_worker_that_grows_is_reported(tmp_path, monkeypatch):
    SMALL.write(tmp_path / "list.txt")
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(listing, "index_list", lambda file, parse: Leaking(range(1000)))
    found = workers_memory("small", tmp_path / "list.txt", tmp_path / "cache", 1, batches=30, order=0)
    assert found.held < found.tried == 2


def test_a_tree_is_scanned_once_and_later_looked_at(tmp_path, monkeypatch):
    found = scan(tmp_path / "tree", files=200, folders=20)
    assert found.held == found.tried == 3 and "200 files in 20 folders" in found.what
    monkeypatch.setattr(listing, "SCAN", -1.0)
    assert scan(tmp_path / "again", files=200, folders=20).held == 2


def test_an_order_is_made_once_an_epoch_on_each_rank(monkeypatch):
    found = orders_made(length=1007, epochs=3)
    assert found.held == found.tried == 2 and found.note == "3, 3 in 3"
    monkeypatch.setattr(listing.Counted, "order", lambda self, epoch: setattr(self, "made", 99) or range(1007))
    monkeypatch.setattr(listing.StreamBatches, "__iter__", lambda self: iter([self.order(0)]))
    assert orders_made(length=1007, epochs=3).held == 0


def test_without_linux_memory_is_not_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "ROLLUP", "/nowhere")
    *_, found = listed_paths(SMALL, tmp_path / "small", workers=(1,), batches=3)
    assert found.tried == 0 and "there is no /nowhere here" in found.note


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(20.31, "s", "20.3 s"), (0.0042, "s", "4.2 ms"), (1.25e-5, "s", "12.5 us"), (68_900_000, "B", "68.9 MB")],
)
def test_figures_are_given_in_readable_units(value, unit, text):
    assert readable(value, unit) == text and bounded("x", value, value, unit).held == 1


@pytest.mark.slow
def test_millions_of_paths_keep_every_bound(tmp_path):
    found = list(findings(Effort(), tmp_path))
    assert len(found) == 18 and [each for each in found if each.held < each.tried] == []
