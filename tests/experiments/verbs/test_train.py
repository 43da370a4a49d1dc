"""`chromafill train` from the command line to the folder it leaves behind."""

import csv
import errno
import json
import subprocess
import sys

import pytest
import torch
import yaml

from datamodules.landscapes import SCENES
from experiments.cli import main
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.pretrained.checkpoint import read_checkpoint

TINY = [
    "model=colorful",
    "model.width=4",
    "data=synthetic",
    "data.crop=32",
    "data.batch_size=4",
    "data.workers=0",
    "data.train_count=40",
    "data.val_count=6",
    "logger=none",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "log_every=1",
    "validate_every=4",
    "checkpoint_every=2",
]


class Killed(BaseException):
    """Stands for a signal that ends the process at once."""


def train(folder, monkeypatch, *overrides, die_at=None):
    """Exit code of a run, or 'killed' where it dies at the start of training step `die_at`."""
    monkeypatch.delenv("CHROMAFILL_RUN_DIR", raising=False)
    with monkeypatch.context() as patch:
        if die_at is not None:
            step = Colorful.training_step

            def dying_step(self, batch, batch_idx):
                if self.iteration == die_at:
                    raise Killed
                step(self, batch, batch_idx)

            patch.setattr(Colorful, "training_step", dying_step)
        try:
            return main(["train", *TINY, f"run_dir={folder}", *overrides])
        except Killed:
            return "killed"


def metrics(folder):
    """The rows of metrics.csv without the column that measures time."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "iterations_per_second"} for row in csv.DictReader(file)]


def equal(first, second):
    """Whether two checkpoint entries are the same bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return first == second


