"""The two tasks: what goes in, what comes out, and the scores that training watches. No paper's maths."""

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from lightning_modules.base import PaperModule
from lightning_modules.color.gamut import reduce_chroma
from lightning_modules.color.lab import lab_to_rgb, rgb_to_lab
from lightning_modules.metrics.pixel import psnr, psnr_in_hole
from lightning_modules.ops.distributed import gather_objects
from lightning_modules.ops.masking import mean_fill
from lightning_modules.ops.pieces import as_float, piece_of

LONGEST = 4  # times `side`: the longer side that the network sees at most, so that a strip does not become a mural


@dataclass(frozen=True)
class Headline:
    """The one score a run is judged by, beside that of the trivial answer, which it must beat."""

    title: str  # as in 'PSNR in the hole'
    score: str  # names of validation scores
    trivial: str
    trivial_answer: str  # as in 'filling with the mean colour'
    unit: str = "dB"
    factor: float = 1.0  # from the scores to the unit


class TaskModule(PaperModule):
    """Validation by rows, one a sample, so that any number of ranks with uneven shares gives the same means.

    class_names  of the labels, in label order, where the training data has names; kept in the checkpoint
    """

    headline: Headline
    class_names: list[str] | None = None
    decoding: tuple[str, ...] = ()  # settings that act when it answers, which a checkpoint may be scored with others of
    names_scenes = False  # whether there is `scene_probabilities(batch)` -> (B,N), N in the numbers of the labels

    @abstractmethod
    def answer(self, batch):
        """The prediction for a batch of a data set. RGB (B,3,H,W) in [0,1]."""

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

    def on_save_checkpoint(self, checkpoint):
        super().on_save_checkpoint(checkpoint)
        checkpoint["class_names"] = self.class_names

    def validation_means(self):
        """{val/name: mean over the samples of all ranks}, each counted once, added up in the order of the index."""
        shares = dict(sum(gather_objects(self.score_rows), []))  # by index: a rank without an image repeats the first
        rows = [shares[index] for index in sorted(shares)]
        return {f"val/{name}": math.fsum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def on_validation_epoch_end(self):
        self.log_dict(self.validation_means(), logger=False)


class ColorizationModule(TaskModule):
    """Grey in, colour out. A paper gives `predict_chroma`; one in another colour space than Lab overrides `lightness`
    and `join`, one that learns from more than the image `answer`."""

    stride = 8  # the network's input sides must be multiples of this
    headline = Headline("PSNR", "psnr", "psnr_grey", "the trivial grey answer")

    @abstractmethod
    def predict_chroma(self, lightness):
        """What `lightness` gives, (B,1,H,W) with H and W multiples of `stride` -> chroma (B,2,h,w) of any size.

        In Lab: L in [0,100] -> ab, unnormalised. Elsewhere: what `join` takes.
        """

    def lightness(self, image):
        """What of an image is kept. RGB in [0,1] (B,3,H,W) -> L (B,1,H,W) in [0,100]."""
        return rgb_to_lab(image)[:, :1]

    def join(self, lightness, chroma, keep_lightness=False):
        """L (B,1,H,W) and ab (B,2,H,W) -> RGB in [0,1], each pixel by itself. Colours beyond sRGB are clipped, as the
        papers do, which may move their lightness; `keep_lightness` takes so much of their chroma away that none is."""
        lab = torch.cat([lightness, chroma], dim=1)
        return lab_to_rgb(reduce_chroma(lab) if keep_lightness else lab)

    def network_size(self, height, width, side=None):
        """[h, w] at which the network sees H x W: shorter side `side` (None: as it is), aspect kept, both rounded to
        multiples of `stride`. An image longer than 1:4 is seen smaller, at a longer side of 4 times `side`."""
        scale = 1.0 if side is None else min(side / min(height, width), LONGEST * side / max(height, width))
        return [max(self.stride, round(length * scale / self.stride) * self.stride) for length in (height, width)]

    def network_lightness(self, lightness, side=None):
        """What `lightness` gives, (B,1,H,W), at the network's size."""
        size = self.network_size(*lightness.shape[-2:], side)
        if size == list(lightness.shape[-2:]):
            return lightness
        return F.interpolate(lightness, size, mode="bilinear", align_corners=False, antialias=True)

    def colorize(self, image, side=None):
        """RGB in [0,1] of any size, grey or not -> RGB in [0,1] (B,3,H,W) with the same lightness and predicted colour.

        Colour is predicted at the network's size for `side`, enlarged, joined with the full-size lightness and clipped.
        """
        lightness = self.lightness(image)
        chroma = self.predict_chroma(self.network_lightness(lightness, side)).float()
        chroma = F.interpolate(chroma, lightness.shape[-2:], mode="bilinear", align_corners=False)
        return self.join(lightness, chroma)

    def answer(self, batch):
        return self.colorize(batch["image"])

    def scores(self, batch):
        image = batch["image"]
        return {"psnr": psnr(self.answer(batch), image), "psnr_grey": psnr(grey(image), image)}

    def panels(self, batch):
        image = batch["image"]
        return {"grey input": grey(image), "prediction": self.answer(batch), "truth": image}


def grey(image):
    """The image with its ab set to 0. RGB in [0,1]. The trivial answer to colorization."""
    lab = rgb_to_lab(image)
    return lab_to_rgb(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], dim=1))


class InpaintingModule(TaskModule):
    """A photograph with a hole in, without one out. A paper gives `complete`."""

    headline = Headline("PSNR in the hole", "psnr_hole", "psnr_hole_mean_fill", "filling with the mean colour")

    @abstractmethod
    def complete(self, image, mask):
        """image RGB in [0,1] (B,3,H,W) of any size, mask (B,1,H,W) with 1 = hole -> RGB in [0,1], hole filled.

        What lies in the hole of `image` has no influence. Outside the hole the result is `image`, bit for bit.
        """

    def pieces(self, image, mask):
        """What `complete` changes, as Pieces, for photographs too large to be in float. A paper that works part by part
        overrides it. image: as there, or uint8, into which each Piece may be pasted as it comes; mask also bool."""
        done = self.complete(as_float(image), mask.float())
        for number, hole in enumerate(mask[:, 0] > 0):
            if hole.any():
                yield piece_of(number, 0, 0, hole, done[number])

    def check(self, batch):
        if "mask" not in batch:
            raise ValueError("inpainting learns from holes; give masks@data.masks=centre or another generator")

    def answer(self, batch):
        return self.complete(batch["image"], batch["mask"])

    def scores(self, batch):
        image, mask = batch["image"], batch["mask"]
        done, trivial = self.answer(batch), mean_fill(image, mask)
        return {
            "psnr": psnr(done, image),
            "psnr_hole": psnr_in_hole(done, image, mask),
            "psnr_hole_mean_fill": psnr_in_hole(trivial, image, mask),
        }

    def panels(self, batch):
        image, mask = batch["image"], batch["mask"]
        shown = image * (1 - mask) + mask  # the hole in white
        return {"input": shown, "completed": self.answer(batch), "truth": image}
