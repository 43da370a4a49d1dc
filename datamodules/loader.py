"""The DataLoader of every data set: what its workers send, and when they end."""

import ctypes
import math
import multiprocessing
import os
import signal
import sys
import threading
from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader, get_worker_info

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SLOTS = 4  # for the batches of a worker: two that it works ahead, the one handed over, and one to spare
STOPPING = {getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)}


class ImageLoader(DataLoader):
    """A DataLoader whose workers send the numbers of a batch in the message itself, as arrays, and put its images into
    memory that is there already.

    Otherwise each tensor, however small, is a shared file that a worker makes and the training process asks it for:
    0.3 ms of processor time on an AMD EPYC, a quarter of what decoding a JPEG of 500 x 375 takes there, and more for
    the pages of a large one.

    room   bytes of the images and label maps of the largest batch; what does not fit is sent in a file of its own
    pinned whether batches come in memory that a GPU copies from while it works
    """

    def __init__(self, dataset, batches, room=0, pinned=False, **options):
        start = partial(obey_only, os.getpid())
        super().__init__(dataset, batch_sampler=batches, collate_fn=collated, worker_init_fn=start, **options)
        self.room, self.pinned = room, pinned

    def __iter__(self):
        slots = None
        if self.num_workers:
            # While a batch is copied out, its worker fills the places of those that it works ahead, and no others.
            assert self.in_order and self.prefetch_factor + 1 < SLOTS
            slots = self.collate_fn = Slots(self.multiprocessing_context, self.num_workers, self.room)
        batches = super().__iter__()
        self.collate_fn = collated
        try:
            for batch in batches:
                yield {key: self.owned(value, slots) for key, value in batch.items()}
        finally:
            # At once and from here. An error's traceback keeps the iterator, and when the garbage collector takes it
            # its queues are closed first, so that workers miss the word to end and are waited for in vain.
            if self.num_workers:
                batches._shutdown_workers()

    def owned(self, value, slots):
        """An array, a tensor or a place in the slots, as a tensor that no worker writes to."""
        if isinstance(value, tuple):
            value = slots.at(*value)
            return value.pin_memory() if self.pinned else value.clone()
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        return tensor.pin_memory() if self.pinned else tensor


class Slots:
    """Memory that all processes share, with SLOTS places for each worker, which it uses in turn to put the images and
    label maps of its batches in: `collated` in a worker, with (byte, shape) in their stead."""

    def __init__(self, context, workers, room):
        self.room, self.turn = room, 0
        self.memory = (context or multiprocessing).RawArray("B", workers * SLOTS * room)

    def at(self, byte, shape):
        """The uint8 tensor that begins at a byte."""
        return torch.frombuffer(self.memory, dtype=torch.uint8, offset=byte, count=math.prod(shape)).view(shape)

    def __call__(self, items):
        self.turn = (self.turn + 1) % SLOTS
        free = (get_worker_info().id * SLOTS + self.turn) * self.room
        end, batch = free + self.room, {}
        for key, values in columns(items).items():
            shape = len(values), *getattr(values[0], "shape", ())
            if getattr(values[0], "dtype", None) == torch.uint8 and math.prod(shape) <= end - free:
                torch.stack(values, out=self.at(free, shape))
                batch[key] = free, shape
                free += math.prod(shape)
            else:
                batch[key] = together(values)
        return batch


def obey_only(owner, worker):
    """Has a worker end with the process `owner`, and on a SIGTERM of that process alone, as DataLoader and
    multiprocessing send it to workers that are left.

    Whoever stops a training, as schedulers do, may signal all its processes; but the one that trains saves first, for
    which it may need a batch more. Where nobody tells who sent a signal (macOS, Windows), they do what they always do.
    """
    end_with(owner)
    if not hasattr(signal, "sigwaitinfo"):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)

    def wait_for_owner():
        while True:
            sent = signal.sigwaitinfo(STOPPING)
            if sent.si_signo == signal.SIGTERM and sent.si_pid == owner:
                os._exit(0)

    threading.Thread(target=wait_for_owner, daemon=True).start()


def end_with(owner):
    """Has a forked worker be killed by Linux in the moment its owner dies.

    It holds the owner's sockets, and while they are open the other processes of a training wait for one that is gone.
    PyTorch has a worker look for its owner every five seconds; Lightning kills the others before that.
    """
    if sys.platform == "linux" and multiprocessing.get_start_method() == "fork":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != owner:
            os._exit(1)


def collated(items):
    """{key: tensor of all items, or int64 array where they have numbers}."""
    return {key: together(values) for key, values in columns(items).items()}


def columns(items):
    """{key: the values of all items}"""
    return {key: [item[key] for item in items] for key in items[0]}


def together(values):
    return np.array(values) if isinstance(values[0], int) else torch.stack(values)
