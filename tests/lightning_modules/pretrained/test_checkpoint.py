import errno
import os

import pytest
import torch

from lightning_modules.pretrained.checkpoint import CheckpointError, newest_valid, read_checkpoint, write_checkpoint

WHOLE = {"state_dict": {"w": torch.ones(3)}, "config": {}, "iteration": 5}


def write(path, content):
    torch.save(content, path)
    return path


def test_a_cut_file_is_passed_over_for_the_one_before_it(tmp_path):
    older = write(tmp_path / "previous.ckpt", WHOLE)
    newer = write(tmp_path / "last.ckpt", WHOLE)
    assert newest_valid(tmp_path)[0] == newer
    newer.write_bytes(newer.read_bytes()[:200])
    path, _, reasons = newest_valid(tmp_path)
    assert path == older
    assert len(reasons) == 1 and "last.ckpt is not a readable checkpoint" in reasons[0]


def test_the_best_checkpoint_is_gone_on_from_where_it_is_all_that_can_be_read(tmp_path):
    best = write(tmp_path / "best.ckpt", WHOLE)
    previous = write(tmp_path / "previous.ckpt", WHOLE | {"iteration": 3})
    assert newest_valid(tmp_path)[0] == previous  # though the best one was written after it
    previous.write_bytes(b"")
    path, checkpoint, reasons = newest_valid(tmp_path)
    assert path == best and checkpoint["iteration"] == 5
    assert len(reasons) == 2 and reasons[0].startswith("no checkpoint") and "previous.ckpt is not" in reasons[1]


@pytest.mark.parametrize("bit", range(8))
def test_a_weight_with_one_flipped_bit_is_not_loaded(bit, tmp_path):
    path = tmp_path / "last.ckpt"
    write_checkpoint(WHOLE | {"state_dict": {"w": torch.full((9,), 1.25)}}, path)
    content = bytearray(path.read_bytes())
    place = content.find(torch.full((9,), 1.25).numpy().tobytes())
    content[place + 2] ^= 1 << bit
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["state_dict"]["w"].unique().numel() == 2  # PyTorch says nothing
    with pytest.raises(CheckpointError, match=r"last.ckpt is not a readable checkpoint: \S*data/0 in it has changed"):
        read_checkpoint(path)


def test_a_disk_that_takes_no_more_is_an_error_of_the_system_and_leaves_no_file(tmp_path, monkeypatch):
    save = torch.save

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            self.file.flush()

    monkeypatch.setattr(torch, "save", lambda checkpoint, file: save(checkpoint, Full(file)))
    with pytest.raises(OSError, match="No space left on device: .*last.ckpt") as caught:
        write_checkpoint(WHOLE, tmp_path / "last.ckpt")
    assert caught.value.errno == errno.ENOSPC and list(tmp_path.iterdir()) == []


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert newest_valid(tmp_path) == (None, None, [])


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
