"""The scores that a protocol may name, and their values for every image of a split."""

import hashlib
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from datamodules.errors import DataError
from datamodules.sampler import EachOnce
from experiments.progress import ProgressLines
from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.metrics.auc import ab_auc, mean_ab_error, rarity
from lightning_modules.metrics.colorfulness import colorfulness
from lightning_modules.metrics.pixel import hole_ratio, l1, l1_in_hole, l2, l2_in_hole, psnr, psnr_in_hole, ssim
from lightning_modules.ops.distributed import gather_objects


class Picture:
    """RGB in [0,1] (B,3,H,W) as it is scored, and what several scores need of it, worked out once."""

    def __init__(self, rgb, mask=None):
        self.rgb, self.mask = rgb, mask

    @cached_property
    def ab(self):
        return rgb_to_lab(self.rgb)[:, 1:].to(self.rgb.dtype)

    @cached_property
    def rarity(self):
        return rarity(self.ab)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of one image, in the unit that it is printed and stored in.

    `weight` says how much an image counts in the mean over the data set; None counts each alike.
    """

    title: str
    unit: str = ""
    better: str | None = "higher"  # or lower; None where it is neither
    digits: int = 2
    score: Callable[[Picture, Picture], torch.Tensor]  # (prediction, truth) -> (B,)
    weight: Callable[[Picture], torch.Tensor] | None = None  # truth -> (B,)


PIXEL = {
    "psnr": Metric(title="PSNR", unit="dB", score=lambda pred, true: psnr(pred.rgb, true.rgb)),
    "ssim": Metric(title="SSIM", digits=4, score=lambda pred, true: ssim(pred.rgb, true.rgb)),
    "l1": Metric(title="L1", unit="%", better="lower", score=lambda pred, true: 100 * l1(pred.rgb, true.rgb)),
    "l2": Metric(title="L2", unit="%", better="lower", score=lambda pred, true: 100 * l2(pred.rgb, true.rgb)),
}
COLOR = {
    "auc": Metric(title="AuC", unit="%", score=lambda pred, true: 100 * ab_auc(pred.ab, true.ab)),
    "auc_rebalanced": Metric(  # each pixel of the data set counts 1 / p: images with rare colours count more
        title="AuC rebal.",
        unit="%",
        score=lambda pred, true: 100 * ab_auc(pred.ab, true.ab, true.rarity),
        weight=lambda true: true.rarity.sum((1, 2, 3)),
    ),
    "ab_error": Metric(title="ab error", better="lower", score=lambda pred, true: mean_ab_error(pred.ab, true.ab)),
    "colorfulness": Metric(title="colourfulness", better=None, score=lambda pred, true: colorfulness(pred.rgb)),
    "colorfulness_truth": Metric(title="of the truth", better=None, score=lambda pred, true: colorfulness(true.rgb)),
}
HOLE = {
    "psnr_hole": Metric(
        title="PSNR hole", unit="dB", score=lambda pred, true: psnr_in_hole(pred.rgb, true.rgb, true.mask)
    ),
    "l1_hole": Metric(
        title="L1 hole",
        unit="%",
        better="lower",
        score=lambda pred, true: 100 * l1_in_hole(pred.rgb, true.rgb, true.mask),
    ),
    "l2_hole": Metric(
        title="L2 hole",
        unit="%",
        better="lower",
        score=lambda pred, true: 100 * l2_in_hole(pred.rgb, true.rgb, true.mask),
    ),
}
METRICS = {"colorization": PIXEL | COLOR, "inpainting": PIXEL | HOLE}


@dataclass(kw_only=True)
class Row:
    """What is kept of one image."""

    index: int
    mask_sha256: bytes | None  # of the mask's packed bits
    hole_ratio: float | None
    scores: dict  # {candidate: {metric: value}}
    weights: dict  # {metric: how much the image counts}, of the metrics that have one


def as_saved(image):
    """Rounded to the 256 levels of a file. RGB in [0,1]."""
    return (image.clamp(0, 1) * 255).round() / 255


class Scorer:
    """Scores batches of one task. precision: a context for the networks alone, such as autocast."""

    def __init__(self, candidates, metrics, *, quantise=True, precision=nullcontext):
        self.candidates, self.quantise, self.precision = candidates, quantise, precision
        self.metrics = {name: METRICS[candidates[0].task][name] for name in metrics}

    def picture(self, image, mask=None):
        """In float64, so that the order of a sum on some device does not show; on the CPU where there is none (MPS)."""
        where = "cpu" if image.device.type == "mps" else image.device
        image, mask = image.to(where).double(), None if mask is None else mask.to(where).double()
        return Picture(as_saved(image) if self.quantise else image, mask)

    @torch.inference_mode()
    def rows(self, batch):
        image, mask = batch["image"], batch.get("mask")
        true = self.picture(image, mask)
        scores = {}
        for candidate in self.candidates:
            with self.precision():
                done = candidate.answer(image) if candidate.task == "colorization" else candidate.answer(image, mask)
            pred = self.picture(done)
            scores[candidate.name] = {name: m.score(pred, true).tolist() for name, m in self.metrics.items()}
        weights = {name: m.weight(true).tolist() for name, m in self.metrics.items() if m.weight}
        ratios = None if mask is None else hole_ratio(true.mask).tolist()
        return [
            Row(
                index=index,
                mask_sha256=None if mask is None else packed_sha256(mask[place]),
                hole_ratio=None if mask is None else ratios[place],
                scores={name: {metric: values[place] for metric, values in of.items()} for name, of in scores.items()},
                weights={metric: values[place] for metric, values in weights.items()},
            )
            for place, index in enumerate(batch["index"].tolist())
        ]


def packed_sha256(mask):
    """Of the mask's bits, eight to a byte, row by row."""
    return hashlib.sha256(np.packbits((mask > 0).cpu().numpy().ravel())).digest()


