import json

import pytest
import torch
from toys import Flat, fit, synthetic

from experiments.errors import UserError
from experiments.run_record import RunRecord, commit, device_name, run_folder

CONFIG = {"experiment": "toy", "seed": 7, "run_dir": None}


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch, tmp_path):
    for name in ("CHROMAFILL_RUN_DIR", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_run_gets_a_folder_of_its_own_which_its_other_processes_find(monkeypatch):
    folder = run_folder(CONFIG)
    assert folder.parent.name == "toy" and (folder / "checkpoints").is_dir() and (folder / "samples").is_dir()
    assert run_folder(CONFIG) == folder  # through the environment, as a process started by the first does
    monkeypatch.delenv("CHROMAFILL_RUN_DIR")
    assert run_folder(CONFIG) != folder


def test_processes_started_from_outside_need_a_named_folder(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="run_dir=... is needed when the processes are started from outside"):
        run_folder(CONFIG)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made: Not a directory"):
        run_folder(CONFIG | {"run_dir": str(tmp_path / "file" / "run")})


def test_the_record_says_how_a_run_ended(tmp_path):
    fit(Flat(), synthetic(3), [RunRecord(tmp_path, CONFIG)], validate_every=3)
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["status"], record["iteration"], record["parameters"]) == ("finished", 3, 2)
    assert record["scores"].keys() == {"val/psnr", "val/psnr_grey"} and record["wall_seconds"] > 0


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError("no"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_the_record_of_a_run_that_broke_off_says_so(error, status, tmp_path):
    class Broken(Flat):
        def training_step(self, batch, batch_idx):
            raise error

    try:
        fit(Broken(), synthetic(3), [RunRecord(tmp_path, CONFIG)])
    except (ZeroDivisionError, SystemExit, KeyboardInterrupt):
        pass
    assert json.loads((tmp_path / "run.json").read_text())["status"] == status


def test_the_commit_is_known_in_a_checkout_and_the_device_has_a_name():
    revision, clean = commit()
    assert revision is None or len(revision) == 40
    assert isinstance(clean, bool) and "CPU" in device_name(torch.device("cpu"))
