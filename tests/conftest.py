"""Nothing that a test does is seen outside of it: no cache, run folder or wandb account of the person's own, and no
process is left."""

import multiprocessing
import os

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: tests are small, and threads that wait spin


@pytest.fixture(autouse=True)
def nothing_of_the_persons_own(tmp_path_factory, monkeypatch):
    """An index cache for this test alone, no wandb account, and no run that this process would be a part of."""
    monkeypatch.setenv("CHROMAFILL_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("CHROMAFILL_RUN_DIR", raising=False)


@pytest.fixture(autouse=True)
def no_process_is_left():
    """One that does not end would keep the tests from ending."""
    yield
    assert multiprocessing.active_children() == []