def score_split(fabric, data, split, scorer):
    """Rows of all images of a split in the order of the index, the same on every rank.

    Ranks meet once, at the end, so that an image that one of them cannot read is a DataError on all of them.
    """
    dataset = data.dataset(split)
    rank, world = fabric.global_rank, fabric.world_size
    loader = data.loader(dataset, EachOnce(len(dataset), data.config.batch_size, rank=rank, world=world))
    rows, failure = [], None
    try:
        with ProgressLines(len(loader), "evaluate, batches") if fabric.is_global_zero else nullcontext() as progress:
            for batch in loader:
                rows += scorer.rows(data.on_after_batch_transfer(fabric.to_device(batch)))
                if progress is not None:
                    progress.advance()
    except DataError as error:
        failure = str(error)
    shares, failures = zip(*gather_objects((rows, failure)), strict=True)
    if any(failures):
        raise DataError(next(filter(None, failures)))
    rows = sorted(sum(shares, []), key=lambda row: row.index)
    assert [row.index for row in rows] == list(range(len(dataset)))
    return rows


def means(rows):
    """{candidate: {metric: mean over the images}}, weighted where the metric says so, added up without rounding."""
    found = {}
    for name, scores in rows[0].scores.items():
        found[name] = {}
        for metric in scores:
            weights = [row.weights.get(metric, 1.0) for row in rows]
            terms = [row.scores[name][metric] * weight for row, weight in zip(rows, weights, strict=True)]
            found[name][metric] = math.fsum(terms) / math.fsum(weights)
    return found


def require_finite(rows, names):
    """DataError where a score is no number. names: of the images, in the order of the rows."""
    for name, row in zip(names, rows, strict=True):
        for candidate, scores in row.scores.items():
            for metric, value in scores.items():
                if not math.isfinite(value):
                    why = "; the image has no hole" if row.hole_ratio == 0 else ""
                    raise DataError(f"{name}: {metric} of {candidate} is {value}{why}")
