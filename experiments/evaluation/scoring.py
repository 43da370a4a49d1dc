"""The scores of every image of a split, by any number of processes."""

import hashlib
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch

from datamodules.errors import DataError
from datamodules.sampler import EachOnce
from experiments.evaluation.metrics import METRICS, FeaturePair, ImageMetric, Picture, SetMetric
from experiments.progress import ProgressLines
from lightning_modules.metrics.pixel import hole_ratio
from lightning_modules.ops.distributed import gather_objects, gather_to_first
from lightning_modules.ops.png import to_uint8

TRUTH = ""  # stands for the true images among the features of the candidates


@dataclass(kw_only=True)
class Row:
    """What is kept of one image."""

    index: int
    pixels_sha256: bytes  # of the true picture
    mask_sha256: bytes | None  # of the mask's packed bits
    hole_ratio: float | None
    scores: dict  # {candidate: {metric: value}}, without the metrics that do not apply to a candidate
    weights: dict  # {metric: how much the image counts}, of the metrics that have one
    features: dict = field(default_factory=dict)  # {candidate or TRUTH: (2048,) float32}, where a set score needs them


@dataclass(kw_only=True)
class Cost:
    """What the answers of one candidate took."""

    images: int = 0
    seconds: float = 0.0
    peak_bytes: int | None = None  # of the weights and of what an answer takes beside them; on a GPU

    def add(self, images, seconds, peak_bytes):
        self.images, self.seconds = self.images + images, self.seconds + seconds
        self.peak_bytes = None if peak_bytes is None else max(peak_bytes, self.peak_bytes or 0)


def seconds_per_image(costs):
    """Of the costs of one candidate on every rank."""
    return sum(cost.seconds for cost in costs) / sum(cost.images for cost in costs)


class Scorer:
    """Scores batches of one task. networks: {name: module} of those that the metrics need, on the device. prior: of the
    colour classes, None for the closed form. precision: a context for the candidates alone, such as autocast."""

    def __init__(self, candidates, metrics, *, networks=None, prior=None, quantise=True, precision=nullcontext):
        self.candidates, self.networks, self.prior = candidates, networks or {}, prior
        self.quantise, self.precision = quantise, precision
        chosen = {name: METRICS[candidates[0].task][name] for name in metrics}
        self.metrics = {name: metric for name, metric in chosen.items() if isinstance(metric, ImageMetric)}
        self.features = any(isinstance(metric, SetMetric) for metric in chosen.values())
        self.costs = {candidate.name: Cost() for candidate in candidates}
        self.warm = False

    def picture(self, image, **known):
        """In float64, so that the order of a sum on some device does not show; on the CPU where there is none (MPS)."""
        where = "cpu" if image.device.type == "mps" else image.device
        known = {name: None if value is None else value.to(where) for name, value in known.items()}
        image = image.to(where).double()
        rgb = to_uint8(image).double() / 255 if self.quantise else image
        return Picture(rgb, networks=self.networks, prior=self.prior, **known)

    @torch.inference_mode()
    def rows(self, batch):
        self.warm_up(batch)
        mask, count = batch.get("mask"), len(batch["image"])
        true = self.picture(batch["image"], mask=None if mask is None else mask.double(), label=batch.get("label"))
        features = {TRUTH: true.inception.cpu().numpy()} if self.features else {}
        scores = {}
        for candidate in self.candidates:
            done = self.timed_answer(candidate, batch)
            pred = self.picture(done, classes=self.scenes(candidate, batch))
            of = {name: metric for name, metric in self.metrics.items() if applies(metric, pred)}
            scores[candidate.name] = {name: metric.score(pred, true).tolist() for name, metric in of.items()}
            if self.features:
                features[candidate.name] = pred.inception.cpu().numpy()
            del done, pred  # so that the memory of the next answer is its own
        weights = {name: m.weight(true).tolist() for name, m in self.metrics.items() if m.weight}
        pixels = to_uint8(batch["image"]).cpu()
        ratios = [None] * count if mask is None else hole_ratio(true.mask).tolist()
        return [
            Row(
                index=index,
                pixels_sha256=pixels_sha256(pixels[place]),
                mask_sha256=None if mask is None else packed_sha256(mask[place]),
                hole_ratio=ratios[place],
                scores={name: {metric: values[place] for metric, values in of.items()} for name, of in scores.items()},
                weights={metric: values[place] for metric, values in weights.items()},
                features={name: values[place] for name, values in features.items()},
            )
            for place, index in enumerate(batch["index"].tolist())
        ]

    def scenes(self, candidate, batch):
        """As of Candidate, where a metric asks for them."""
        if not any(metric.needs == "scenes" for metric in self.metrics.values()):
            return None
        with self.precision():
            return candidate.scenes(batch)

    def warm_up(self, batch):
        """Answers the first batch once before any is timed: libraries load and kernels are chosen then."""
        if not self.warm:
            for candidate in self.candidates:
                with self.precision():
                    candidate.answer(batch)
        self.warm = True

    def timed_answer(self, candidate, batch):
        """The candidate's answer to a batch, its time and memory noted. ValueError where it is not finite."""
        image = batch["image"]
        on_gpu = image.device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize(image.device)
            torch.cuda.reset_peak_memory_stats(image.device)
            before = torch.cuda.memory_allocated(image.device)  # images, and the networks of all
        started = time.perf_counter()
        with self.precision():
            done = candidate.answer(batch)
        if on_gpu:
            torch.cuda.synchronize(image.device)
        peak = torch.cuda.max_memory_allocated(image.device) - before + candidate.weight_bytes if on_gpu else None
        self.costs[candidate.name].add(len(image), time.perf_counter() - started, peak)
        broken = ~done.isfinite().flatten(1).all(dim=1)
        if broken.any():
            raise NotFinite(candidate.name, batch["index"][broken.nonzero()[0, 0]].item())
        return done


