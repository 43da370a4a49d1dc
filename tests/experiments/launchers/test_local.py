import sys

import pytest

from experiments.errors import UserError
from experiments.launchers.local import Settings, script, submit, training, visible

SHOW = "import os; print('sees', os.environ.get('CUDA_VISIBLE_DEVICES'))"


def test_jobs_run_in_the_background_and_leave_logs(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    jobs = submit([[sys.executable, "-c", SHOW]] * 2, Settings(jobs=2, gpus=1), tmp_path, trains=False)
    for job in jobs:
        job._process.wait(60)
    assert [job.paths.stdout.read_text().splitlines()[-1] for job in jobs] == ["sees 3", "sees 5"]


def test_without_a_share_a_job_sees_what_is_seen_here(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible(Settings(), 1) is None and training(Settings()) == {}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible(Settings(), 1) == ""


def test_more_shares_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert [visible(Settings(gpus=1), number) for number in range(3)] == ["0", "1", "2"]
    assert training(Settings(gpus=2)) == {"trainer.devices": 2}
    with pytest.raises(UserError, match="job 1 would need GPU number 3 of the 3 that are visible here"):
        visible(Settings(gpus=2), 1)


def test_a_dry_run_shows_the_commands_as_a_shell_would_run_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    lines = script([["run", "a b"]] * 2, Settings(jobs=2, gpus=1), tmp_path, trains=False).splitlines()
    assert lines == ["CUDA_VISIBLE_DEVICES=0 run 'a b' &", "CUDA_VISIBLE_DEVICES=1 run 'a b' &"]


@pytest.mark.parametrize("seen", [None, "", "0,1"])
def test_a_dry_run_without_shares_prints_the_bare_command(tmp_path, monkeypatch, seen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    assert script([["run", "a b"]] * 2, Settings(jobs=2), tmp_path, trains=False) == "run 'a b' &\nrun 'a b' &"
