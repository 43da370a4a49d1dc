"""Nothing that a test does is seen outside of it: no cache, no run folder and no wandb account of the person's own."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHROMAFILL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("WANDB_MODE", "offline")
        yield


@pytest.fixture(autouse=True)
def own_run_folder(monkeypatch):
    """`chromafill train` tells the processes it starts which folder the run has; a test stands for one that was not."""
    monkeypatch.delenv("CHROMAFILL_RUN_DIR", raising=False)
