import os
import subprocess
import sys

import pytest

from experiments.processes import began, lives, this_process


def test_this_process_lives():
    assert this_process()["pid"] == os.getpid() and lives(this_process())


def test_a_process_that_is_gone_does_not():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    gone = this_process() | {"pid": child.pid, "began": began(child.pid)}
    assert gone["began"] is not None and lives(gone)
    child.communicate()
    assert began(child.pid) is None and lives(gone) is False


def test_another_process_with_the_same_number_is_not_taken_for_it():
    assert lives(this_process() | {"began": 1}) is False


@pytest.mark.parametrize("unknown", [{"host": "elsewhere"}, {"began": None}])
def test_of_another_machine_and_outside_of_linux_nothing_is_known(unknown):
    assert lives(this_process() | unknown) is None
