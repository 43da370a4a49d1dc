import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from datamodules.errors import UnreadableImage
from datamodules.loader import STOPPING, ImageLoader, collated

HAS_SENDERS = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="nobody tells here who sent a signal")


class Squares:
    """Numbers and their squares; the one given cannot be read."""

    def __init__(self, bad=None):
        self.bad = bad

    def __getitem__(self, number):
        if number == self.bad:
            raise UnreadableImage(f"{number}.png", "it is bad")
        return {"image": torch.full((3, 2, 2), number**2, dtype=torch.uint8), "index": number}


def test_numbers_become_int64_and_images_are_stacked():
    batch = next(iter(ImageLoader(Squares(), [[2, 3]], num_workers=0)))
    assert batch["image"].dtype == torch.uint8 and batch["image"][:, 0, 0, 0].tolist() == [4, 9]
    assert batch["index"].dtype == torch.int64 and batch["index"].tolist() == [2, 3]
    assert collated([{"index": 5}])["index"].dtype == "int64"


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(workers):
    batches = list(ImageLoader(Squares(), [[0, 1], [2], [3, 4]], num_workers=workers))
    assert [batch["index"].tolist() for batch in batches] == [[0, 1], [2], [3, 4]]
    assert [batch["image"][:, 0, 0, 0].tolist() for batch in batches] == [[0, 1], [4], [9, 16]]


def test_workers_end_at_once_where_one_meets_an_error():
    loader = ImageLoader(Squares(bad=1), [[0], [1], [2]], num_workers=2)
    started = time.monotonic()
    with pytest.raises(UnreadableImage, match="1.png: it is bad"):
        list(loader)
    assert multiprocessing.active_children() == [] and time.monotonic() - started < 4


def test_workers_end_at_once_where_the_loop_is_left_early():
    batches = iter(ImageLoader(Squares(), [[0], [1], [2]], num_workers=2))
    next(batches)
    batches.close()
    assert multiprocessing.active_children() == []


@HAS_SENDERS
def test_a_worker_outlives_the_signals_of_others_and_obeys_its_owner():
    batches = iter(ImageLoader(Squares(), [[number] for number in range(9)], num_workers=1))
    next(batches)
    (worker,) = multiprocessing.active_children()
    for number in sorted(STOPPING):  # a process of its own sends them, as a scheduler does
        subprocess.run(["sh", "-c", f"kill -{int(number)} {worker.pid}"], check=True)
    assert len([next(batches) for _ in range(7)]) == 7
    assert worker.is_alive()
    os.kill(worker.pid, signal.SIGUSR1)
    worker.join(0.2)
    assert worker.is_alive()
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0


def test_a_process_ends_though_a_loader_of_its_is_still_in_use():
    """Python ends daemonic children by SIGTERM and then waits for them."""
    program = "import sys; sys.path += sys.argv[1:]; from test_loader import *; batches = iter(ImageLoader("
    program += "Squares(), [[n] for n in range(9)], num_workers=2)); print(next(batches)['index'].item())"
    words = [sys.executable, "-c", program, str(Path(__file__).parent), str(Path(__file__).parents[2])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


KILLED = """
import multiprocessing, os, signal, sys
sys.path += sys.argv[1:]
from test_loader import ImageLoader, Squares
batches = iter(ImageLoader(Squares(), [[n] for n in range(9)], num_workers=2))
next(batches)
print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process of its parent's death")
def test_workers_end_in_the_moment_their_owner_is_killed():
    """PyTorch alone has them end up to five seconds later."""
    words = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(Path(__file__).parents[2])]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=60)
    died = time.monotonic()
    workers = [Path("/proc", number) for number in done.stdout.split()]
    while any(worker.is_dir() and " Z " not in (worker / "stat").read_text() for worker in workers):
        assert time.monotonic() - died < 2
    assert done.returncode == -signal.SIGKILL and len(workers) == 2
