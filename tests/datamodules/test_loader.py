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
from datamodules.loader import SLOTS, STOPPING, ImageLoader, collated
from datamodules.synthetic import Synthetic

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


class Pictures:
    """Noise of the item's number, with a label map; the item `large` is larger than the others."""

    def __init__(self, large=None):
        self.large = large

    def __getitem__(self, number):
        side = 9 if number == self.large else 8
        draw = torch.Generator().manual_seed(number)
        image, labels = (
            torch.randint(256, (*head, side, side), generator=draw, dtype=torch.uint8) for head in ((3,), ())
        )
        return {"image": image, "semantic": labels, "index": number}


def batches_of(count, size=3):
    """`count` batches of so many items and one that is smaller."""
    keys = list(range(count * size + 1))
    return [keys[first : first + size] for first in range(0, len(keys), size)]


def loaded(workers, count=30, room=3 * 4 * 64, dataset=None, **options):
    """All batches at once, as a caller has them who keeps what was given."""
    return list(ImageLoader(dataset or Pictures(), batches_of(count), room, num_workers=workers, **options))


def same(first, second):
    return len(first) == len(second) and all(
        left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
        for left, right in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("room", [0, 3 * 3 * 64, 3 * 4 * 64])  # for nothing, for images, for images and label maps
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_stay_what_they_were_though_their_places_are_used_again(workers, room):
    plain = loaded(workers=0)
    assert len(plain) == 31 > 3 * SLOTS * 2 and plain[-1]["image"].shape == (1, 3, 8, 8)
    assert same(loaded(workers, room=room), plain)


@pytest.mark.parametrize("method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_every_way_to_start_workers_gives_the_same(method):
    """On scenes of the project, since a process that is started anew cannot import a test."""
    scenes = Synthetic(crop=16).dataset("train", train=True)
    keys = [[(0, number), (1, number)] for number in range(7)]
    started = ImageLoader(scenes, keys, 2 * 4 * 16 * 16, num_workers=1, multiprocessing_context=method)
    assert same(list(started), list(ImageLoader(scenes, keys)))


def test_places_are_used_in_turn_and_copied_from(monkeypatch):
    """A caller that is given the place itself sees other pictures in it later: the comparison above can fail."""
    monkeypatch.setattr(torch.Tensor, "clone", lambda tensor: tensor)
    assert not same(loaded(2), loaded(workers=0))


def test_a_batch_of_larger_pictures_is_sent_all_the_same():
    keys = [[number] for number in range(12)]
    plain, sent = (list(ImageLoader(Pictures(large=5), keys, 4 * 64, num_workers=workers)) for workers in (0, 2))
    assert sent[5]["image"].shape == (1, 3, 9, 9) and same(sent, plain)


def test_two_loops_over_one_loader_do_not_share_places():
    loader = ImageLoader(Pictures(), batches_of(20), 3 * 4 * 64, num_workers=1)
    pairs = list(zip(loader, loader, strict=True))
    assert same([first for first, _ in pairs], loaded(workers=0, count=20))
    assert same([second for _, second in pairs], loaded(workers=0, count=20))


def test_batches_that_come_out_of_order_or_too_far_ahead_are_no_use():
    for options in ({"in_order": False}, {"prefetch_factor": SLOTS}):
        with pytest.raises(AssertionError):
            next(iter(ImageLoader(Squares(), [[0], [1]], num_workers=1, **options)))


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_for_a_gpu_is_pinned_once(workers, monkeypatch):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.shape) or tensor.clone())
    assert same(loaded(workers, count=2, pinned=True), loaded(workers=0, count=2))
    assert len(pinned) == 9  # three tensors of each of three batches


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
