"""Let there be Color! Iizuka, Simo-Serra and Ishikawa, ACM Transactions on Graphics 35(4) (SIGGRAPH), 2016.

Joint End-to-end Learning of Global and Local Image Priors for Automatic Image Colorization with Simultaneous
Classification.

B batch, H W image, multiples of 8, S side of the global view, N classes, C output channels. Y is luma in [0,1].
Table, figure and equation numbers are the paper's; "released script" is colorize.lua of its authors
(satoshiiizuka/siggraph2016_colorization), which comes with trained networks but not with training code.
Where paper and release are silent: the squared error of Eq. 6 is a mean over images, channels and pixels, as Torch7's
criterion is, since only then are both terms of similar size, which is what alpha was chosen for; batch norm stands
before every ReLU and not on the two outputs; initial weights are uniform within 1 / sqrt(fan in), Torch7's and
PyTorch's default; Y is centred by 0.5, where a released network brings its own mean.
Departs from the released script, which finds the L that goes with ab by reading (Y,Y,Y) as YUV: too high, 72 instead of
53 for a grey of 0.5, so that its chroma is a little off. Here it is the L of the grey image. Both give the result the
Y of the input. The paper removed images with little colour from its training data, by a threshold it does not state.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from lightning_modules.color.lab import lab_to_rgb, rgb_to_lab
from lightning_modules.color.yuv import reduce_uv, rgb_to_yuv, yuv_to_rgb
from lightning_modules.pretrained.equal_layers import load_equal_layers_
from lightning_modules.pretrained.published import Published, shape
from lightning_modules.pretrained.unnamed_layers import named_by_shape, places_of
from lightning_modules.tasks import ColorizationModule

GLOBAL_STRIDE = 32  # of the global features: FC1 sees (S / 32)^2 positions
OUTPUT_STRIDE = 2  # the network's output is (B,C,H/2,W/2)


def uv_of_lab(luma, ab):
    """Y (B,1,H,W) and ab (B,2,H,W) -> UV (B,2,H,W): of the colour with this ab and the L of the grey (Y,Y,Y)."""
    lightness = rgb_to_lab(luma.expand(-1, 3, -1, -1))[:, :1]
    return rgb_to_yuv(lab_to_rgb(torch.cat([lightness, ab], dim=1)))[:, 1:]


class ColorSpace(NamedTuple):
    """What the network predicts: chroma (B,C,H,W), scaled so that `low` to `high` of each channel is 0 to 1."""

    low: tuple
    high: tuple
    chroma: Callable  # RGB (B,3,H,W) -> chroma
    uv: Callable  # Y (B,1,H,W), chroma -> UV (B,2,H,W)

    def encode(self, image):
        """RGB (B,3,H,W) -> scaled chroma, clipped to [0,1]."""
        low, high = (image.new_tensor(end)[:, None, None] for end in (self.low, self.high))
        return ((self.chroma(image) - low) / (high - low)).clamp(0, 1)

    def decode(self, scaled):
        """Scaled chroma -> chroma."""
        low, high = (scaled.new_tensor(end)[:, None, None] for end in (self.low, self.high))
        return low + scaled * (high - low)


COLOR_SPACES = {  # Fig. 9
    "lab": ColorSpace((-100, -100), (100, 100), lambda image: rgb_to_lab(image)[:, 1:], uv_of_lab),  # as released
    "yuv": ColorSpace((-0.436, -0.615), (0.436, 0.615), lambda image: rgb_to_yuv(image)[:, 1:], lambda luma, uv: uv),
    "rgb": ColorSpace((0, 0, 0), (1, 1, 1), lambda image: image, lambda luma, image: rgb_to_yuv(image)[:, 1:]),
}


@dataclass(kw_only=True)
class LetThereBeColorConfig:
    # Networks (Table 1)
    width: int = 64  # channels of the first layer; the others scale with it
    batch_norm: bool = True  # False: the layers of the released networks, whose batch norm is folded into the weights
    global_features: bool = True  # False: the paper's baseline, a 3x3 convolution in place of the fusion layer
    global_side: int = 224  # S: side of the square in which the global features see the image
    classes: int = 205  # N: Places; the released ImageNet network: 1000
    # Loss
    alpha: float = 1 / 300  # Eq. 6: weight of the cross-entropy; 0 needs no labels and builds no classifier
    color_space: str = "lab"  # lab | yuv | rgb
    # Training
    init_from: str | None = None  # checkpoint whose layers of equal name and shape a fresh run starts from
    # Use
    working_side: int = 224  # shorter side that `chromafill colorize` shows to the network

    def __post_init__(self):
        if self.width < 2 or self.width % 2:
            raise ValueError(f"model.width must be even and at least 2, got {self.width}")
        if self.global_side < GLOBAL_STRIDE or self.global_side % GLOBAL_STRIDE:
            raise ValueError(f"model.global_side must be a multiple of {GLOBAL_STRIDE}, got {self.global_side}")
        if self.classes < 2:
            raise ValueError(f"model.classes must be at least 2, got {self.classes}")
        if self.alpha < 0:
            raise ValueError(f"model.alpha must be 0 or more, got {self.alpha}")
        if self.alpha > 0 and not self.global_features:
            raise ValueError("model.global_features=false leaves nothing to classify by; give model.alpha=0 with it")
        if self.color_space not in COLOR_SPACES:
            spaces = ", ".join(COLOR_SPACES)
            raise ValueError(f"model.color_space must be one of {spaces}; got {self.color_space!r}")


def hidden(name, layer, norm):
    """{name: part}: a layer, its batch norm of the name `norm` (None: none) and its ReLU."""
    parts = OrderedDict({name: layer})
    if norm is not None:
        kind = nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d
        parts[norm] = kind(layer.weight.shape[0])
    parts[f"{name}_relu"] = nn.ReLU(inplace=True)
    return parts


def convolutions(channels, strides, batch_norm, first=1):
    """{name: part}: 3x3 convolutions through the list of channels, with batch norm and ReLU, numbered from `first`."""
    parts = OrderedDict()
    for number, (before, after, stride) in enumerate(zip(channels, channels[1:], strides, strict=False), first):
        convolution = nn.Conv2d(before, after, 3, stride, padding=1)
        parts |= hidden(f"conv{number}", convolution, f"norm{number}" if batch_norm else None)
    return parts


def low_level_features(width, batch_norm):
    """Table 1, low-level features. Y (B,1,H,W) -> (B,512,H/8,W/8)."""
    w, w2, w4, w8 = (factor * width for factor in (1, 2, 4, 8))
    return nn.Sequential(convolutions((1, w, w2, w2, w4, w4, w8), (2, 1, 2, 1, 2, 1), batch_norm))


class GlobalFeatures(nn.Sequential):
    """Table 1, global features. Low-level features of the global view (B,512,S/8,S/8) -> FC2 (B,512), FC3 (B,256)."""

    def __init__(self, width, side, batch_norm):
        w4, w8, w16 = (factor * width for factor in (4, 8, 16))
        parts = convolutions([w8] * 5, (2, 1, 2, 1), batch_norm)
        parts["flatten"] = nn.Flatten()
        features = (w8 * (side // GLOBAL_STRIDE) ** 2, w16, w8, w4)  # 25,088 -> 1024 -> 512 -> 256
        for number, (before, after) in enumerate(zip(features, features[1:], strict=False), 1):
            parts |= hidden(f"fc{number}", nn.Linear(before, after), f"norm{4 + number}" if batch_norm else None)
        super().__init__(parts)

    def forward(self, low):
        x = low
        for name, part in self.named_children():
            x = part(x)
            if name == "fc2_relu":
                scene = x
        return scene, x


def mid_level_features(width, batch_norm):
    """Table 1, mid-level features. Low-level features (B,512,H/8,W/8) -> (B,256,H/8,W/8)."""
    return nn.Sequential(convolutions((8 * width, 8 * width, 4 * width), (1, 1), batch_norm))


def colorization_network(width, channels, batch_norm):
    """Table 1, colorization network. (B,256,H/8,W/8) -> scaled chroma (B,C,H/2,W/2) in (0,1)."""
    parts = convolutions((4 * width, 2 * width), (1,), batch_norm)
    parts["up1"] = nn.Upsample(scale_factor=2, mode="nearest")
    parts |= convolutions((2 * width, width, width), (1, 1), batch_norm, first=2)
    parts["up2"] = nn.Upsample(scale_factor=2, mode="nearest")
    parts |= convolutions((width, width // 2), (1,), batch_norm, first=4)
    parts["conv5"] = nn.Conv2d(width // 2, channels, 3, padding=1)
    parts["sigmoid"] = nn.Sigmoid()
    return nn.Sequential(parts)


def classification_network(width, classes, batch_norm):
    """The branch that classifies. FC2 of the global features (B,512) -> logits (B,N)."""
    parts = hidden("fc1", nn.Linear(8 * width, 4 * width), "norm1" if batch_norm else None)
    parts["fc2"] = nn.Linear(4 * width, classes)
    return nn.Sequential(parts)


class LetThereBeColorNet(nn.Module):
    """Centred Y (B,1,H,W), global view (1 or B,1,S,S) -> scaled chroma (B,C,H/2,W/2), logits (1 or B,N) or None.

    Fig. 2. Without a view the image is its own, and one pass through the low-level features serves both; these share
    their weights in any case. `classes` None leaves out the classifier, `global_side` None the global features as well.
    """

    def __init__(self, width=64, global_side=224, classes=205, channels=2, batch_norm=True):
        super().__init__()
        has_global, w4, w8 = global_side is not None, 4 * width, 8 * width
        self.low = low_level_features(width, batch_norm)
        self.global_ = GlobalFeatures(width, global_side, batch_norm) if has_global else None
        self.mid = mid_level_features(width, batch_norm)
        self.fusion = nn.Conv2d(w8, w4, 1) if has_global else nn.Conv2d(w4, w4, 3, padding=1)
        self.fusion_norm = nn.BatchNorm2d(w4) if batch_norm else nn.Identity()
        self.color = colorization_network(width, channels, batch_norm)
        self.classifier = classification_network(width, classes, batch_norm) if has_global and classes else None

    def forward(self, x, view=None):
        low = self.low(x)
        mid = self.mid(low)  # (B,256,H/8,W/8)
        if self.global_ is None:
            return self.color(F.relu(self.fusion_norm(self.fusion(mid)))), None
        scene, vector = self.global_(low if view is None else self.low(view))
        vector = vector[:, :, None, None].expand(len(mid), -1, *mid.shape[-2:])
        fused = F.relu(self.fusion_norm(self.fusion(torch.cat([vector, mid], dim=1))))  # Eq. 5 at every (u,v)
        return self.color(fused), self.classifier(scene) if self.classifier is not None else None

    def classify(self, view):
        """Global view (B,1,S,S) -> logits (B,N)."""
        scene, _ = self.global_(self.low(view))
        return self.classifier(scene)


def released_runs(width):
    """The layers of a released graph as `named_by_shape` wants them. FC3 and the fusion, of one shape, are in order."""
    half, w2, w4, w8, w16 = width // 2, 2 * width, 4 * width, 8 * width, 16 * width

    def convolutions(*channels):
        shapes = [(after, before, 3, 3) for before, after in zip(channels, channels[1:], strict=False)]
        return [(f"conv{number}", shape) for number, shape in enumerate(shapes, start=1)]

    return {
        "low": convolutions(1, width, w2, w2, w4, w4, w8),
        "global_": [*convolutions(w8, w8, w8, w8, w8), ("fc1", (w16, None)), ("fc2", (w8, w16))],
        "color": convolutions(w4, w2, width, width, half, 2),
        "mid": convolutions(w8, w8, w4),
        "classifier": [("fc1", (w4, w8)), ("fc2", (None, w4))],
        "global_.fc3": [("", (w4, w8))],
        "fusion": [("", (w4, w8, 1, 1), (w4, w8))],
    }


def released_keys(tensors):
    """The table of keys for a released graph, whose layers have numbers for names. The low-level features, which image
    and view share, may be there twice."""
    first = next((shape for shape in places_of(tensors).values() if len(shape) == 4 and shape[1] == 1), [0])
    names = named_by_shape(tensors, released_runs(first[0]), repeated=("low",))
    keys = {place: f"network.{name}" for place, name in names.items()}
    return {"mean": "mean"} | keys | fusion_order(tensors, {name: place for place, name in names.items()})


def fusion_order(tensors, places):
    """{key: mid_first or global_first} for the node that joins mid-level and global features. The paper has the global
    ones first (Eq. 5), which is what holds for a file without such a node."""
    order = {}
    for key in (key for key in tensors if key.endswith(".inputs")):
        depth = key.count(".") - 1  # of the number of a node in the names of its layers
        for name, meaning in (("mid.conv1", "mid_first"), ("global_.fc3", "global_first")):
            node = places.get(name, "").split(".")[depth : depth + 1]
            if node == [str(number.item()) for number in tensors[key][:1]]:
                order[key] = meaning
    return order


def released_settings(state):
    after, before = shape(state, "network.low.conv6.weight", 4)[:2]
    width = max(1, min(after // 8, before // 4))
    positions = shape(state, "network.global_.fc1.weight", 2)[1] // (8 * width)
    settings = {"width": width, "batch_norm": False, "global_side": GLOBAL_STRIDE * math.isqrt(positions)}
    if "network.classifier.fc2.weight" not in state:
        return settings | {"alpha": 0.0}
    return settings | {"classes": shape(state, "network.classifier.fc2.weight", 2)[0]}


def from_graph(state):
    """The fusion as a convolution that has the global features first; the mean as a number."""
    fusion = state["network.fusion.weight"].flatten(1)  # (256, 512)
    if "mid_first" in state:
        fusion = fusion.roll(fusion.shape[1] // 2, dims=1)
    rest = {key: value for key, value in state.items() if key not in ("mid_first", "global_first")}
    return rest | {"network.fusion.weight": fusion[:, :, None, None], "mean": state["mean"].reshape(())}


PUBLISHED = (
    Published(
        name="torch7",
        source="the authors' (colornet.t7, of Places; colornet_imagenet.t7)",
        licence="CC BY-NC-SA 4.0: non-commercial, to be shared alike",
        keys=released_keys,
        settings=released_settings,
        values=from_graph,
        notes=("its batch norm is folded into the weights: model.batch_norm is false",),
    ),
)


class LetThereBeColor(ColorizationModule):
    Config = LetThereBeColorConfig

    def __init__(self, **overrides):
        super().__init__(LetThereBeColorConfig(**overrides))
        cfg = self.cfg
        self.space = COLOR_SPACES[cfg.color_space]
        self.network = LetThereBeColorNet(
            cfg.width,
            global_side=cfg.global_side if cfg.global_features else None,
            classes=cfg.classes if cfg.alpha > 0 else None,
            channels=len(self.space.low),
            batch_norm=cfg.batch_norm,
        )
        self.register_buffer("mean", torch.tensor(0.5))  # of Y; in the state, so that a released network brings its own

    def check(self, batch):
        height, width = batch["image"].shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(f"data.crop must be a multiple of {self.stride}; got images of {height} x {width}")
        if self.cfg.batch_norm and self.cfg.global_features and len(batch["image"]) < 2:
            raise ValueError("batch norm of the global features needs two images; give data.batch_size=2 or more")
        if self.cfg.alpha == 0:
            return
        if "label" not in batch:
            raise ValueError("Eq. 6 learns from labels, which this data set does not have; give model.alpha=0")
        count = max(len(self.class_names or ()), batch["label"].max().item() + 1)
        if count > self.cfg.classes:
            raise ValueError(f"the data has at least {count} classes; model.classes is {self.cfg.classes}")

    def initialise(self, batches):
        """Reads `init_from`, the mean of Y in it included."""
        path = self.cfg.init_from
        if path is None:
            return
        left = load_equal_layers_(self, path)
        norms = {key for key in self.state_dict() if key.endswith("running_mean")}
        if norms and norms <= left:
            raise ValueError(
                f"model.init_from: {path} has no batch norm, which released networks have folded into their weights; "
                "give model.batch_norm=false"
            )

    def lightness(self, image):
        """RGB in [0,1] (B,3,H,W) -> Y (B,1,H,W) in [0,1]."""
        return rgb_to_yuv(image)[:, :1]

    def join(self, lightness, chroma, keep_lightness=False):
        """Y (B,1,H,W) and chroma (B,C,H,W) -> RGB in [0,1]: the U and V of the chroma with this Y, clipped, which may
        move Y; `keep_lightness` brings U and V so near to grey that nothing is."""
        yuv = torch.cat([lightness, self.space.uv(lightness, chroma)], dim=1)
        return yuv_to_rgb(reduce_uv(yuv) if keep_lightness else yuv)

    def global_view(self, luma):
        """Y (B,1,H,W) resized to the square of the global features, aspect lost; itself where it has that size."""
        side = self.cfg.global_side
        if luma.shape[-2:] == (side, side):
            return luma
        return F.interpolate(luma, (side, side), mode="bilinear", align_corners=False, antialias=True)

    def forward(self, luma, style=None):
        """Y (B,1,H,W), and Y (1 or B,1,h,w) of the images whose global features colour it, None for its own ->
        scaled chroma (B,C,H/2,W/2), logits or None."""
        if self.network.global_ is None:
            return self.network(luma - self.mean)
        view = self.global_view(luma if style is None else style)
        return self.network(luma - self.mean, None if view is luma else view - self.mean)

    def predict_chroma(self, lightness, style=None):
        """Y (B,1,H,W) -> chroma (B,C,H/2,W/2): ab, UV or RGB. `style`: Y (1 or B,1,h,w) of another photograph, whose
        global features take the place of the own ones (style transfer); best where both show alike scenes."""
        if style is not None and self.network.global_ is None:
            raise ValueError("this network has no global features (model.global_features=false) to take from a style")
        output, _ = self(lightness, style)
        return self.space.decode(output.float())

    def classify(self, lightness):
        """Y (B,1,H,W) -> probabilities of the classes (B,N)."""
        if self.network.classifier is None:
            raise ValueError("this network was trained without a classifier (model.alpha=0)")
        return self.network.classify(self.global_view(lightness) - self.mean).float().softmax(dim=1)

    @property
    def names_scenes(self):
        return self.network.classifier is not None

    def scene_probabilities(self, batch):
        return self.classify(self.lightness(batch["image"]))

    def scores(self, batch):
        """Those of every colorization; with labels and a classifier also whether it is right (0 or 1)."""
        scores = super().scores(batch)
        if not self.names_scenes or "label" not in batch:
            return scores
        first = self.scene_probabilities(batch).topk(min(5, self.cfg.classes)).indices
        right = (first == batch["label"][:, None]).float()  # (B,5), at most one is 1
        return scores | {"accuracy": right[:, 0], "top5": right.sum(dim=1)}

    def training_step(self, batch, batch_idx):
        image = batch["image"]
        target = F.avg_pool2d(self.space.encode(image), OUTPUT_STRIDE)  # (B,C,H/2,W/2) in [0,1]
        output, logits = self(self.lightness(image))  # a crop of another side than S is resized for the global features
        mse = F.mse_loss(output.float(), target)
        if logits is None:
            self.update("g", self.optimizers(), mse, mse=mse)
            return
        cross_entropy = F.cross_entropy(logits.float(), batch["label"])
        loss = mse + self.cfg.alpha * cross_entropy  # Eq. 6
        self.update("g", self.optimizers(), loss, mse=mse, cross_entropy=cross_entropy)

    def configure_optimizers(self):
        return torch.optim.Adadelta(self.parameters())  # no learning rate to set; rho and eps are not stated
