"""The 313 in-gamut ab bins of Zhang, Isola and Efros (Colorful Image Colorization, 2016): encode, decode, re-weight.

Q = 313 bins, K neighbours, ab (B,2,H,W) not normalised. All arithmetic is float32 whatever the precision around it.
"""

import json
import math
from functools import cache, wraps
from pathlib import Path

import numpy as np
import torch

from lightning_modules.color.lab import rgb_to_lab

STEP = 10  # spacing of the bins in a and in b
REACH = 128.0  # soft_encode takes |a|, |b| beyond this for this; the sRGB cube ends at 107.9
CELL = 2.0  # side of the squares of the ab plane that the lookup tables of soft_encode are made for
CACHED_POINTS = 16384  # encoded at once on a CPU, where larger intermediates would leave its cache
MOST_NEIGHBOURS = 32  # the lookup tables grow with the square of the neighbours


def kept(function):
    """Has a function of tensors work once for all. What is kept serves a training after an evaluation asked for it
    first, and a network after one that was made without its numbers."""

    @cache
    @wraps(function)
    @torch.inference_mode(False)
    def on_the_cpu(*arguments):
        with torch.device("cpu"):
            return function(*arguments)

    return on_the_cpu


@kept
def gamut_nodes():
    """(23,23) bool, a outer, b inner, from -110 to 110: the grid nodes in the convex hull of the sRGB cube's ab."""
    from scipy.spatial import ConvexHull

    level = torch.linspace(0, 1, 9)
    cube = torch.cartesian_prod(level, level, level)  # (729,3) RGB
    hull = ConvexHull(rgb_to_lab(cube.t()[:, None])[1:, 0].t().double().numpy())
    line = torch.arange(-110, 111, STEP, dtype=torch.float64)
    normals, offsets = torch.from_numpy(hull.equations).split([2, 1], dim=1)  # inside: normal . node + offset <= 0
    return (torch.cartesian_prod(line, line) @ normals.t() + offsets.t() <= 0).all(1).reshape(23, 23)


@kept
def shared_bins():
    """ab_bins() without the copy, for use in this file."""
    grown = torch.nn.functional.max_pool2d(gamut_nodes()[None].float(), 3, stride=1, padding=1)[0]
    return (grown.nonzero() * STEP - 110).float()


def ab_bins():
    """The bin centres, (313,2) float32, as in the released pts_in_hull.npy: ordered by a, then by b.

    They are the nodes of a grid of step 10 inside the convex hull of the sRGB cube's ab, 233, and their 8 neighbours.
    """
    return shared_bins().clone()


@kept
def candidates(neighbours):
    """The bins that are among the nearest `neighbours` of some point, for each square cell of the ab plane.

    -> (C, cells) int64, the bins that are among them for every point of the cell first, and the least number of such
    bins in any cell. The difference of the squared distances to two bins is linear in the point, so that what holds
    at the four corners of a cell holds all over it.
    """
    bins = shared_bins()
    half = CELL / 2 + 1e-3  # a little more than the cell, for the rounding of a point's cell
    line = torch.arange(-REACH, REACH, CELL) + CELL / 2
    centre = torch.cartesian_prod(line, line)  # (cells,2)
    corner = half * torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    distance = torch.cdist(centre, bins, compute_mode="donot_use_mm_for_euclid_dist")  # (cells,Q)
    bound = distance.kthvalue(neighbours, dim=1, keepdim=True).values + 2 * half * 2**0.5
    length = int((distance <= bound).sum(1).max())  # no bin further than the bound is a candidate: triangle inequality
    near = distance.topk(length, largest=False).indices  # (cells,length)

    ordered, certain, possible = [], [], []
    for middle, index in zip(centre.split(2048), near.split(2048), strict=True):
        squared = (middle[:, None, None] + corner - bins[index][:, :, None]).square().sum(-1)  # (n,length,4)
        closer = (squared[:, :, None] < squared[:, None]).all(-1)  # [n,p,q]: bin p is closer than q in all the cell
        best, worst = closer.sum(1), length - 1 - closer.sum(2)  # how many bins at least and at most are closer
        is_possible, is_certain = best < neighbours, worst < neighbours
        ordered.append(index.gather(1, (worst + length * ~is_possible).argsort(dim=1, stable=True)))
        certain.append(is_certain.sum(1))
        possible.append(is_possible.sum(1))
    return torch.cat(ordered)[:, : torch.cat(possible).max()].t().contiguous(), int(torch.cat(certain).min())


