"""Means of the scores, how sure they are, and whether two candidates differ.

Images are what is drawn again: an interval says how the mean would move with other images of the same kind, not with
another training of the network.
"""

import math
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
FLIPS = 9_999
LEVEL = 95  # per cent
CHUNK = 2**24  # numbers held at once


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Of the images, with the ends of its interval; None where there are none, as for one image or a set score."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`first` minus `second` over the same images."""

    metric: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float  # p for all metrics of the two together


def columns(rows):
    """{(candidate, metric): (values, weights)}, each (N,) float64."""
    found = {}
    for candidate, scores in rows[0].scores.items():
        for metric in scores:
            values = [row.scores[candidate][metric] for row in rows]
            weights = [row.weights.get(metric, 1.0) for row in rows]
            found[candidate, metric] = np.array(values), np.array(weights)
    return found


def weighted_mean(values, weights):
    """Added up without rounding on the way."""
    return math.fsum(values * weights) / math.fsum(weights)


def resampled_counts(images, seed):
    """How often each image is drawn in each bootstrap resample, in chunks (R,N)."""
    generator = np.random.default_rng(seed)
    at_once = max(1, CHUNK // images)
    for first in range(0, RESAMPLES, at_once):
        draws = min(at_once, RESAMPLES - first)
        yield generator.multinomial(images, np.full(images, 1 / images), size=draws).astype(np.float64)


def intervals(values, weights, seed=0):
    """Ends of the percentile bootstrap interval of the weighted mean of each column. (N,K) -> (low (K,), high (K,))."""
    drawn = [(counts @ (values * weights)) / (counts @ weights) for counts in resampled_counts(len(values), seed)]
    tail = (100 - LEVEL) / 2
    return np.percentile(np.concatenate(drawn), [tail, 100 - tail], axis=0)


def means(rows):
    """{candidate: {metric: Mean}}, weighted where the metric says so."""
    of = columns(rows)
    ends = [(None, None)] * len(of)
    if len(rows) > 1 and of:
        values, weights = (np.stack(each, axis=1) for each in zip(*of.values(), strict=True))
        ends = zip(*(each.tolist() for each in intervals(values, weights)), strict=True)
    found = {name: {} for name in rows[0].scores}
    for ((candidate, metric), (values, weights)), (low, high) in zip(of.items(), ends, strict=True):
        found[candidate][metric] = Mean(value=weighted_mean(values, weights), low=low, high=high)
    return found


def sign_flip_p(contributions, seed=0):
    """Two-sided p of the mean of each column being 0, by flipping the signs of whole rows at random. (N,K) -> (K,).

    All 2^N ways to flip are gone through where they are no more than FLIPS + 1.
    """
    images = len(contributions)
    reached, total = np.zeros(contributions.shape[1]), 0
    observed = np.abs(contributions.sum(axis=0))
    least = observed * (1 - 1e-12)  # a sum of the same numbers in another order counts as the same
    for signs in sign_flips(images, seed):
        reached += (np.abs(signs @ contributions) >= least).sum(axis=0)
        total += len(signs)
    if 2**images <= FLIPS + 1:
        return reached / total
    return (reached + 1) / (total + 1)  # the observed signs are one of the ways


def sign_flips(images, seed):
    """Signs (R,N) in chunks: every way once where there are few, else FLIPS at random."""
    if 2**images <= FLIPS + 1:
        yield 1.0 - 2.0 * ((np.arange(2**images)[:, None] >> np.arange(images)) & 1)
        return
    generator, at_once = np.random.default_rng(seed), max(1, CHUNK // images)
    for first in range(0, FLIPS, at_once):
        shape = (min(at_once, FLIPS - first), images)
        yield 1.0 - 2.0 * generator.integers(0, 2, shape, dtype=np.int8)


def holm(p):
    """p values that hold for all of them together (Holm 1979). (K,) -> (K,)."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def comparisons(rows, first, others):
    """The candidate `first` against each of `others`, in every metric that both have: [Comparison]. The metrics of a
    pair are one family of tests, whoever else is compared. Nothing where there is one image only."""
    of = columns(rows)
    pairs = [(metric, other) for other in others for metric in rows[0].scores[first] if (other, metric) in of]
    if len(rows) < 2 or not pairs:
        return []
    differences = np.stack([of[first, metric][0] - of[other, metric][0] for metric, other in pairs], axis=1)
    weights = np.stack([of[first, metric][1] for metric, _ in pairs], axis=1)
    low, high = intervals(differences, weights)
    p = sign_flip_p(differences * weights)
    adjusted, seconds = np.empty_like(p), np.array([other for _, other in pairs])
    for other in others:
        adjusted[seconds == other] = holm(p[seconds == other])
    return [
        Comparison(
            metric=metric,
            first=first,
            second=other,
            difference=weighted_mean(differences[:, at], weights[:, at]),
            low=float(low[at]),
            high=float(high[at]),
            p=float(p[at]),
            p_holm=float(adjusted[at]),
        )
        for at, (metric, other) in enumerate(pairs)
    ]


def in_bucket(ratio, low, high):
    """Whether a hole ratio lies in (low, high]; a first bucket from 0 on takes 0 in."""
    return low < ratio <= high or ratio == low == 0


def buckets(rows, edges):
    """[(low, high, rows)] by hole ratio, as papers on irregular holes report."""
    ends = zip(edges, edges[1:], strict=False)
    return [(low, high, [row for row in rows if in_bucket(row.hole_ratio, low, high)]) for low, high in ends]
