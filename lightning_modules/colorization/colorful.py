"""Colorful Image Colorization. Zhang, Isola and Efros, ECCV 2016.

B batch, H W image, Q = 313 colour bins, K nearest bins. L in [0,100], ab unnormalised. Section and equation numbers are
the paper's; "Caffe" and "PyTorch" are the authors' two releases (richzhang/colorization).
Departs from them: the initial filters are random instead of k-means, scaled to unit variance as theirs; batch norm has
weight and bias, as in PyTorch but not in Caffe, so that the default network has the 82 keys of the released PyTorch
file; running statistics follow PyTorch's momentum. The prior that is built in approximates the authors'.
"""

from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn

from lightning_modules.color.ab_bins import (
    MOST_NEIGHBOURS,
    ab_bins,
    annealed_mean,
    published_prior,
    read_prior,
    rebalancing_weights,
    soft_encode,
)
from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.losses.color_classes import class_cross_entropy, grey_mask, l2_sum, pixel_weights, target_entropy
from lightning_modules.networks.data_dependent_init import data_dependent_init_
from lightning_modules.networks.he_init import he_init_
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.equal_layers import load_equal_layers_
from lightning_modules.pretrained.published import Published, Refused, shape
from lightning_modules.tasks import ColorizationModule

BINS = 313  # Q, Sec. 2.1
OUTPUT_STRIDE = 4  # the network's output is (B,C,H/4,W/4)
INITIAL_BATCHES = 2  # that every layer has unit variance on
AB_NORM = 110.0  # the PyTorch release's unit of ab, in which it keeps the bins
SCHEDULES = {  # after so many iterations: what the learning rate is multiplied with
    "paper": {200_000: 1 / 3, 375_000: 1 / 10},  # 3e-5, 1e-5, 3e-6; about 450k iterations
    "solver": {225_000: 1 / 10, 450_000: 1 / 100},  # Caffe's solver.prototxt: steps of 225k, at most 500k
}
CHOICES = {"loss": ("class", "l2"), "schedule": tuple(SCHEDULES), "init": ("data_dependent", "he", "normal")}


@dataclass(kw_only=True)
class ColorfulConfig:
    # Network (Sec. 3.1, layers as in the release)
    width: int = 64  # channels of the first block; the others scale with it
    affine_norm: bool = True  # weight and bias in batch norm: PyTorch release yes, Caffe no
    # Loss (Sec. 2)
    loss: str = "class"  # class: Eq. 2 | l2: Eq. 1, the same layers with two output channels instead of 313
    neighbours: int = 5  # K of the soft targets, Sec. 2.1; Caffe: 10; 1 gives one-hot targets
    rebalance_lambda: float = 0.5  # Eq. 4: share of the uniform distribution; 1 turns rebalancing off
    prior: str | None = None  # .npy or .json with the 313 frequencies of the bins; None: about the authors' of ImageNet
    # Decoding (Sec. 2.3)
    temperature: float = 0.38  # Eq. 5; Caffe: 1 / 2.606 = 0.3837
    working_side: int = 256  # shorter side that `chromafill colorize` shows to the network
    # Training (Sec. 3.1)
    lr: float = 3e-5
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 1e-3  # added to the gradient, as in Caffe; balanced against a loss summed over space
    schedule: str = "paper"  # paper | solver, see SCHEDULES
    init: str = "data_dependent"  # data_dependent | he | normal, deviation 0.01
    init_from: str | None = None  # checkpoint or .pth whose layers of equal name and shape a fresh run starts from

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"model.{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}")
        if self.width < 1:
            raise ValueError(f"model.width must be at least 1, got {self.width}")
        if not 1 <= self.neighbours <= MOST_NEIGHBOURS:
            raise ValueError(f"model.neighbours must be between 1 and {MOST_NEIGHBOURS}, got {self.neighbours}")
        if not 0 <= self.rebalance_lambda <= 1:
            raise ValueError(f"model.rebalance_lambda must lie in [0, 1], 1 for none; got {self.rebalance_lambda}")
        if self.temperature < 0:
            raise ValueError(f"model.temperature must be 0 (mode) or more (1: mean), got {self.temperature}")


