import json
import os
import signal

import pytest
import torch
from toys import Flat, fit, synthetic

from experiments.errors import UserError
from experiments.processes import this_process
from experiments.run_record import (
    RunRecord,
    commit,
    device_name,
    is_finished,
    run_folder,
    set_actions,
    undisturbed,
    write_text,
)

CONFIG = {"experiment": "toy", "seed": 7, "run_dir": None}


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch, tmp_path):
    for name in ("CHROMAFILL_RUN_DIR", "WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_run_gets_a_folder_of_its_own_which_its_other_processes_find(monkeypatch):
    folder = run_folder(CONFIG)
    assert folder.parent.name == "toy" and (folder / "checkpoints").is_dir() and (folder / "samples").is_dir()
    assert run_folder(CONFIG) == folder  # through the environment, as a process started by the first does
    monkeypatch.delenv("CHROMAFILL_RUN_DIR")
    assert run_folder(CONFIG) != folder


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_NTASKS"])
def test_processes_started_from_outside_need_a_named_folder(variable, monkeypatch):
    monkeypatch.setenv(variable, "2")
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
    assert record["process"] == this_process()


@pytest.mark.parametrize(
    ("error", "status"),
    [(ZeroDivisionError("no"), "failed"), (KeyboardInterrupt(), "interrupted"), (SystemExit(75), "interrupted")],
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


def test_a_terminated_run_is_interrupted_although_handlers_raise_while_it_is_written_down(tmp_path):
    """As PyTorch's handler of SIGCHLD does for every loader process that dies with the run."""

    def raises(signum, frame):
        raise RuntimeError("DataLoader worker is killed by signal: Terminated.")

    class Terminated(Flat):
        def training_step(self, batch, batch_idx):
            os.kill(os.getpid(), signal.SIGTERM)
            signal.signal(signal.SIGCHLD, raises)

    class WithDyingLoader(RunRecord):
        def finish(self, *arguments, **more):
            for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), signum)
            super().finish(*arguments, **more)

    before = signal.getsignal(signal.SIGCHLD)
    try:
        with pytest.raises(SystemExit):
            fit(Terminated(), synthetic(3), [WithDyingLoader(tmp_path, CONFIG)])
    finally:
        signal.signal(signal.SIGCHLD, before)
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("interrupted", "SIGTERMException")


def test_actions_are_set_although_a_handler_raises_while_it_is_replaced(monkeypatch):
    set_signal, raised = signal.signal, []

    def raising(number, action):
        if not raised:
            raised.append(RuntimeError("DataLoader worker is killed by signal: Terminated."))
            raise raised[0]
        return set_signal(number, action)

    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(signal, "signal", raising)
    assert set_actions({signal.SIGUSR1: signal.SIG_IGN}) == {signal.SIGUSR1: before}
    assert raised and signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    set_signal(signal.SIGUSR1, before)


def test_a_text_that_cannot_be_written_leaves_what_was_there_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    write_text(path, "before")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "after")
    assert path.read_text() == "before" and [each.name for each in tmp_path.iterdir()] == ["run.json"]


def test_only_a_record_that_says_so_is_finished(tmp_path):
    assert not is_finished(tmp_path)
    for text, finished in (
        ("", False),
        ("{}", False),
        ('{"status": "running"}', False),
        ('{"status": "finished"}', True),
    ):
        (tmp_path / "run.json").write_text(text)
        assert is_finished(tmp_path) == finished


def test_signals_are_heard_again_afterwards():
    with undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_the_commit_is_known_in_a_checkout_and_the_device_has_a_name():
    revision, clean = commit()
    assert revision is None or len(revision) == 40
    assert isinstance(clean, bool) and "CPU" in device_name(torch.device("cpu"))
