"""A scene parser for grey images: the classes that Deep Colorization (Cheng, Yang, Sheng, ICCV 2015) takes as feature.

That paper uses a trained FCN (Long, Shelhamer, Darrell, CVPR 2015) of which it states no data; here a small one
is trained on the class maps of a data set, from the luma Y alone, which is all that a colorizer sees.
B batch, H W image, C classes.
"""

from dataclasses import dataclass
from itertools import islice

import torch
from torch.nn import functional as F

from lightning_modules.color.yuv import rgb_to_yuv
from lightning_modules.networks.fcn import FCN
from lightning_modules.ops.class_maps import UNLABELLED, class_numbers, colours, require_labels
from lightning_modules.tasks import Headline, TaskModule

INITIAL_BATCHES = 32  # that tell the trivial answer


@dataclass(kw_only=True)
class SceneParserConfig:
    classes: int = 33  # SIFT Flow's
    first_label: int = 1  # the label of class 0; labels outside the classes are not taught (SIFT Flow: 0, unlabelled)
    width: int = 32  # channels of the first stage; the others scale with it
    lr: float = 1e-3

    def __post_init__(self):
        if self.classes < 2:
            raise ValueError(f"model.classes must be at least 2, got {self.classes}")
        if self.width < 1:
            raise ValueError(f"model.width must be at least 1, got {self.width}")


def luma(image):
    """RGB (B,3,H,W) in [0,1] -> Y (B,1,H,W) in [0,1]."""
    return rgb_to_yuv(image)[:, :1]


def pixel_accuracy(predicted, truth):
    """(B,) share of the labelled pixels that are right; 0 for an image without any. Class numbers (B,H,W)."""
    labelled = truth != UNLABELLED
    right = (predicted == truth) & labelled
    return right.sum((1, 2)) / labelled.sum((1, 2)).clamp(min=1)


class SceneParser(TaskModule):
    """Trivial answer: the class that most pixels of the first batches have, everywhere."""

    Config = SceneParserConfig
    monitor = "val/accuracy"
    headline = Headline(
        "pixel accuracy", "accuracy", "accuracy_trivial", "the most frequent class everywhere", unit="%", factor=100
    )

    def __init__(self, **overrides):
        super().__init__(SceneParserConfig(**overrides))
        self.network = FCN(self.cfg.classes, self.cfg.width)
        self.register_buffer("commonest", torch.zeros((), dtype=torch.int64))

    def check(self, batch):
        if "semantic" not in batch:
            raise ValueError("a scene parser learns from class maps, which this data set has not; try data=synthetic")
        require_labels(batch["semantic"], self.cfg.classes, self.cfg.first_label)

    def initialise(self, batches):
        numbers = torch.cat([self.truth(batch).flatten() for batch in islice(batches, INITIAL_BATCHES)])
        self.commonest.copy_(torch.bincount(numbers[numbers != UNLABELLED], minlength=self.cfg.classes).argmax())

    def truth(self, batch):
        """Class numbers (B,H,W)."""
        return class_numbers(batch["semantic"], self.cfg.classes, self.cfg.first_label)

    def forward(self, grey):
        return self.network(grey)

    def predict(self, image):
        """RGB (B,3,H,W) in [0,1], grey or not, any size -> class numbers (B,H,W)."""
        return self(luma(image)).argmax(1)

    def training_step(self, batch, batch_idx):
        logits = self(luma(batch["image"])).float()
        truth = self.truth(batch)
        labelled = (truth != UNLABELLED).sum().clamp(min=1)
        loss = F.cross_entropy(logits, truth, ignore_index=UNLABELLED, reduction="sum") / labelled
        self.update("g", self.optimizers(), loss, cross_entropy=loss)

    def answer(self, batch):
        return colours(self.predict(batch["image"]))

    def scores(self, batch):
        truth = self.truth(batch)
        trivial = self.commonest.expand_as(truth)
        return {
            "accuracy": pixel_accuracy(self.predict(batch["image"]), truth),
            "accuracy_trivial": pixel_accuracy(trivial, truth),
        }

    def panels(self, batch):
        grey = luma(batch["image"]).expand(-1, 3, -1, -1)
        return {"grey input": grey, "prediction": self.answer(batch), "truth": colours(self.truth(batch))}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.cfg.lr)
