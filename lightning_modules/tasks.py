"""The two tasks: what goes in, what comes out, and the scores that training watches. No paper's maths."""

import math
from abc import abstractmethod

import torch
from torch.nn import functional as F

from lightning_modules.base import PaperModule
from lightning_modules.color.gamut import reduce_chroma
from lightning_modules.color.lab import lab_to_rgb, rgb_to_lab
from lightning_modules.metrics.pixel import psnr, psnr_in_hole
from lightning_modules.ops.distributed import gather_objects
from lightning_modules.ops.masking import mean_fill

LONGEST = 4  # times `side`: the longer side that the network sees at most, so that a strip does not become a mural


class TaskModule(PaperModule):
    """Validation by rows, one a sample, so that any number of ranks with uneven shares gives the same means."""

    @abstractmethod
    def panels(self, batch):
        """What a person looks at: {column title: RGB (B,3,H,W) in [0,1]}, left to right."""

    @abstractmethod
    def scores(self, batch):
        """{name: (B,)}: the validation scores of each sample, those of the trivial answer among them."""

    def on_validation_epoch_start(self):
        self.score_rows = []

    def validation_step(self, batch, batch_idx):
        scores = self.scores(batch)
        columns = [value.double().tolist() for value in (batch["index"], *scores.values())]
        self.score_rows += [
            (int(index), dict(zip(scores, row, strict=True))) for index, *row in zip(*columns, strict=True)
        ]

    def validation_means(self):
        """{val/name: mean over the samples of all ranks}, each counted once, added up in the order of the index."""
        rows = [row for _, row in sorted(sum(gather_objects(self.score_rows), []), key=lambda pair: pair[0])]
        return {f"val/{name}": math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def on_validation_epoch_end(self):
        self.log_dict(self.validation_means(), logger=False)


class ColorizationModule(TaskModule):
    """Grey in, colour out. A paper gives `predict_ab`; one in another colour space overrides `lightness` and `join`."""

    @abstractmethod
    def predict_ab(self, lightness):
        """L (B,1,H,W) in [0,100], H and W multiples of `stride` -> ab (B,2,h,w) unnormalised, at any h, w."""

    stride = 8  # the network's input sides must be multiples of this

    def lightness(self, image):
        """What of an image is kept. RGB in [0,1] (B,3,H,W) -> L (B,1,H,W) in [0,100]."""
        return rgb_to_lab(image)[:, :1]

    def join(self, lightness, ab, keep_lightness=False):
        """L (B,1,H,W) and ab (B,2,H,W) -> RGB in [0,1]. Colours beyond sRGB are clipped, as the papers do, which may
        move their lightness; `keep_lightness` takes so much of their chroma away that none is clipped."""
        lab = torch.cat([lightness, ab], dim=1)
        return lab_to_rgb(reduce_chroma(lab) if keep_lightness else lab)

    def network_size(self, height, width, side=None):
        """[h, w] at which the network sees H x W: shorter side `side` (None: as it is), aspect kept, both rounded to
        multiples of `stride`. An image longer than 1:4 is seen smaller, at a longer side of 4 times `side`."""
        scale = 1.0 if side is None else min(side / min(height, width), LONGEST * side / max(height, width))
        return [max(self.stride, round(length * scale / self.stride) * self.stride) for length in (height, width)]

    def network_lightness(self, lightness, side=None):
        """L (B,1,H,W) at the network's size."""
        size = self.network_size(*lightness.shape[-2:], side)
        if size == list(lightness.shape[-2:]):
            return lightness
        return F.interpolate(lightness, size, mode="bilinear", align_corners=False, antialias=True)

    def colorize(self, image, side=None):
        """RGB in [0,1] of any size, grey or not -> RGB in [0,1] (B,3,H,W) with the same lightness and predicted colour.

        Colour is predicted at the network's size for `side`, enlarged, joined with the full-size lightness and clipped.
        """
        lightness = self.lightness(image)
        ab = self.predict_ab(self.network_lightness(lightness, side)).float()
        ab = F.interpolate(ab, lightness.shape[-2:], mode="bilinear", align_corners=False)
        return self.join(lightness, ab)

    def scores(self, batch):
        image = batch["image"]
        return {"psnr": psnr(self.colorize(image), image), "psnr_grey": psnr(grey(image), image)}

    def panels(self, batch):
        image = batch["image"]
        return {"grey input": grey(image), "prediction": self.colorize(image), "truth": image}


def grey(image):
    """The image with its ab set to 0. RGB in [0,1]. The trivial answer to colorization."""
    lab = rgb_to_lab(image)
    return lab_to_rgb(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], dim=1))


class InpaintingModule(TaskModule):
    """A photograph with a hole in, without one out. A paper gives `complete`."""

    @abstractmethod
    def complete(self, image, mask):
        """image RGB in [0,1] (B,3,H,W) of any size, mask (B,1,H,W) with 1 = hole -> RGB in [0,1], hole filled.

        What lies in the hole of `image` has no influence. Outside the hole the result is `image`, bit for bit.
        """

    def check(self, batch):
        if "mask" not in batch:
            raise ValueError("inpainting learns from holes; give masks@data.masks=centre or another generator")

    def scores(self, batch):
        image, mask = batch["image"], batch["mask"]
        done, trivial = self.complete(image, mask), mean_fill(image, mask)
        return {
            "psnr": psnr(done, image),
            "psnr_hole": psnr_in_hole(done, image, mask),
            "psnr_hole_mean_fill": psnr_in_hole(trivial, image, mask),
        }

    def panels(self, batch):
        image, mask = batch["image"], batch["mask"]
        shown = image * (1 - mask) + mask  # the hole in white
        return {"input": shown, "completed": self.complete(image, mask), "truth": image}
