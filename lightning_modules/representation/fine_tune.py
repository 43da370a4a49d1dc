"""Fine-tuning for classification: a network that learnt from images alone, with new layers on top, on labels.

As Context Encoders (Pathak, Krähenbühl, Donahue, Darrell and Efros, CVPR 2016) and Colorful Image Colorization (Zhang,
Isola and Efros, ECCV 2016) judge their features: AlexNet up to pool5 and its fully connected layers with new weights,
everything trained or only the layers from one on. Rate, its halving, weight decay and new weights are those of the code
that both used (philkr/voc-classification), as is clip_norm=10 in the experiments.
B batch, N classes, D features of the layer.
Departs from them: one label an image and cross-entropy, where PASCAL VOC has several and a sigmoid for each, so that
no number here is to be compared with their mAP; images are cropped as the data set says. Momentum is chosen here.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from lightning_modules.classification import TRIVIAL_ANSWER, ClassificationConfig, ClassificationModule, hits
from lightning_modules.ops.layer_maps import layer_named
from lightning_modules.pretrained.encoder import features, order_of_layers
from lightning_modules.tasks import Headline

DROPOUT = 0.5  # AlexNet's, after each hidden layer
MOMENTUM = 0.9


@dataclass(kw_only=True)
class FineTuneConfig(ClassificationConfig):
    layer: str | None = None  # the last that is kept, by its name in named_modules
    train_from: str | None = None  # the first layer that is trained; None: all; `head`: none of the encoder's
    hidden: int = 4096  # units of the two new hidden layers; 0: a linear classifier
    lr: float = 1e-3
    halve_every: int = 10_000  # iterations after which the rate is halved
    weight_decay: float = 1e-6

    def __post_init__(self):
        super().__post_init__()
        if self.hidden < 0:
            raise ValueError(f"model.hidden must be 0 or more, got {self.hidden}")
        if self.halve_every < 1:
            raise ValueError(f"model.halve_every must be at least 1, got {self.halve_every}")


def new_head(size, hidden, classes):
    """Features (B,D) -> logits (B,N): AlexNet's fc6 to fc8. Weights from N(0, 0.01), biases 0.1."""
    widths = [size, hidden, hidden] if hidden else [size]
    layers = []
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True), nn.Dropout(DROPOUT)]
    head = nn.Sequential(*layers, nn.Linear(widths[-1], classes))
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, 0.1)
    return head


class FineTune(ClassificationModule):
    Config = FineTuneConfig
    monitor = "val/top1"
    headline = Headline("top-1 accuracy", "top1", "accuracy_trivial", TRIVIAL_ANSWER, unit="%", factor=100)

    def __init__(self, **overrides):
        super().__init__(FineTuneConfig(**overrides))
        self.head = None

    def layers(self):
        if self.cfg.layer is None:
            raise ValueError("give model.layer=NAME, the last layer that is kept, as `named_modules` has it")
        return [self.cfg.layer]

    def plan(self, encoder, batch):
        with torch.no_grad():
            size = self.features_of(encoder, batch).shape[1]
            return {"size": size, "trained": self.trained_layers(encoder, batch)}

    def trained_layers(self, encoder, batch):
        """Names of the innermost layers that are trained: those that run from `train_from` up to `layer`."""
        start, last = self.cfg.train_from, self.cfg.layer
        order = order_of_layers(encoder, last, batch)
        if start is None or start == "head":
            return order if start is None else []
        layer_named(encoder, start)  # or an error with the nearest
        inside = [number for number, name in enumerate(order) if f"{name}.".startswith(f"{start}.")]
        if not inside:
            raise ValueError(f"model.train_from: '{start}' does not run before the end of model.layer = '{last}'")
        return order[inside[0] :]

    def assemble(self, recipe):
        self.head = new_head(recipe["size"], self.cfg.hidden, recipe["classes"])
        for name in recipe["trained"]:
            self.encoder.get_submodule(name).requires_grad_(True)

    def train(self, mode=True):
        super().train(mode)
        for name in self.recipe["trained"] if self.recipe else ():
            self.encoder.get_submodule(name).train(mode)
        return self

    def features_of(self, encoder, batch):
        """(B,D)"""
        return features(encoder, self.layers(), batch, self.cfg.features)[self.cfg.layer]

    def logits(self, batch):
        return self.head(self.features_of(self.encoder, batch)).float()

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.logits(batch), batch["label"])
        self.update("g", self.optimizers(), loss, cross_entropy=loss)

    def scores(self, batch):
        return hits(self.logits(batch), batch["label"]) | self.trivial(batch)

    def lr_factor(self, iteration):
        return 0.5 ** ((iteration - 1) // self.cfg.halve_every)

    def configure_optimizers(self):
        cfg = self.cfg
        parameters = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.SGD(parameters, cfg.lr, momentum=MOMENTUM, weight_decay=cfg.weight_decay)
