import errno

import pytest
import torch
from toys import Flat, fit, synthetic

from lightning_modules.base import NonFiniteError
from lightning_modules.callbacks.nonfinite_batch import NonFiniteBatch


class Planted(Flat):
    def training_step(self, batch, batch_idx):
        if self.iteration == 3:
            batch["image"][1, 0, 0, 0] = float("nan")
        super().training_step(batch, batch_idx)


def test_the_batch_that_broke_the_run_is_left_on_disk_and_named(tmp_path):
    with pytest.raises(NonFiniteError, match="iteration 3: train/g/l2.*the batch is in .*nonfinite_rank0.pt"):
        fit(Planted(), synthetic(6), [NonFiniteBatch(tmp_path)])
    batch = torch.load(tmp_path / "nonfinite_rank0.pt", weights_only=True)
    assert batch["iteration"] == 3
    assert batch["image"].isnan().nonzero().tolist() == [[1, 0, 0, 0]]
    assert batch["index"].shape == (4,)


def test_a_disk_without_room_does_not_hide_what_broke_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(NonFiniteError, match="iteration 3: train/g/l2.*could not be written to .*: No space left"):
        fit(Planted(), synthetic(6), [NonFiniteBatch(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_other_errors_leave_nothing(tmp_path):
    class Broken(Flat):
        def training_step(self, batch, batch_idx):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(Broken(), synthetic(2), [NonFiniteBatch(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_the_weights_that_gave_the_bad_number_are_left_with_the_batch(tmp_path):
    module = Planted()
    with pytest.raises(NonFiniteError):
        fit(module, synthetic(6), [NonFiniteBatch(tmp_path)])
    left = torch.load(tmp_path / "nonfinite_rank0.pt", weights_only=True)
    assert torch.equal(left["state_dict"]["ab"], module.ab.detach()) and module.ab.abs().max() > 0
