"""`chromafill train` as a process that a scheduler takes the machine from."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from experiments.cli import main
from lightning_modules.pretrained.checkpoint import read_checkpoint

TINY = ["model=colorful", "model.width=4", "data=synthetic", "data.crop=32", "data.batch_size=4", "data.workers=0"]
TINY += ["data.train_count=40", "data.val_count=6", "logger=none", "trainer.accelerator=cpu", "trainer.devices=1"]
TINY += ["validate_every=1000000", "checkpoint_every=1000000", "log_every=1"]


def begun(folder):
    """A training process in the middle of its work: its first iterations are in metrics.csv."""
    command = [
        sys.executable,
        "-m",
        "experiments.cli",
        "train",
        *TINY,
        f"run_dir={folder}",
        "resume=auto",
        "iterations=1000000",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "metrics.csv").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR2])
def test_a_run_that_gives_its_machine_back_resumes_to_the_weights_of_one_that_did_not(signum, tmp_path, monkeypatch):
    """It is asked for more iterations than it can do before the signal, then for three more than it did."""
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = begun(stopped)
    process.send_signal(signum)
    assert process.wait(60) == 75  # EX_TEMPFAIL: to be queued again
    record = json.loads((stopped / "run.json").read_text())
    done = read_checkpoint(stopped / "checkpoints" / "last.ckpt")["iteration"]
    assert (record["status"], record["iteration"]) == ("interrupted", done)
    assert record["reason"].startswith(f"{signum.name}; last.ckpt holds iteration {done}")

    for folder in (stopped, whole):
        monkeypatch.delenv("CHROMAFILL_RUN_DIR", raising=False)
        assert main(["train", *TINY, f"run_dir={folder}", "resume=auto", f"iterations={done + 3}"]) == 0
    first, second = (read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (whole, stopped))
    assert first["iteration"] == second["iteration"] == done + 3
    assert all(torch.equal(first["state_dict"][key], second["state_dict"][key]) for key in first["state_dict"])
    moments = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (first, second)]
    assert all(torch.equal(moments[0][key]["exp_avg"], moments[1][key]["exp_avg"]) for key in moments[0])
    assert json.loads((stopped / "run.json").read_text())["status"] == "finished"
