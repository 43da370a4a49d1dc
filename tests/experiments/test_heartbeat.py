import signal
import subprocess
import sys
import threading
import time

import pytest
from torch import distributed

from experiments.heartbeat import Heartbeat
from experiments.reliability.rank_deaths import ending_of, free_port

OTHER = """
import sys, time
from torch import distributed
from experiments.heartbeat import Heartbeat
Heartbeat.every, Heartbeat.silence = 0.1, 1.0
heartbeat = Heartbeat(distributed.TCPStore("127.0.0.1", int(sys.argv[1]), is_master=False), 1, 2, print)
heartbeat.start()
print("started", flush=True)
sys.stdin.readline()
heartbeat.stop()
"""


class Run:
    """The first rank of two, in this process; the other one is a process. lost: what the first one would die of."""

    def __init__(self, port):
        self.server = distributed.TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)
        self.lost, self.told = [], threading.Event()
        self.heartbeat = Heartbeat(self.server.clone(), 0, 2, self.tell)
        words = [sys.executable, "-c", OTHER, str(port)]
        self.other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.other.stdout.readline()
        self.heartbeat.start()

    def tell(self, message):
        self.lost.append(message)
        self.told.set()


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(Heartbeat, "every", 0.1)
    monkeypatch.setattr(Heartbeat, "silence", 1.0)
    run = Run(free_port())
    yield run
    run.heartbeat.stop(well=False)
    run.other.kill()
    run.other.communicate()


def test_a_frozen_rank_is_lost_after_its_silence_and_a_working_one_is_not(run):
    assert not run.told.wait(2.5)
    run.other.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert run.told.wait(20) and time.monotonic() - began > 0.9
    assert run.lost == [
        "rank 0 ends: nothing was heard of rank 1 for 1 s; a machine is lost or out of reach, theirs or that of rank "
        "0, which passes word on"
    ]


def test_a_rank_that_ends_well_is_not_missed(run):
    run.other.communicate("end\n")
    assert run.other.returncode == 0 and not run.told.wait(2)


def test_the_first_rank_waits_with_its_store_for_the_others(run, monkeypatch):
    monkeypatch.setattr(Heartbeat, "every", 5.0)
    threading.Timer(0.5, lambda: run.other.stdin.write("end\n") and run.other.stdin.flush()).start()
    began = time.monotonic()
    run.heartbeat.stop()
    assert 0.4 < time.monotonic() - began < 5 and not run.lost


def test_one_that_fails_waits_for_nobody(run, monkeypatch):
    monkeypatch.setattr(Heartbeat, "every", 5.0)
    began = time.monotonic()
    run.heartbeat.stop(well=False)
    assert time.monotonic() - began < 2


def test_silence_is_counted_in_rounds_so_that_a_run_frozen_as_a_whole_goes_on(run, monkeypatch):
    waits = []

    def wait(seconds):
        waits.append(seconds)
        time.sleep(2 if len(waits) == 2 else 0.1)  # as long as nothing runs, nothing is counted
        return len(waits) > 5

    heartbeat = Heartbeat(run.server.clone(), 0, 3, run.tell)
    monkeypatch.setattr(heartbeat.ended, "wait", wait)
    heartbeat.count()
    assert len(waits) == 6 and not run.lost


@pytest.mark.slow
@pytest.mark.parametrize("launcher, rank", [("Lightning", 1), ("torchrun", 0)])
def test_a_run_ends_where_one_of_its_processes_is_frozen(launcher, rank, tmp_path):
    ending = ending_of(launcher, "freeze", rank, tmp_path / "run")
    assert 0 not in ending.codes and not ending.left and ending.seconds < 60
    assert ending.shows(f"nothing was heard of rank {rank} for 9 s"), ending.outputs[-1][-3000:]
