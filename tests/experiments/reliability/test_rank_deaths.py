import json
import os
import subprocess
import sys
import time

import pytest

from experiments.reliability.rank_deaths import Ending, ending_of, environment, processes_of, wait_for


def test_the_cause_counts_only_in_the_last_lines():
    assert Ending([1], 1.0, [], ["cause\n" + "line\n" * 59]).shows("other", "cause")
    assert not Ending([1], 1.0, [], ["cause\n" + "line\n" * 60]).shows("cause")
    assert Ending([1, 1], 1.0, [], ["line\n" * 99, "cause\n"]).shows("cause")


def test_processes_are_found_by_a_folder_in_their_command_line(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path / "run")])
    wait_for(lambda: processes_of(tmp_path), 10)
    assert processes_of(tmp_path) == [child.pid] and processes_of(tmp_path / "elsewhere") == []
    child.kill()
    child.wait()
    assert processes_of(tmp_path) == []


def test_waiting_ends_with_the_condition_or_with_the_time():
    began = time.monotonic()
    wait_for(lambda: True, 60)
    wait_for(lambda: False, 0.2)
    assert 0.2 <= time.monotonic() - began < 5


def test_a_training_is_not_told_the_place_of_this_process_in_another(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("CHROMAFILL_RUN_DIR", "elsewhere")
    assert not {"LOCAL_RANK", "CHROMAFILL_RUN_DIR"} & environment().keys()
    assert environment()["PATH"] == os.environ["PATH"]


@pytest.mark.slow
def test_a_killed_process_is_named_by_the_others_and_in_the_record_though_its_loaders_outlive_it(tmp_path):
    ending = ending_of("Lightning", "kill", 1, tmp_path / "run")
    assert ending.codes == [1] and not ending.left and ending.seconds < 60
    assert ending.shows("is gone"), ending.outputs[-1][-3000:]
    assert json.loads((tmp_path / "run" / "run" / "run.json").read_text())["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["Lightning", "torchrun", "torchrun, two nodes"])
def test_an_exception_on_one_rank_ends_the_run_with_its_traceback_last(launcher, tmp_path):
    ending = ending_of(launcher, "raise", 1, tmp_path / "run")
    assert 0 not in ending.codes and not ending.left and ending.seconds < 60
    assert ending.shows("Planted: planted by a test of faults (raise)"), ending.outputs[-1][-3000:]
