import json
import os
import resource
import signal
import time

import pytest

from datamodules.errors import UnreadableImage
from experiments.reliability import hostile_child
from experiments.reliability.hostile_seeds import image_seeds


def test_a_case_is_the_same_bytes_every_time_and_another_under_another_number():
    seeds = image_seeds()
    cases = [hostile_child.damaged(seeds, 0, number) for number in range(50)]
    assert cases == [hostile_child.damaged(seeds, 0, number) for number in range(50)]
    assert len(set(cases)) > 45 and cases[0] != hostile_child.damaged(seeds, 1, 0)


def test_what_a_reader_may_raise_is_refused_and_the_rest_is_told():
    def fail(error):
        raise error

    assert hostile_child.outcome(lambda path: None, UnreadableImage, "a") == "read"
    assert hostile_child.outcome(fail, UnreadableImage, UnreadableImage("a", "why")) == "refused"
    assert "more than one line" in hostile_child.outcome(fail, UnreadableImage, UnreadableImage("a", "why\nand"))
    assert hostile_child.outcome(fail, UnreadableImage, KeyError("x")) == "KeyError: 'x'"


@pytest.fixture
def here(monkeypatch, tmp_path):
    """main in this process, whose memory is not limited."""
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    yield tmp_path
    signal.alarm(0)


def told(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_memory_beyond_the_bound_ends_the_process(here, monkeypatch, capsys):
    monkeypatch.setitem(hostile_child.BOUND, "image", 50)
    monkeypatch.setattr(hostile_child, "READERS", {"image": (lambda path: None, UnreadableImage)})
    held = iter((100, 149, 151, 151))  # MiB: at the start, and after each file
    monkeypatch.setattr(hostile_child, "peak_mib", lambda: next(held))
    hostile_child.main("image", 0, 0, 9, here)
    assert told(capsys) == [0, "read", 1, "it took 51 MiB"]


def test_a_command_that_was_run_ends_the_process(here, monkeypatch, capsys):
    def run(path):
        (here / "marker").touch()

    monkeypatch.setattr(hostile_child, "READERS", {"pth": (run, UnreadableImage)})
    hostile_child.main("pth", 0, 0, 3, here)
    assert told(capsys) == [0, "it ran a command"]


def test_a_file_that_takes_too_long_is_a_process_that_ends(tmp_path):
    pid = os.fork()
    if pid == 0:
        hostile_child.SECONDS = 1
        calls = iter((0, 30))
        hostile_child.READERS = {"image": (lambda path: time.sleep(next(calls)), UnreadableImage)}
        hostile_child.main("image", 0, 0, 2, tmp_path)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
