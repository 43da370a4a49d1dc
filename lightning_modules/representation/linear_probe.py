"""Linear probes: how well frozen features of each layer of a network tell classes apart.

As in Colorful Image Colorization (Zhang, Isola and Efros, ECCV 2016), Sec. 3.3 and Fig. 7: a linear classifier on the
features of every layer, averaged to a grid that leaves each below about 10,000 numbers; the network is not changed.
B batch, N classes, D features of a layer.
Not stated there and chosen here: Adam and its rate, and that every feature is brought to mean 0 and variance 1 by the
running statistics of a batch norm without weights, since layers differ in scale; the classifier is linear all the same.
That paper probes an AlexNet trained to colorize; here it is any network of this project, by the names of its layers,
each of which gives what the module of that name returns: a convolution what it has before its ReLU.
"""

import logging
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.nn import functional as F

from lightning_modules.classification import TRIVIAL_ANSWER, ClassificationConfig, ClassificationModule, hits
from lightning_modules.pretrained.encoder import features
from lightning_modules.tasks import Headline

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class LinearProbeConfig(ClassificationConfig):
    layers: list[str] = field(default_factory=list)  # names as in named_modules, each with a probe of its own
    lr: float = 1e-3


class LinearProbe(ClassificationModule):
    """One run trains the probes of all layers. Its score is that of the best layer, chosen on the very images that it
    is measured on: for a number to report, name one layer."""

    Config = LinearProbeConfig
    monitor = "val/accuracy"
    headline = Headline("top-1 accuracy", "accuracy", "accuracy_trivial", TRIVIAL_ANSWER, unit="%", factor=100)

    def __init__(self, **overrides):
        super().__init__(LinearProbeConfig(**overrides))
        self.probes = nn.ModuleList()  # in the order of cfg.layers

    def layers(self):
        if not self.cfg.layers:
            raise ValueError("give model.layers=[NAME,...], names of layers as `named_modules` has them")
        return list(dict.fromkeys(self.cfg.layers))

    def plan(self, encoder, batch):
        found = self.features_of(encoder, batch)
        return {"sizes": [feature.shape[1] for feature in found.values()]}

    def assemble(self, recipe):
        self.probes = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(size, affine=False), nn.Linear(size, recipe["classes"]))
            for size in recipe["sizes"]
        )

    @torch.no_grad()
    def features_of(self, encoder, batch):
        """{layer: (B,D)}"""
        return features(encoder, self.layers(), batch, self.cfg.features)

    def forward(self, batch):
        """{layer: logits (B,N)}"""
        found = self.features_of(self.encoder, batch)
        return {layer: probe(found[layer]).float() for layer, probe in zip(found, self.probes, strict=True)}

    def logits(self, batch):
        """Those of the last layer that was named."""
        return self(batch)[self.layers()[-1]]

    def check(self, batch):
        super().check(batch)
        if len(batch["label"]) < 2:
            raise ValueError("features are standardised over a batch; give data.batch_size=2 or more")

    def training_step(self, batch, batch_idx):
        terms = {layer: F.cross_entropy(logits, batch["label"]) for layer, logits in self(batch).items()}
        self.update("g", self.optimizers(), sum(terms.values()), **terms)  # each probe has the gradient of its own

    def scores(self, batch):
        scores = self.trivial(batch)
        for layer, logits in self(batch).items():
            scores |= {f"{name}/{layer}": hit for name, hit in hits(logits, batch["label"]).items()}
        return scores

    def validation_means(self):
        """Those of each layer, and `val/accuracy`, the highest top-1, whose layer the headline then names."""
        means = super().validation_means()
        top1 = {layer: means[f"val/top1/{layer}"] for layer in self.layers()}
        best = max(top1, key=top1.get)
        choice = f" of {best}, the best of {len(top1)} layers on these images:" if len(top1) > 1 else f" of {best}"
        self.headline = replace(type(self).headline, title=type(self).headline.title + choice)
        if self.global_rank == 0:
            log.info("top-1, %%: %s", "  ".join(f"{layer} {100 * value:.2f}" for layer, value in top1.items()))
        return means | {"val/accuracy": top1[best]}

    def configure_optimizers(self):
        return torch.optim.Adam(self.probes.parameters(), self.cfg.lr)
