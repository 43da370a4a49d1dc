"""Order of samples: a pure function of (seed, epoch), read by every rank at its own offset, resumable at any sample."""

import torch


class StreamBatches:
    """Batch sampler of one endless stream of (epoch, position) keys, cut at `iterations` batches.

    The stream is the shuffled data set of epoch 0, then that of epoch 1, and so on without a gap: every sample comes
    once an epoch and batches may lie across two epochs. Global batch k of `world` ranks is stream[k*N : (k+1)*N] with
    N = world * batch_size, and a rank takes its own contiguous share, so N ranks of batch B see what one rank of batch
    N*B sees. A resumed run has `done` iterations and `seen` samples of all ranks behind it, with any number of ranks;
    the length stays the whole run's, which is what Lightning counts its batches against.
    """

    def __init__(self, length, batch_size, iterations, *, seed, rank=0, world=1, done=0, seen=0):
        self.length, self.batch_size, self.iterations = length, batch_size, iterations
        self.seed, self.rank, self.world, self.done, self.seen = seed, rank, world, done, seen

    def __len__(self):
        return self.iterations

    def order(self, epoch):
        """The permutation of the data set in one epoch. -> (length,) int64."""
        return torch.randperm(self.length, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))

    def __iter__(self):
        global_batch = self.batch_size * self.world
        epoch, order = -1, None
        for batch in range(self.iterations - self.done):
            keys = []
            first = self.seen + batch * global_batch + self.rank * self.batch_size
            for place in range(first, first + self.batch_size):
                if place // self.length != epoch:
                    epoch = place // self.length
                    order = self.order(epoch)
                keys.append((epoch, order[place % self.length].item()))
            yield keys


class EachOnce:
    """Batch sampler for evaluation: every position once over all ranks, in order, without padding. Epoch is 0."""

    def __init__(self, length, batch_size, *, rank=0, world=1):
        self.positions = range(rank, length, world)
        self.batch_size = batch_size

    def __len__(self):
        return -(-len(self.positions) // self.batch_size)

    def __iter__(self):
        for first in range(0, len(self.positions), self.batch_size):
            yield [(0, position) for position in self.positions[first : first + self.batch_size]]
