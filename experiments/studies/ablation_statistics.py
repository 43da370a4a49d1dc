"""What an ablation's seeds say: means, spread, and paired differences to the base row.

A training is what is repeated, so the seeds are the replicates: a row and the base row of the same seed saw the same
images in the same order, and their difference is one observation. With three seeds a t interval is wide, and rightly
so. A test over images takes the trained networks as given: it says whether these networks differ, not whether the next
training of the same row would.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from experiments.evaluation.statistics import holm, intervals, sign_flip_p

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Over seeds. sd: with n - 1 below; None for one seed."""

    mean: float
    sd: float | None
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A row minus the base row. low, high, p: paired t over seeds; None for one seed. p_holm: for all rows of
    a metric together."""

    mean: float
    of_seeds: dict  # {seed: difference}
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    images: dict | None = None  # {"low", "high", "p"} over images, of the differences averaged over seeds


def spread(values):
    """values: a score of each seed."""
    values = list(values)
    mean = math.fsum(values) / len(values)
    sd = None if len(values) < 2 else math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return Spread(mean=mean, sd=sd, seeds=len(values))


def paired(row, base):
    """row, base: {seed: score} -> Difference over the seeds that both have, without images; None where there are none.

    Seeds that all differ by the same amount leave nothing to test: p is 1 for no difference, else 0.
    """
    seeds = [seed for seed in row if seed in base]
    if not seeds:
        return None
    of_seeds = {seed: row[seed] - base[seed] for seed in seeds}
    over = spread(of_seeds.values())
    if over.sd is None:
        return Difference(mean=over.mean, of_seeds=of_seeds)
    if over.sd == 0:
        p = 1.0 if over.mean == 0 else 0.0
        return Difference(mean=over.mean, of_seeds=of_seeds, low=over.mean, high=over.mean, p=p)
    from scipy.stats import t

    error, freedom = over.sd / math.sqrt(over.seeds), over.seeds - 1
    half = t.ppf((1 + LEVEL) / 2, freedom) * error
    p = 2 * t.sf(abs(over.mean) / error, freedom)
    return Difference(
        mean=over.mean, of_seeds=of_seeds, low=float(over.mean - half), high=float(over.mean + half), p=float(p)
    )


def over_images(row, base, weights):
    """{"low", "high", "p"} of the mean difference over images. row, base: {seed: [score of each image]} with the same
    seeds; weights: what each image counts, or None. None for one image."""
    difference = np.mean([np.subtract(row[seed], base[seed]) for seed in row], axis=0)[:, None]  # (N,1)
    if len(difference) < 2:
        return None
    weight = np.ones_like(difference) if weights is None else np.array(weights)[:, None]
    low, high = intervals(difference, weight)
    return {"low": float(low[0]), "high": float(high[0]), "p": float(sign_flip_p(difference * weight)[0])}


def with_holm(differences):
    """The same differences, {row: Difference} in one metric, with p_holm where there is a p: one family of tests."""
    tested = {row: each.p for row, each in differences.items() if each.p is not None}
    adjusted = dict(zip(tested, holm(np.array(list(tested.values()))).tolist(), strict=True)) if tested else {}
    return {row: replace(each, p_holm=adjusted.get(row)) for row, each in differences.items()}