class NotFinite(ValueError):
    """An answer with NaN or infinity in it; `index` is the image's."""

    def __init__(self, candidate, index):
        super().__init__(f"the answer of {candidate} has values that are no numbers")
        self.index = index


def applies(metric, pred):
    """Whether the score can be worked out for this candidate."""
    return metric.needs != "scenes" or pred.classes is not None


def pixels_sha256(image):
    """Of uint8 RGB (3,H,W) on the CPU, channel by channel and row by row."""
    return hashlib.sha256(image.numpy().tobytes()).digest()


def packed_sha256(mask):
    """Of the mask's bits, eight to a byte, row by row."""
    return hashlib.sha256(np.packbits((mask > 0).cpu().numpy().ravel())).digest()


def score_split(fabric, data, split, scorer):
    """(rows of all images of a split in the order of the index, {candidate: [its Cost on each rank]}) on the first
    rank, None on the others.

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
    except NotFinite as error:
        failure = f"{dataset.name(error.index)}: {error}"
    failures = [each for each in gather_objects(failure) if each]
    if failures:
        raise DataError(failures[0])
    shares = gather_to_first((rows, scorer.costs))
    if shares is None:
        return None
    rows = sorted((row for share, _ in shares for row in share), key=lambda row: row.index)
    assert [row.index for row in rows] == list(range(len(dataset)))
    return rows, {name: [costs[name] for _, costs in shares] for name in scorer.costs}


def set_scores(rows, metrics):
    """{candidate: {metric: value}} of the set scores among `metrics`, {name: Metric}."""
    chosen = {name: metric for name, metric in metrics.items() if isinstance(metric, SetMetric)}
    if not chosen:
        return {}
    features = {name: np.stack([row.features[name] for row in rows]) for name in rows[0].features}
    truth = features.pop(TRUTH)
    pairs = {name: FeaturePair(truth, answers) for name, answers in features.items()}
    return {name: {at: metric.score(pair) for at, metric in chosen.items()} for name, pair in pairs.items()}


def require_finite(rows, names):
    """DataError where a score is no number. names: of the images, in the order of the rows."""
    for name, row in zip(names, rows, strict=True):
        for candidate, scores in row.scores.items():
            for metric, value in scores.items():
                if not math.isfinite(value):
                    why = "; the image has no hole" if row.hole_ratio == 0 else ""
                    raise DataError(f"{name}: {metric} of {candidate} is {value}{why}")
