"""Images to labels by the features of another paper's network: what probes and fine-tuning share. No optimisation.

B batch, H W image, N classes.
"""

import json
from abc import abstractmethod
from dataclasses import dataclass
from itertools import chain, islice
from textwrap import shorten

import torch

from lightning_modules.ops.class_maps import colours
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.encoder import build_encoder, trained_encoder, untrained_encoder
from lightning_modules.tasks import TaskModule

INITIAL_BATCHES = 32  # that tell the trivial answer
TRIVIAL_ANSWER = "the commonest class"


@dataclass(kw_only=True)
class ClassificationConfig:
    checkpoint: str | None = None  # of a colorizer or an inpainter, whose features are judged; for a fresh run
    weights: str = "trained"  # trained | untrained: the same network as its own training begins with it
    classes: int | None = None  # N; None: as many as the data set names
    features: int = 10_000  # most numbers that a layer's features may have: maps are averaged to a coarser grid

    def __post_init__(self):
        if self.weights not in ("trained", "untrained"):
            raise ValueError(f"model.weights must be trained or untrained, got {self.weights!r}")
        if self.classes is not None and self.classes < 2:
            raise ValueError(f"model.classes must be at least 2, got {self.classes}")
        if self.features < 1:
            raise ValueError(f"model.features must be at least 1, got {self.features}")


class ClassificationModule(TaskModule):
    """A subclass gives `layers`, `plan`, `assemble` and `logits`.

    What the checkpoint and the data decide, the `recipe`, is kept in the state: the encoder's settings, the number of
    classes, and whatever `plan` adds. So the module's own checkpoint rebuilds it without the first one.

    encoder   the other paper's module; None until there is a recipe
    commonest label of most of the first training images, the trivial answer
    """

    def __init__(self, cfg):
        super().__init__(cfg)
        self.encoder, self.recipe = None, None
        self.register_buffer("commonest", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def layers(self):
        """Names of the layers of the encoder that features are taken from; ValueError where the user gave none."""

    @abstractmethod
    def plan(self, encoder, batch):
        """What the recipe holds beside encoder and classes, as JSON can: {name: value}."""

    @abstractmethod
    def assemble(self, recipe):
        """Makes the layers on top of the encoder, as the recipe says."""

    @abstractmethod
    def logits(self, batch):
        """(B,N) of the answer that a picture shows."""

    def check(self, batch):
        if "label" not in batch:
            raise ValueError("features are judged by labels, which this data set has not; try data=synthetic")
        classes, names = self.cfg.classes, self.class_names
        if classes is None and names is None:
            raise ValueError("this data set does not name its classes; give their number, model.classes=N")
        most = max(len(names or ()), batch["label"].max().item() + 1)
        if classes is not None and most > classes:
            raise ValueError(f"the data has at least {most} classes; model.classes is {classes}")

    def initialise(self, batches):
        """Reads the checkpoint; makes the untrained twin; counts the first labels."""
        cfg, batches = self.cfg, iter(batches)
        first = next(batches)
        if cfg.checkpoint is None:
            raise ValueError(
                "give model.checkpoint=PATH, of a colorizer or an inpainter whose features are to be judged"
            )
        if cfg.weights == "trained":
            encoder, settings = trained_encoder(cfg.checkpoint, self.layers(), first)
        else:
            encoder, settings = untrained_encoder(cfg.checkpoint, self.seed, chain([first], batches))
        classes = cfg.classes or len(self.class_names)
        self.use({"encoder": settings, "classes": classes} | self.plan(encoder, first), encoder)
        labels = torch.cat([first["label"], *(batch["label"] for batch in islice(batches, INITIAL_BATCHES - 1))])
        self.commonest.copy_(torch.bincount(labels).argmax())

    def use(self, recipe, encoder):
        self.recipe, self.encoder = recipe, encoder
        self.assemble(recipe)
        self.train(self.training)

    def get_extra_state(self):
        """The recipe as a tensor of the bytes of its JSON, since ranks exchange the state as tensors."""
        return torch.tensor(list(json.dumps(self.recipe).encode()), dtype=torch.uint8)

    def set_extra_state(self, state):
        """Called before the states of submodules are loaded, which is when these are made."""
        try:
            recipe = json.loads(bytes(state.tolist()))
            if recipe != self.recipe:
                self.use(recipe, build_encoder(recipe["encoder"]))
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError) as error:
            reason = shorten(f"{type(error).__name__}: {error}", 200)
            raise CheckpointError(f"the recipe of {type(self).__name__} cannot be used ({reason})") from None

    def train(self, mode=True):
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()  # batch norm keeps the statistics of the encoder's own training
        return self

    def answer(self, batch):
        """Each image as the plain colour of its class."""
        return self.picture(self.logits(batch).argmax(1), batch)

    def picture(self, label, batch):
        return colours(label[:, None, None]).expand_as(batch["image"])

    def panels(self, batch):
        return {"input": batch["image"], "class": self.answer(batch), "truth": self.picture(batch["label"], batch)}

    def trivial(self, batch):
        """{accuracy_trivial: (B,)}"""
        return {"accuracy_trivial": (batch["label"] == self.commonest).float()}


def hits(logits, label):
    """{top1: (B,), and top5 where there are more than five classes}: 1 where the label is among the first."""
    first = logits.topk(min(5, logits.shape[1])).indices
    right = (first == label[:, None]).float()  # (B,5), at most one is 1
    return {"top1": right[:, 0]} | ({"top5": right.sum(1)} if logits.shape[1] > 5 else {})
