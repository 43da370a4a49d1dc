import os
import shutil

import pytest
import torch
from toys import Flat, fit, synthetic

from lightning_modules.callbacks.checkpoint_by_iteration import CheckedFiles, CheckpointByIteration
from lightning_modules.callbacks.record import Record, StopAtIteration
from lightning_modules.pretrained.checkpoint import CheckpointError, newest_valid, read_checkpoint


def run(folder, iterations, *, every=2, validate_every=4, resume=None, module=None):
    """A run of `iterations` training steps, from the start or from a checkpoint."""
    module, data = module or Flat(), synthetic(iterations)
    if resume is not None:
        checkpoint = read_checkpoint(resume)
        data.done, data.seen = checkpoint["iteration"], checkpoint["samples_seen"]
    saver = CheckpointByIteration(
        folder, {"model": {"lr": 0.5}}, every=every, validate_every=validate_every, iterations=iterations
    )
    fit(module, data, [Record(1), StopAtIteration(iterations), saver], validate_every=validate_every, checkpoint=resume)
    return module


def test_last_previous_and_best_are_written_whole_and_load_with_weights_only(tmp_path):
    run(tmp_path, 6)
    assert {path.name for path in tmp_path.iterdir()} == {"last.ckpt", "previous.ckpt", "best.ckpt"}
    last = read_checkpoint(tmp_path / "last.ckpt")
    assert last["iteration"] == 6 and last["samples_seen"] == 24 and last["config"] == {"model": {"lr": 0.5}}
    assert read_checkpoint(tmp_path / "previous.ckpt")["iteration"] == 4


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    (tmp_path / "last.ckpt.tmp").write_bytes(b"half a checkpoint")
    run(tmp_path, 2)
    assert not list(tmp_path.glob("*.tmp"))


def test_a_run_that_goes_on_from_the_best_checkpoint_of_its_end_has_a_last_one(tmp_path):
    run(tmp_path, 4, every=4)
    for name in ("last", "previous"):
        (tmp_path / f"{name}.ckpt").unlink(missing_ok=True)
    run(tmp_path, 4, every=4, resume=tmp_path / "best.ckpt")
    last, best = (read_checkpoint(tmp_path / f"{name}.ckpt") for name in ("last", "best"))
    assert last["iteration"] == 4 and torch.equal(last["state_dict"]["ab"], best["state_dict"]["ab"])


@pytest.mark.parametrize("kept", ["previous", "best"])
def test_no_moment_of_a_run_that_passed_over_damaged_files_is_without_a_whole_one(kept, tmp_path, monkeypatch):
    """It is killed before each of its renames in turn, and after the last."""
    whole, left = run(tmp_path / "whole", 10), tmp_path / "left"
    run(left, 6)
    for path in left.iterdir():
        if path.stem != kept:
            path.write_bytes(b"damaged")
    renames = 0
    while True:
        folder = tmp_path / str(renames)
        shutil.copytree(left, folder)
        path, _, _ = newest_valid(folder)
        assert path.stem == kept
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killing(os.replace, after=renames))
            try:
                run(folder, 10, resume=path)
                break
            except Killed:
                pass
        path, _, _ = newest_valid(folder)
        assert path is not None
        assert torch.equal(run(folder, 10, resume=path).ab, whole.ab)
        renames += 1
    assert renames > 3


class Killed(BaseException):
    """Stands for a signal that ends the process at once."""


def killing(function, after):
    """The function, which can be called so often."""
    calls = iter(range(after))

    def limited(*arguments):
        if next(calls, None) is None:
            raise Killed
        return function(*arguments)

    return limited


def test_a_damaged_last_checkpoint_is_replaced_by_a_run_that_has_nothing_to_train(tmp_path):
    run(tmp_path, 4, every=4)
    best = tmp_path / "best.ckpt"
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    run(tmp_path, 4, every=4, resume=best)
    assert newest_valid(tmp_path)[0].name == "last.ckpt"


def test_the_trainer_writes_and_reads_files_that_are_checked(tmp_path):
    files, path = CheckedFiles(), tmp_path / "last.ckpt"
    content = {"state_dict": {"w": torch.ones(9)}, "config": {}, "iteration": 1}
    files.save_checkpoint(content, path)
    assert files.load_checkpoint(path)["iteration"] == 1
    path.write_bytes(path.read_bytes().replace(b"\x80\x3f", b"\x80\x3e"))
    with pytest.raises(CheckpointError, match="has changed since"):
        files.load_checkpoint(path)


def test_best_keeps_the_weights_of_the_highest_score(tmp_path):
    class Worse(Flat):
        def scores(self, batch):
            return {"psnr": -torch.full((len(batch["image"]),), float(self.iteration))}

    run(tmp_path, 8, module=Worse())
    assert read_checkpoint(tmp_path / "best.ckpt")["iteration"] == 4
    assert read_checkpoint(tmp_path / "last.ckpt")["iteration"] == 8


def test_a_resumed_run_ends_with_the_very_weights_of_one_that_was_never_stopped(tmp_path):
    whole = run(tmp_path / "whole", 10)
    for stop in (3, 4, 6):  # between checkpoints, at a validation, at a checkpoint
        folder = tmp_path / str(stop)

        class Killed(Flat):
            def on_train_batch_start(self, batch, batch_idx, stop=stop):
                if self.iteration == stop:
                    raise SystemExit
                super().on_train_batch_start(batch, batch_idx)

        try:
            run(folder, 10, module=Killed())
        except SystemExit:
            pass
        resumed = run(folder, 10, resume=folder / "last.ckpt")
        assert resumed.iteration == 10
        assert torch.equal(resumed.ab, whole.ab)
        first, second = (
            read_checkpoint(f / "last.ckpt")["optimizer_states"][0]["state"][0] for f in (folder, tmp_path / "whole")
        )
        assert all(torch.equal(first[key], second[key]) for key in first)