@kept
def lookup(neighbours, device):
    """candidates() on a device: indices int16 (C, cells), their a and their b float32 (C, cells), certain ones."""
    index, certain = candidates(neighbours)
    a, b = shared_bins()[index].unbind(-1)
    return index.short().to(device), a.contiguous().to(device), b.contiguous().to(device), certain


def nearest(points, neighbours, sigma):
    """soft_encode of points (2,N) within the reach: index and weight, (K,N) each."""
    index, bin_a, bin_b, certain = lookup(neighbours, points.device)
    side = int(2 * REACH / CELL)
    row, column = ((points + REACH) / CELL).long().clamp(0, side - 1)  # clamped for 128 and for NaN
    cell = (row * side + column).expand(len(index), -1)  # (C,N)
    a, b = points
    squared = bin_a.gather(1, cell).sub_(a).square_().add_(bin_b.gather(1, cell).sub_(b).square_())
    # Squared distances are not negative, so their bits sort as they do: (bits, index) in one integer sorts as a pair.
    keys = squared.view(torch.int32).long().bitwise_left_shift_(32).bitwise_or_(index.gather(1, cell))
    chosen, others = list(keys[:neighbours]), keys[neighbours:]
    for key in others:
        for k in range(certain, neighbours):
            chosen[k], key = torch.minimum(chosen[k], key), torch.maximum(chosen[k], key)
    keys = torch.stack(chosen)  # (K,N)
    index = keys & 0xFFFF
    squared = keys.bitwise_right_shift_(32).int().view(torch.float32)
    return index, torch.softmax(squared.div_(-2 * sigma**2), dim=0)


@torch.no_grad()
def soft_encode(ab, neighbours, sigma=5.0):
    """The nearest K = `neighbours` bins of every pixel, exactly, in no particular order (Sec. 2.1).

    -> index int64 (B,K,H,W) and weight float32 (B,K,H,W), exp(-d^2 / (2 sigma^2)) of the distance in ab, of sum 1 over
    the K bins; K = 1 is one-hot. The paper has K = 5, its released Caffe layer 10. No (B,Q,H,W) tensor is made: each
    pixel reads the few candidates of its cell of the ab plane, and a network of minima and maxima picks the K.
    """
    if ab.ndim != 4 or ab.shape[1] != 2:
        raise ValueError(f"ab must be (B,2,H,W), not normalised; got {tuple(ab.shape)}")
    if not 1 <= neighbours <= MOST_NEIGHBOURS:
        raise ValueError(f"neighbours must be 1 to {MOST_NEIGHBOURS}, got {neighbours}")
    if sigma <= 0:
        raise ValueError(f"sigma must be above 0, in units of ab; got {sigma}")
    points = ab.float().clamp(-REACH, REACH).transpose(0, 1).reshape(2, -1)  # (2,N), N = B*H*W
    at_once = CACHED_POINTS if ab.device.type == "cpu" else max(points.shape[1], 1)
    parts = [nearest(part, neighbours, sigma) for part in points.split(at_once, dim=1)]
    shape = (neighbours, len(ab), *ab.shape[2:])
    index, weight = (torch.cat(part, dim=1).reshape(shape).transpose(0, 1) for part in zip(*parts, strict=True))
    return index, weight


def annealed_mean(logits, temperature):
    """The expected bin under softmax(logits / T), Eq. 5: T = 1 is the mean, 0 the mode, the paper's choice 0.38.

    (B,313,H,W) -> ab (B,2,H,W) float32.
    """
    if temperature < 0:
        raise ValueError(f"temperature must be 0 (mode) or more, got {temperature}")
    bins = shared_bins().to(logits.device)
    if logits.ndim != 4 or logits.shape[1] != len(bins):
        raise ValueError(f"logits must be (B,{len(bins)},H,W), got {tuple(logits.shape)}")
    if temperature == 0:
        return bins[logits.argmax(1)].movedim(-1, 1)
    probability = torch.softmax(logits.float() / temperature, dim=1)
    return torch.stack([(probability * value[:, None, None]).sum(1) for value in bins.unbind(1)], dim=1)


