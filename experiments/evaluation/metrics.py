"""The scores that a protocol may name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.metrics.auc import ab_auc, mean_ab_error, rarity
from lightning_modules.metrics.colorfulness import colorfulness
from lightning_modules.metrics.distribution import fid, kid, p_ids, svm_sides, u_ids
from lightning_modules.metrics.edges import canny_edges, edge_precision_recall
from lightning_modules.metrics.pixel import l1, l1_in_hole, l2, l2_in_hole, ms_ssim, psnr, psnr_in_hole, ssim
from lightning_modules.metrics.recognition import same_class, top_k
from lightning_modules.ops.png import to_uint8


class Picture:
    """RGB in [0,1] (B,3,H,W) as it is scored, and what several scores need of it, worked out once.

    networks: {name: module}. classes: what the candidate takes the scenes for,
    (B,N), the most likely first, where it says. prior: of the colour classes, (313,); None for the closed form.
    """

    def __init__(self, rgb, *, mask=None, label=None, classes=None, networks=None, prior=None):
        self.rgb, self.mask, self.label, self.classes, self.networks = rgb, mask, label, classes, networks or {}
        self.prior = prior

    @cached_property
    def ab(self):
        return rgb_to_lab(self.rgb)[:, 1:].to(self.rgb.dtype)

    @cached_property
    def rarity(self):
        return rarity(self.ab, self.prior)

    @cached_property
    def edges(self):
        return canny_edges(self.rgb)

    @cached_property
    def inception(self):
        """(B,2048) float32."""
        return self.networks["inception"](to_uint8(self.rgb))

    @cached_property
    def objects(self):
        """What VGG-16 sees, (B,1000), the most likely class first."""
        return self.networks["vgg16"](self.rgb.float())


class FeaturePair:
    """Features of the true images and of a candidate's answers, each (N,2048), in the order of the index."""

    def __init__(self, real, fake):
        self.real, self.fake = real, fake

    @cached_property
    def sides(self):
        return svm_sides(self.real, self.fake)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What every score has: the unit that it is printed and stored in, and the network that it needs."""

    title: str
    unit: str = ""
    better: str | None = "higher"  # or lower; None where it is neither
    digits: int = 2
    network: str | None = None  # a name of experiments/evaluation/networks.py
    package: str | None = None  # of the extra `metrics`, beside the network's own
    smallest: int = 1  # pixels of a side that an image must have
    prior: bool = False  # whether it depends on the prior of the colour classes


@dataclass(frozen=True, kw_only=True)
class ImageMetric(Metric):
    """A score of one image. `weight` says how much an image counts in the mean; None counts each alike."""

    score: Callable[[Picture, Picture], torch.Tensor]  # (prediction, truth) -> (B,)
    weight: Callable[[Picture], torch.Tensor] | None = None  # truth -> (B,)
    needs: str | None = None  # 'objects': ImageNet's labels; 'scenes': labels, and a candidate that names scenes


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """A score of all images at once, from their features."""

    network: str = "inception"
    score: Callable[[FeaturePair], float]


def edge_score(which):
    def score(pred, true):
        return 100 * edge_precision_recall(pred.edges, true.edges, true.mask)[which]

    return score


PIXEL = {
    "psnr": ImageMetric(title="PSNR", unit="dB", score=lambda pred, true: psnr(pred.rgb, true.rgb)),
    "ssim": ImageMetric(title="SSIM", digits=4, smallest=11, score=lambda pred, true: ssim(pred.rgb, true.rgb)),
    "ms_ssim": ImageMetric(
        title="MS-SSIM", digits=4, smallest=176, score=lambda pred, true: ms_ssim(pred.rgb, true.rgb)
    ),
    "l1": ImageMetric(title="L1", unit="%", better="lower", score=lambda pred, true: 100 * l1(pred.rgb, true.rgb)),
    "l2": ImageMetric(title="L2", unit="%", better="lower", score=lambda pred, true: 100 * l2(pred.rgb, true.rgb)),
    "lpips": ImageMetric(
        title="LPIPS",
        better="lower",
        digits=4,
        network="alexnet",
        smallest=31,
        score=lambda pred, true: true.networks["alexnet"](pred.rgb.float(), true.rgb.float()),
    ),
    "edge_precision": ImageMetric(title="edge prec.", unit="%", score=edge_score(0)),
    "edge_recall": ImageMetric(title="edge recall", unit="%", score=edge_score(1)),
}
COLOR = {
    "auc": ImageMetric(title="AuC", unit="%", score=lambda pred, true: 100 * ab_auc(pred.ab, true.ab)),
    "auc_rebalanced": ImageMetric(  # each pixel of the data set counts 1 / p: images with rare colours count more
        title="AuC rebal.",
        unit="%",
        prior=True,
        score=lambda pred, true: 100 * ab_auc(pred.ab, true.ab, true.rarity),
        weight=lambda true: true.rarity.sum((1, 2, 3)),
    ),
    "ab_error": ImageMetric(title="ab error", better="lower", score=lambda pred, true: mean_ab_error(pred.ab, true.ab)),
    "colorfulness": ImageMetric(title="colourfulness", better=None, score=lambda pred, true: colorfulness(pred.rgb)),
    "colorfulness_difference": ImageMetric(
        title="colourfulness error",
        better="lower",
        score=lambda pred, true: (colorfulness(pred.rgb) - colorfulness(true.rgb)).abs(),
    ),
    "vgg_top1": ImageMetric(
        title="VGG top-1",
        unit="%",
        network="vgg16",
        needs="objects",
        score=lambda pred, true: 100 * top_k(pred.objects, true.label, 1),
    ),
    "vgg_top5": ImageMetric(
        title="VGG top-5",
        unit="%",
        network="vgg16",
        needs="objects",
        score=lambda pred, true: 100 * top_k(pred.objects, true.label, 5),
    ),
    "vgg_same_class": ImageMetric(
        title="VGG as truth",
        unit="%",
        network="vgg16",
        score=lambda pred, true: 100 * same_class(pred.objects, true.objects),
    ),
    "scene_top1": ImageMetric(
        title="scene top-1",
        unit="%",
        needs="scenes",
        score=lambda pred, true: 100 * top_k(pred.classes, true.label, 1),
    ),
    "scene_top5": ImageMetric(
        title="scene top-5",
        unit="%",
        needs="scenes",
        score=lambda pred, true: 100 * top_k(pred.classes, true.label, 5),
    ),
}
HOLE = {
    "psnr_hole": ImageMetric(
        title="PSNR hole", unit="dB", score=lambda pred, true: psnr_in_hole(pred.rgb, true.rgb, true.mask)
    ),
    "l1_hole": ImageMetric(
        title="L1 hole",
        unit="%",
        better="lower",
        score=lambda pred, true: 100 * l1_in_hole(pred.rgb, true.rgb, true.mask),
    ),
    "l2_hole": ImageMetric(
        title="L2 hole",
        unit="%",
        better="lower",
        score=lambda pred, true: 100 * l2_in_hole(pred.rgb, true.rgb, true.mask),
    ),
}
SET = {
    "fid": SetMetric(title="FID", better="lower", score=lambda pair: fid(pair.real, pair.fake)),
    "kid": SetMetric(
        title="KID x 1000", better="lower", score=lambda pair: 1000 * kid(pair.real, pair.fake, seed=0)[0]
    ),
    "u_ids": SetMetric(title="U-IDS", unit="%", package="sklearn", score=lambda pair: 100 * u_ids(*pair.sides)),
    "p_ids": SetMetric(title="P-IDS", unit="%", package="sklearn", score=lambda pair: 100 * p_ids(*pair.sides)),
}
METRICS = {"colorization": PIXEL | COLOR | SET, "inpainting": PIXEL | HOLE | SET}
