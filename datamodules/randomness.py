"""Counter-based randomness: every random choice about a sample is a pure function of (seed, epoch, index, purpose).

Philox-4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3; SC 2011). The generator keeps
no state, so a mask or a crop does not depend on the batch it is drawn in, on the number of workers or ranks, on the
device, or on what a run did before it was resumed.
"""

import math
import zlib

import torch

MASK = 0xFFFFFFFF  # 32 bits
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(counter, key):
    """Four 32-bit words for a counter of four and a key of two. Words are ints or int64 tensors that broadcast.

    On tensors the 64-bit product wraps around, and its halves are cut out by shift and mask, which int64 allows.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = ((p1 >> 32) & MASK) ^ c1 ^ k0, p1 & MASK, ((p0 >> 32) & MASK) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def key_of(seed, purpose):
    """The two key words of a run's seed (64 bits) and a purpose such as `mask` or `crop`."""
    return seed & MASK, (seed >> 32 & MASK) ^ zlib.crc32(purpose.encode())


def sample_uniforms(seed, epoch, index, purpose):
    """Four floats in [0, 1) for one sample, in plain Python: what a loader's worker needs for crop and flip."""
    return tuple((word >> 8) / (1 << 24) for word in philox((0, 0, index & MASK, epoch), key_of(seed, purpose)))


class Draws:
    """Random numbers for a batch of samples, on the device of `index`.

    index and epoch: (B,) int64; epoch may be one int. Each call takes the next numbers of every sample's own stream, so
    sample b gets the same numbers in any batch. The first four floats equal `sample_uniforms` of the same sample.
    """

    def __init__(self, seed, epoch, index, purpose):
        self.seed, self.index, self.purpose = int(seed), index.to(torch.int64), purpose
        self.epoch = torch.as_tensor(epoch, dtype=torch.int64, device=index.device).expand_as(self.index)
        self.calls = 0

    @property
    def batch(self):
        return self.index.shape[0]

    @property
    def device(self):
        return self.index.device

    def fold(self, name):
        """An independent stream of the same samples, named below this one."""
        return Draws(self.seed, self.epoch, self.index, f"{self.purpose}/{name}")

    def take(self, rows):
        """The streams of some of the samples from where they stand. rows: a slice, indices or a boolean mask over the
        batch."""
        part = Draws(self.seed, self.epoch[rows], self.index[rows], self.purpose)
        part.calls = self.calls
        return part

    def __getitem__(self, rows):
        """As `take`: a batch is cut by cutting each of its values."""
        return self.take(rows)

    def uniform(self, *shape, low=0.0, high=1.0):
        """(B, *shape) float32 in [low, high), 24 random bits each."""
        count = math.prod(shape)
        number = torch.arange(-(-count // 4), device=self.device)  # (N,)
        counter = (number, self.calls, self.index[:, None] & MASK, self.epoch[:, None])
        words = torch.stack(torch.broadcast_tensors(*philox(counter, key_of(self.seed, self.purpose))), dim=-1)
        self.calls += 1
        unit = (words.reshape(self.batch, -1)[:, :count] >> 8).float() / (1 << 24)  # (B, 4N) cut to the count
        return (low + (high - low) * unit).reshape(self.batch, *shape)

    def integers(self, low, high, *shape):
        """(B, *shape) int64 in [low, high). The bounds may be ints or tensors that broadcast to the result."""
        unit = self.uniform(*shape).double()  # 24 bits: every integer is reached for spans below 16 million
        return (low + torch.floor(unit * (high - low))).long()

    def normal(self, *shape):
        """(B, *shape) float32, standard normal (Box and Muller)."""
        radius = torch.sqrt(-2 * torch.log1p(-self.uniform(*shape)))
        return radius * torch.cos(2 * math.pi * self.uniform(*shape))