def rebalancing_weights(prior, lam):
    """w of Eq. 4: proportional to 1 / ((1 - lam) p + lam / Q), with sum p w = 1. prior (Q,) -> float32 (Q,).

    lam = 1 gives ones, lam = 0 the inverse of the prior. The prior need not sum to 1.
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must be in [0, 1], got {lam}")
    empty = int((prior <= 0).sum())
    if lam == 0 and empty:
        raise ValueError(f"lam = 0 needs a prior above 0 everywhere, {empty} bins are not: floor it, at 1e-8 say")
    share = prior.double() / prior.double().sum()
    weight = 1 / ((1 - lam) * share + lam / len(share))
    return (weight / (share * weight).sum()).float()


def published_prior():
    """How often ImageNet's pixels fall in each bin, approximately: (313,) float32 of sum 1.

    Not the released prior_probs.npy but a closed form with its peak and the slopes around it: p(a,b) is proportional
    to exp(-s_a (|a|/10)^t_a - s_b (|b|/10)^t_b), with s and t for each sign of a and of b. The slopes s come from the
    released p(0,0) = 0.2012, p(0,10) = 0.1083, p(0,-10) = 0.0642, p(10,0) = 0.0531 and p(-10,0) = 0.0491, all met to
    0.1%; the exponents t are fitted to the figures below, released against ours.

    - entropy 3.437 nats, 3.450
    - least value 6.07e-9 at (100,-90), 6.18e-9 at (90,-110), and 6.90e-9 at (100,-90)
    - rebalancing weights at lam = 0.5: min 0.0965, 0.0963; max 6.175, 6.162; median 5.999, 6.007; mean 5.175, 5.162

    Single bins away from grey may be off by a factor of several. To reproduce the paper, count a prior on its images
    with accumulate_prior or load the released file.
    """
    a, b = (shared_bins().double() / STEP).unbind(1)
    to_red, to_green, to_yellow, to_blue = (math.log(0.2012 / share) for share in (0.0531, 0.0491, 0.1083, 0.0642))
    along_a = torch.where(a > 0, to_red * a.abs() ** 0.908, to_green * a.abs() ** 0.664)
    along_b = torch.where(b > 0, to_yellow * b.abs() ** 1.05, to_blue * b.abs() ** 0.785)
    return torch.softmax(-along_a - along_b, dim=0).float()


def read_prior(path, setting):
    """Frequencies of the bins from .npy or .json, as `chromafill data priors` writes them. -> (313,) float32 of sum 1.
    ValueError where it is none; `setting` is what names the file."""
    path, bins = Path(path), len(shared_bins())
    if not path.is_file():
        raise ValueError(f"{setting}: no file at {path}; `chromafill data priors` writes one")
    try:
        values = np.load(path) if path.suffix == ".npy" else np.array(json.loads(path.read_text()))
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{setting}: {path} cannot be read: {error}") from None
    numbers = values.shape == (bins,) and values.dtype.kind in "iuf"
    if not numbers or not np.isfinite(values).all() or values.min() < 0 or values.sum() == 0:
        raise ValueError(f"{setting}: {path} must hold {bins} frequencies, none negative; got shape {values.shape}")
    prior = torch.as_tensor(values, dtype=torch.float64)
    return (prior / prior.sum()).float()


def accumulate_prior(counts, ab, neighbours=5, stride=1):
    """Adds the soft encoding of every `stride`-th pixel in both directions to counts (313,), in place.

    counts / counts.sum() is then a prior, smoothed as the authors do it: the mean of the soft-encoded pixels. Give
    counts as float64, which float32 cannot replace beyond 2^24 pixels.
    """
    index, weight = soft_encode(ab[..., ::stride, ::stride], neighbours)
    return counts.index_add_(0, index.flatten(), weight.flatten().to(counts.dtype))