def test_a_run_leaves_config_record_metrics_samples_and_checkpoints(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    assert train(folder, monkeypatch, "iterations=6") == 0
    config = yaml.safe_load((folder / "config.yaml").read_text())
    record = json.loads((folder / "run.json").read_text())
    assert (config["model"]["width"], config["iterations"]) == (4, 6)
    assert (record["status"], record["iteration"], record["seed"], record["processes"]) == ("finished", 6, 0, 1)
    assert record["versions"]["torch"] == torch.__version__.split("+")[0] and record["peak_memory_bytes"] > 0
    rows = metrics(folder)
    assert [row["iteration"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert rows[0]["train/g/total"] and rows[3]["val/psnr"] and rows[5]["val/psnr_grey"] and not rows[4]["val/psnr"]
    assert [path.name for path in sorted((folder / "samples").iterdir())] == ["0000004.png", "0000006.png"]
    checkpoint = read_checkpoint(folder / "checkpoints" / "last.ckpt")
    assert (checkpoint["iteration"], checkpoint["samples_seen"]) == (6, 24) and checkpoint["config"] == config
    assert checkpoint["class_names"] == list(SCENES)
    printed = capsys.readouterr().out
    assert "the trivial grey answer: " in printed
    for kind in ("samples", "metrics", "checkpoint", "try it      chromafill colorize PHOTO --checkpoint"):
        assert kind in printed


def test_a_finished_run_given_more_iterations_equals_one_that_had_them_from_the_start(tmp_path, monkeypatch, capsys):
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    assert train(whole, monkeypatch, "iterations=5") == 0
    assert train(longer, monkeypatch, "iterations=4") == 0
    capsys.readouterr()
    assert train(longer, monkeypatch, "iterations=5", "resume=auto") == 0
    assert "the trivial grey answer: " in capsys.readouterr().out
    first, second = (read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (whole, longer))
    assert second["iteration"] == 5 and equal(first["state_dict"], second["state_dict"])
    assert metrics(whole) == metrics(longer)


@pytest.mark.parametrize(
    "more", [[], ["ema_decay=0.9"], ["trainer.precision=bf16-mixed"], ["accumulate=2", "iterations=8"]]
)
def test_a_run_killed_and_resumed_equals_one_that_was_not(more, tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(whole, monkeypatch, "iterations=7", *more) == 0
    assert train(killed, monkeypatch, "iterations=7", "resume=auto", *more, die_at=5) == "killed"
    assert read_checkpoint(killed / "checkpoints" / "last.ckpt")["iteration"] == 4
    assert train(killed, monkeypatch, "iterations=7", "resume=auto", *more) == 0
    first, second = (read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (whole, killed))
    for part in ("state_dict", "optimizer_states", "iteration", "samples_seen"):
        assert equal(first[part], second[part]), part
    assert equal(first.get("current_model_state", {}), second.get("current_model_state", {}))
    assert metrics(whole) == metrics(killed)
    for picture in (whole / "samples").iterdir():
        assert picture.read_bytes() == (killed / "samples" / picture.name).read_bytes()


@pytest.mark.parametrize("left", ["last", "best"])
def test_a_run_killed_after_its_last_checkpoint_is_closed_by_the_same_command(left, tmp_path, monkeypatch):
    assert train(tmp_path, monkeypatch, "iterations=4", "resume=auto") == 0
    rows, path = metrics(tmp_path), tmp_path / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"status": "running", "scores": {}}))
    if left == "best":  # killed between the two
        for name in ("last", "previous"):
            (tmp_path / "checkpoints" / f"{name}.ckpt").unlink()
    assert train(tmp_path, monkeypatch, "iterations=4", "resume=auto") == 0
    closed = json.loads(path.read_text())
    assert [closed[key] for key in ("status", "iteration", "scores")] == ["finished", 4, record["scores"]]
    assert closed["iterations_per_second"] > 0 and metrics(tmp_path) == rows
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["iteration"] == 4


def test_a_length_that_does_not_come_need_not_fit_the_accumulation(tmp_path, monkeypatch):
    lengths = ["iterations=3", "validate_every=1000", "checkpoint_every=1000"]
    assert train(tmp_path, monkeypatch, "accumulate=3", *lengths) == 0


def test_a_checkpoint_that_cannot_be_written_is_one_line_and_the_run_goes_on_later(tmp_path, monkeypatch, capsys):
    def full(checkpoint, path):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("lightning_modules.callbacks.checkpoint_by_iteration.write_checkpoint", full)
        assert train(tmp_path, monkeypatch, "iterations=4", "resume=auto") == 2
    assert "last.ckpt.tmp: No space left on device; when it can be written, the same" in capsys.readouterr().err
    assert json.loads((tmp_path / "run.json").read_text())["status"] == "failed"
    assert train(tmp_path, monkeypatch, "iterations=4", "resume=auto") == 0


def test_a_folder_with_a_run_in_it_is_not_overwritten(tmp_path, monkeypatch, capsys):
    assert train(tmp_path, monkeypatch, "iterations=2") == 0
    assert train(tmp_path, monkeypatch, "iterations=2") == 2
    assert "holds a run already; give resume=auto to continue it" in capsys.readouterr().err
    assert train(tmp_path, monkeypatch, "iterations=2", "resume=auto") == 2
    assert "has 2 iterations already; give iterations above that to go on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("iterations=0", "iterations must be at least 1, got 0"),
        ("accumulate=3 iterations=6", "validate_every=4, checkpoint_every=2: must be a multiple of accumulate=3"),
        ("accumulate=2 iterations=5", "iterations=5: must be a multiple of accumulate=2"),
        ("logger=tensorbord", "logger: no logger 'tensorbord' here; nearest: tensorboard"),
        ("trainer.devices=two", "trainer.devices must be a count, a list of GPU numbers or auto; got two"),
        ("model.neighbours=0", "model.neighbours must be between 1 and"),
        ("data=folder", "no setting 'data.train_count'"),
        ("resume=nowhere.ckpt", "no checkpoint nowhere.ckpt"),
        ("trainer.sync_batchnorm=true", "trainer.sync_batchnorm=true needs GPUs"),
        ("trainer.precision=half", "trainer.precision must be one of 32-true, bf16-mixed, 16-mixed; got half"),
        ("trainer.precision=16-mixed", "trainer.precision=16-mixed needs a GPU; on a CPU give bf16-mixed"),
        ("model.prior=nowhere.npy", "model: model.prior: no file at nowhere.npy"),
        (
            "model=context_encoder model.bottleneck=8",
            "model: inpainting learns from holes; give masks@data.masks=centre",
        ),
        (
            "model=context_encoder model.bottleneck=8 model.fine_size=64 masks@data.masks=centre",
            "model: model.fine_size = 64 needs data.crop = 64; got images of 32 x 32",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(override, message, tmp_path, monkeypatch, capsys):
    assert train(tmp_path / "run", monkeypatch, *override.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("chromafill train: ") and message in lines[0]


def two_processes(folder, *overrides):
    """`chromafill train` with two processes on the CPU, as Lightning launches them."""
    command = [sys.executable, "-m", "experiments.cli", "train", *TINY, f"run_dir={folder}", "trainer.devices=2"]
    return subprocess.run([*command, *overrides], capture_output=True, text=True, timeout=300)


def test_two_processes_see_the_samples_of_one_and_learn_together(tmp_path, monkeypatch):
    done = two_processes(tmp_path / "two", "iterations=4", "data.batch_size=2")
    assert done.returncode == 0, done.stderr
    assert train(tmp_path / "one", monkeypatch, "iterations=4") == 0
    one, two = (read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("one", "two"))
    assert two["samples_seen"] == one["samples_seen"] == 16
    assert done.stdout.count("PSNR") == 1  # rank 0 alone speaks
    assert [row["iteration"] for row in metrics(tmp_path / "two")] == ["1", "2", "3", "4"]
    truth = [metrics(tmp_path / name)[3]["val/psnr_grey"] for name in ("one", "two")]
    assert truth[0] == truth[1]  # each of the 6 validation images counts once, in whatever share
