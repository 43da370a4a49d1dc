import os

import pytest
import torch

from lightning_modules.pretrained.checkpoint import CheckpointError, newest_valid, read_checkpoint

WHOLE = {"state_dict": {"w": torch.ones(3)}, "config": {}, "iteration": 5}


def write(path, content, age):
    torch.save(content, path)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_a_cut_file_is_passed_over_for_the_one_before_it(tmp_path):
    older = write(tmp_path / "previous.ckpt", WHOLE, age=10)
    newer = write(tmp_path / "last.ckpt", WHOLE, age=0)
    assert newest_valid(tmp_path) == (newer, [])
    newer.write_bytes(newer.read_bytes()[:200])
    path, reasons = newest_valid(tmp_path)
    assert path == older
    assert len(reasons) == 1 and "last.ckpt is not a readable checkpoint" in reasons[0]


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert newest_valid(tmp_path) == (None, [])


def test_missing_and_foreign_files_say_what_they_are(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint .*gone.ckpt"):
        read_checkpoint(tmp_path / "gone.ckpt")
    torch.save({"weights": torch.ones(1)}, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match="holds no chromafill checkpoint: state_dict, config and iteration"):
        read_checkpoint(tmp_path / "foreign.ckpt")


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


def test_a_pickle_with_code_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(WHOLE | {"extra": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match="is not a readable checkpoint"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "made-by-a-pickle").exists()
