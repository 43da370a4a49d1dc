"""A training that ends with its worker, and shares its run folder with nobody."""

import subprocess
import sys
import time

from experiments.studies.trial_process import KILLED, lock

WAIT = "import threading, time; from experiments.studies.trial_process import end_with_input as e;"
WAIT += "threading.Thread(target=e, daemon=True).start(); print('up', flush=True); time.sleep(60)"


def test_it_ends_at_once_when_nobody_holds_its_standard_input_any_more():
    process = subprocess.Popen([sys.executable, "-c", WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(5) == KILLED


def test_a_folder_is_locked_for_one_process_until_that_ends(tmp_path):
    first = lock(tmp_path / "run")
    started = time.monotonic()
    assert lock(tmp_path / "run", wait=0.5) is None and time.monotonic() - started >= 0.5
    first.close()
    assert lock(tmp_path / "run", wait=0) is not None


def test_a_folder_that_another_process_trains_in_is_left_alone(tmp_path):
    held = lock(tmp_path)
    code = "import sys; from experiments.studies import trial_process as t; t.lock.__defaults__ = (0.3,);"
    code += "sys.exit(t.run(sys.argv))"
    words = [sys.executable, "-c", code, str(tmp_path), "train"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.wait(30) == 75  # EX_TEMPFAIL: to be tried again
    assert process.stderr.read() == f"another process trains in {tmp_path}\n"
    process.stdin.close()
    held.close()
