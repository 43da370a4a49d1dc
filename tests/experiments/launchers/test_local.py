import os
import subprocess
import sys
import time

import pytest

from experiments.errors import UserError
from experiments.launchers.local import Settings, script, submit, training, visible

SHOW = "import os; print('sees', os.environ.get('CUDA_VISIBLE_DEVICES'))"


def test_jobs_run_in_the_background_and_leave_logs(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    jobs = submit([[sys.executable, "-c", SHOW]] * 2, Settings(jobs=2, gpus=1), tmp_path, trains=False)
    for job, seen in zip(jobs, ("sees 3", "sees 5"), strict=True):
        wait_for(lambda path=job.paths.stdout, line=f"{seen}\n": path.exists() and line in path.read_text())


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_who_reads_what_was_printed_does_not_wait_for_the_job_nor_share_a_session_with_it(tmp_path):
    show = f"import os, time; from pathlib import Path; place = Path({str(tmp_path)!r});"
    show += "(place / 'session').write_text(str(os.getsid(0)));"
    show += "[time.sleep(0.05) for _ in iter((place / 'end').exists, True)]; (place / 'ended').touch()"
    program = "import sys; from pathlib import Path; from experiments.launchers.local import Settings, submit;"
    program += f"submit([[sys.executable, '-c', {show!r}]], Settings(), Path({str(tmp_path / 'logs')!r}), trains=False)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)  # its output has ended
    assert done.returncode == 0, done.stderr
    wait_for(lambda: (tmp_path / "session").exists() and (tmp_path / "session").read_text())
    assert not (tmp_path / "ended").exists() and int((tmp_path / "session").read_text()) != os.getsid(0)
    (tmp_path / "end").touch()
    wait_for((tmp_path / "ended").exists)


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
