"""`chromafill train` as a process whose run is found not to be worth its time."""

import json
import subprocess
import sys
import time

import pytest

TINY = ["model=colorful", "model.width=4", "data=synthetic", "data.crop=32", "data.batch_size=4", "data.workers=0"]
TINY += ["data.train_count=40", "data.val_count=6", "logger=tensorboard", "trainer.accelerator=cpu", "log_every=1"]
TINY += ["validate_every=1000000", "checkpoint_every=1000000", "iterations=1000000"]


@pytest.mark.parametrize("processes", [1, 2])
def test_it_ends_by_itself_with_all_its_processes_and_says_that_it_was_pruned(processes, tmp_path):
    command = [sys.executable, "-m", "experiments.cli", "train", *TINY, f"trainer.devices={processes}"]
    process = subprocess.Popen([*command, f"run_dir={tmp_path}"], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not (tmp_path / "metrics.csv").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    (tmp_path / "prune").touch()
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "samples" not in printed  # there was no validation
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "pruned" and record["processes"] == processes
    assert 1 <= record["iteration"] < 1000000 and record["wall_seconds"] > 0