def conv_block(channels, strides, dilation, affine_norm):
    """3x3 convolutions from channels[0] to channels[1], each with ReLU, and batch norm after the last ReLU."""
    (before, after), layers = channels, []
    for stride in strides:
        layers += [nn.Conv2d(before, after, 3, stride, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
        before = after
    return nn.Sequential(*layers, nn.BatchNorm2d(after, affine=affine_norm))


class ColorfulNet(nn.Module):
    """L (B,1,H,W) in [0,100], H and W multiples of 8 -> logits of the bins (B,313,H/4,W/4), or ab (B,2,H/4,W/4).

    State keys are those of the PyTorch release. `model_out`, its fixed last layer (bin centres / 110), is there for the
    file's sake: the distribution is decoded by `annealed_mean`. `regression` gives ab directly, in plain units.
    """

    def __init__(self, width=64, affine_norm=True, regression=False):
        super().__init__()
        w1, w2, w4, w8 = width, 2 * width, 4 * width, 8 * width
        self.model1 = conv_block((1, w1), (1, 2), 1, affine_norm)
        self.model2 = conv_block((w1, w2), (1, 2), 1, affine_norm)
        self.model3 = conv_block((w2, w4), (1, 1, 2), 1, affine_norm)
        self.model4 = conv_block((w4, w8), (1, 1, 1), 1, affine_norm)
        self.model5 = conv_block((w8, w8), (1, 1, 1), 2, affine_norm)
        self.model6 = conv_block((w8, w8), (1, 1, 1), 2, affine_norm)
        self.model7 = conv_block((w8, w8), (1, 1, 1), 1, affine_norm)
        self.model8 = nn.Sequential(
            nn.ConvTranspose2d(w8, w4, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w4, w4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w4, w4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(w4, 2 if regression else BINS, 1),
        )
        if not regression:
            self.model_out = nn.Conv2d(BINS, 2, 1, bias=False).requires_grad_(False)
            with torch.no_grad():
                self.model_out.weight.copy_(ab_bins().T[:, :, None, None] / AB_NORM)

    def forward(self, lightness):
        x = (lightness - 50) / 100
        for block in (self.model1, self.model2, self.model3, self.model4, self.model5, self.model6, self.model7):
            x = block(x)
        return self.model8(x)

    def trained_layers(self):
        """Every convolution but the fixed one, in the order of the forward pass."""
        return [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d) and m.bias is not None]


@torch.no_grad()
def narrow_init_(layers):
    """Weights from N(0, 0.01) and zero biases, as in AlexNet: too small to carry a signal through 23 layers."""
    for layer in layers:
        layer.weight.normal_(0, 0.01)
        layer.bias.zero_()


def width_of(state):
    """The width of a network from its largest layers, 8 times as wide."""
    return max(1, min(shape(state, "network.model7.0.weight", 4)[:2]) // 8)


def released_settings(state):
    """The PyTorch release decodes with a plain softmax; its annealing must be inside the last layer."""
    return {"width": width_of(state), "temperature": 1.0}


def with_our_bins(state):
    """CheckpointError where the classes of a file are not the 313 bins in our order."""
    centres = ab_bins().T[:, :, None, None]
    found = state["network.model_out.weight"] * AB_NORM
    if found.shape == centres.shape and not torch.allclose(found.float(), centres, atol=0.01):
        raise CheckpointError("model_out.weight * 110 are not the centres of the 313 bins")
    return state


def caffe_settings(state):
    return {"width": width_of(state), "affine_norm": False, "temperature": 1 / 2.606}


def from_caffe(state):
    """Caffe's network sees L - 50, ours (L - 50) / 100."""
    return state | {"network.model1.0.weight": state["network.model1.0.weight"] * 100}


CAFFE_BLOCKS = dict(enumerate((2, 2, 3, 3, 3, 3, 3, 3), start=1))  # convolutions of each
CAFFE_KEYS = {
    f"conv{block}_{number + 1}": f"network.model{block}.{2 * number}"
    for block, count in CAFFE_BLOCKS.items()
    for number in range(count)
} | {f"conv{block}_{count}norm": f"network.model{block}.{2 * count}" for block, count in CAFFE_BLOCKS.items()}
del CAFFE_KEYS["conv1_1"], CAFFE_KEYS["conv8_3norm"]
CAFFE_KEYS |= {"bw_conv1_1": "network.model1.0", "conv8_313": "network.model8.6"}
CLASS_WEIGHTS = {"bin_weights": "the weights of the loss for the prior that is built in"}
PUBLISHED = (
    Published(
        name="eccv16",
        source="the authors' PyTorch release (colorization_release_v2-9b330a0b.pth)",
        licence="BSD-2-Clause (from memory)",
        keys={f"model{part}": f"network.model{part}" for part in (1, 2, 3, 4, 5, 6, 7, 8, "_out")},
        settings=released_settings,
        values=with_our_bins,
        missing=CLASS_WEIGHTS,
        notes=("decoded by a plain softmax, as its own code does: the annealing must be inside the last layer",),
    ),
    Published(
        name="caffe",
        source="the authors' Caffe release (colorization_release_v2.caffemodel, ..._v2_norebal.caffemodel)",
        licence="UC Regents, 2016: free use, commercial as well, with its notice kept",
        keys=CAFFE_KEYS,
        settings=caffe_settings,
        values=from_caffe,
        unused=("class8_ab", "conv8_313_rh", "data_l_meansub", "data_ab_ss"),  # constants, which are code here
        missing=CLASS_WEIGHTS | {"network.model_out": "the centres of the bins"},
    ),
    Refused(
        name="siggraph17",
        source="siggraph17-df00044c.pth",
        marks=("model3short8", "model_class"),
        why="the network of a later paper, with colour hints (4 input channels) and 529 classes; eccv16 is this one's",
    ),
)


class Colorful(ColorizationModule):
    Config = ColorfulConfig
    decoding = ("temperature",)

    def __init__(self, **overrides):
        super().__init__(ColorfulConfig(**overrides))
        cfg = self.cfg
        self.network = ColorfulNet(cfg.width, cfg.affine_norm, regression=cfg.loss == "l2")
        (narrow_init_ if cfg.init == "normal" else he_init_)(self.network.trained_layers())
        self.register_buffer("bin_weights", rebalancing_weights(published_prior(), cfg.rebalance_lambda))  # w, Eq. 4

    def initialise(self, batches):
        """Reads `prior` and `init_from`; brings every layer that is still random to unit variance on these batches."""
        if self.cfg.prior is not None:
            prior = read_prior(self.cfg.prior, "model.prior")
            self.bin_weights.copy_(rebalancing_weights(prior, self.cfg.rebalance_lambda))
        fresh = self.network.trained_layers()
        if self.cfg.init_from is not None:
            left = load_equal_layers_(self.network, self.cfg.init_from)
            fresh = [m for name, m in self.network.named_modules() if f"{name}.weight" in left and m in fresh]
        if self.cfg.init == "data_dependent":
            images = [batch["image"] for batch in islice(batches, INITIAL_BATCHES)]
            lightness = rgb_to_lab(torch.cat(images))[:, :1]
            data_dependent_init_(self.network, fresh, lightness)

    def forward(self, lightness):
        return self.network(lightness)

    def predict_chroma(self, lightness):
        output = self(lightness).float()
        return output if self.cfg.loss == "l2" else annealed_mean(output, self.cfg.temperature)

    def training_step(self, batch, batch_idx):
        lab = rgb_to_lab(batch["image"])
        ab = lab[:, 1:, ::OUTPUT_STRIDE, ::OUTPUT_STRIDE]  # (B,2,H/4,W/4): every fourth pixel, no averaging
        output = self(lab[:, :1])  # (B,313,H/4,W/4)
        if self.cfg.loss == "l2":
            loss = l2_sum(output, ab)  # Eq. 1
            self.update("g", self.optimizers(), loss, l2=loss)
            return
        index, weight = soft_encode(ab, self.cfg.neighbours)  # Z, (B,K,H/4,W/4) each
        cost = class_cross_entropy(output, index, weight)  # (B,1,H/4,W/4)
        v = pixel_weights(index, weight, self.bin_weights) * grey_mask(ab)  # Eq. 3; a grey image teaches nothing
        loss = (v * cost).sum() / len(cost)  # Eq. 2: the sum over space, the mean over images
        cross_entropy = cost.sum() / len(cost)
        caffe_kl = cross_entropy - target_entropy(weight)  # what Caffe prints: 7715 for the release at 256 x 256
        self.update("g", self.optimizers(), loss, cross_entropy=cross_entropy, caffe_kl=caffe_kl)

    def lr_factor(self, iteration):
        passed = [factor for after, factor in SCHEDULES[self.cfg.schedule].items() if iteration > after]
        return min(passed, default=1.0)

    def configure_optimizers(self):
        cfg = self.cfg
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        return torch.optim.Adam(parameters, cfg.lr, betas=(cfg.beta1, cfg.beta2), weight_decay=cfg.weight_decay)
