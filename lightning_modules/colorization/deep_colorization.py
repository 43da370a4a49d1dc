"""Deep Colorization. Cheng, Yang and Sheng, ICCV 2015; image clusters of the journal version, arXiv 1605.00075.

B batch, H W image, P sampled pixels of each image, N semantic classes, D = 49 + 32 + N features, K clusters of images.
RGB and Y are in [0,1], U in [-0.436,0.436], V in [-0.615,0.615]; the paper states no scale.
A network of fully connected layers takes the features of one pixel, [patch of Y | DAISY | class probabilities], and
gives its U and V. The features are fixed: nothing but these layers is trained.
Departs from the paper: the loss is the mean over pixels, not the sum; pixels are drawn anew in every step; classes are
smoothed by a guided filter (He, Sun, Tang) instead of the domain transform; the scene parser is one of ours or of
torchvision. Not stated there and chosen here: optimiser, rates, initial weights, DAISY's radius, all filter sizes.
Of the journal's clusters this has one layer: no second clustering of the images that a first network colours badly.
They are found by a histogram of Y, as a summary of that paper has it (gist is the other reading), in the images that
training starts from, and found again by it and by the shares of the classes, which the journal version compares too;
how it weighs the two is not known: here their distances are added up.
"""

import math
from dataclasses import dataclass
from itertools import chain, islice, pairwise, repeat
from pathlib import Path
from textwrap import shorten

import torch
import torchvision
from kornia.filters import guided_blur, joint_bilateral_blur
from torch import nn
from torch.nn import functional as F

from lightning_modules.color.yuv import reduce_uv, rgb_to_yuv, yuv_to_rgb
from lightning_modules.networks.fcn import FCN
from lightning_modules.ops.class_maps import one_hot, require_labels
from lightning_modules.ops.daisy import daisy
from lightning_modules.pretrained.checkpoint import read_checkpoint
from lightning_modules.pretrained.pth import plain_content, state
from lightning_modules.pretrained.settings import model_settings, named_state
from lightning_modules.tasks import ColorizationModule

PATCH = 7  # side of the patch of grey values
DAISY = {"rings": 1, "histograms": 3, "orientations": 8}  # 4 places x 8 orientations = 32 numbers
DAISY_SIZE = 32
WINDOW = 15  # side of both edge-preserving filters, whose mirrored border needs images of 8 pixels at least
SMALLEST = WINDOW // 2 + 1
SMOOTHING = 1e-3  # guided filter of the classes: variance of Y below which a window counts as flat
REFINE_RANGE, REFINE_SPACE = 0.1, 5.0  # joint bilateral filter of U and V: sigmas in Y and in pixels
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # input of torchvision's networks
SOURCES = ("none", "parser", "torchvision", "labels")
BINS = 32  # of the histogram of Y that clusters go by
CLUSTERED_BATCHES = 128  # whose images are the reference set that clusters are found in
FAR = 2.0  # in every bin of the centre of a cluster without images: further from any histogram than these can be


@dataclass(kw_only=True)
class DeepColorizationConfig:
    # Features
    patch: bool = True  # low level, 49 numbers
    daisy: bool = True  # mid level, 32 numbers
    daisy_radius: int = 15  # pixels at the working side; library default
    semantic: str = "parser"  # high level. none | parser | torchvision | labels: the truth, an upper bound
    semantic_classes: int = 47  # N
    smooth_semantics: bool = True  # edge-preserving filter of the class maps, guided by Y
    parser: str | None = None  # for a fresh run: checkpoint of a scene_parser or of this, .pth of a torchvision network
    parser_width: int = 32  # model.width of the scene_parser
    torchvision_model: str = "deeplabv3_resnet50"  # of torchvision.models.segmentation
    first_label: int = 0  # the label of class 0 in the data set's class maps, for semantic=labels
    # Network
    hidden_layers: int = 3  # more do not help
    hidden_share: float = 0.5  # width of the hidden layers / number of features
    clusters: int = 1  # K; the ICCV paper: 1, the journal's top layer: about 24 (from memory)
    # Prediction
    refine: bool = True  # joint bilateral filter of U and V, guided by Y
    working_side: int = 256  # shorter side that `chromafill colorize` shows: the features are tied to a scale
    # Training
    pixels: int = 1024  # P
    lr: float = 1e-3

    def __post_init__(self):
        if self.semantic not in SOURCES:
            raise ValueError(f"model.semantic must be one of {', '.join(SOURCES)}; got {self.semantic!r}")
        if not (self.patch or self.daisy or self.semantic != "none"):
            raise ValueError("no feature is left: switch on model.patch, model.daisy or model.semantic")
        for name in ("daisy_radius", "semantic_classes", "parser_width", "hidden_layers", "clusters", "pixels"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} must be at least 1, got {getattr(self, name)}")
        if self.hidden_share * self.features() < 1:
            raise ValueError(f"model.hidden_share = {self.hidden_share} of {self.features()} features leaves no unit")

    def features(self):
        """D, the length of a pixel's feature."""
        return PATCH**2 * self.patch + DAISY_SIZE * self.daisy + self.semantic_classes * (self.semantic != "none")


class PixelNetwork(nn.Module):
    """Features (...,D) -> UV (...,2), each pixel by itself: what a stack of 1x1 convolutions computes."""

    def __init__(self, features=128, hidden_layers=3, hidden_share=0.5):
        super().__init__()
        width = math.floor(features * hidden_share)
        widths = chain([features], repeat(width, hidden_layers))
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.out = nn.Linear(width, 2)
        for layer in self.hidden:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, features):
        for layer in self.hidden:
            features = F.relu(layer(features))
        return self.out(features)


def patches(luma):
    """Y (B,1,H,W) -> the grey values around each pixel, row by row (B,49,H,W); mirrored at the border."""
    padded = F.pad(luma, [PATCH // 2] * 4, mode="reflect")
    return F.unfold(padded, PATCH).unflatten(2, luma.shape[-2:])


def smoothed(probabilities, luma):
    """Class probabilities (B,N,H,W) of sum 1 with the edges of Y."""
    smooth = guided_blur(luma, probabilities, WINDOW, SMOOTHING, separable=True).clamp(min=0)
    return smooth / smooth.sum(1, keepdim=True)


def refined(uv, luma):
    """UV (B,2,H,W) with the edges of Y: takes away what DAISY's noise leaves in flat regions."""
    return joint_bilateral_blur(uv, luma, WINDOW, REFINE_RANGE, (REFINE_SPACE, REFINE_SPACE))


def sampled(maps, places):
    """(B,C,H,W) at places (B,P) in H*W -> (B,P,C)"""
    return maps.flatten(2).gather(2, places[:, None].expand(-1, maps.shape[1], -1)).transpose(1, 2)


def torchvision_parser(name, classes):
    """A network of torchvision.models.segmentation with random weights."""
    names = torchvision.models.list_models(module=torchvision.models.segmentation)
    if name not in names:
        raise ValueError(f"model.torchvision_model must be one of {', '.join(names)}; got {name!r}")
    return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes, aux_loss=False)


def parser_weights(path):
    """State of the FCN in a checkpoint of `scene_parser` or of this paper, its classes and its width."""
    checkpoint = read_checkpoint(path)
    model = model_settings(checkpoint, path)
    if model["_target_"].endswith(".DeepColorization") and model.get("semantic") == "parser":
        prefix, classes, width = "parser.", model.get("semantic_classes"), model.get("parser_width")
    elif model["_target_"].endswith(".SceneParser"):
        prefix, classes, width = "network.", model.get("classes"), model.get("width")
    else:
        raise ValueError(f"model.parser: {path} holds no scene_parser but {model['_target_'].split('.')[-1]}")
    return below(prefix, named_state(checkpoint, path)), classes, width


def torchvision_weights(path):
    """State dict of a .pth as torchvision publishes them, without the classifier that only training uses; or of the
    parser in a checkpoint of this paper."""
    tensors = state(plain_content(path), path)
    own = below("parser.", tensors)
    return own or {key: value for key, value in tensors.items() if not key.startswith("aux_classifier.")}


def below(prefix, tensors):
    """Those whose names begin with a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


class ImageClusters(nn.Module):
    """Journal version, the clusters' centres: a histogram of Y (K,BINS) and one of the classes (K,N) each."""

    def __init__(self, clusters, classes):
        super().__init__()
        self.register_buffer("luma", torch.zeros(clusters, BINS))
        self.register_buffer("classes", torch.zeros(clusters, classes))

    def fit_(self, luma, classes, seed):
        """k-means of histograms of Y (M,BINS), M images; `classes` (M,N) of the same images are averaged over each.

        A cluster that ends without images, of which there are some where images are alike, is nobody's nearest.
        """
        from scipy.cluster.vq import kmeans2

        count = len(self.luma)
        if len(luma) < count:
            raise ValueError(f"model.clusters = {count} clusters cannot be found in {len(luma)} images; give fewer")
        centres, member = kmeans2(luma.cpu().double().numpy(), count, minit="++", rng=seed)
        self.luma.copy_(torch.from_numpy(centres))
        for number in range(count):
            own = torch.from_numpy(member == number)
            if own.any():
                self.classes[number] = classes[own].mean(0)
            else:
                self.luma[number] = FAR

    def nearest(self, luma):
        """Cluster of each image (B,) by its histogram of Y (B,BINS)."""
        return torch.cdist(luma, self.luma).argmin(1)

    def nearest_in_both(self, luma, classes):
        """Cluster (B,) by both histograms, (B,BINS) and (B,N): the sum of their distances, in L1."""
        return (torch.cdist(luma, self.luma, p=1) + torch.cdist(classes, self.classes, p=1)).argmin(1)


def luma_histogram(luma):
    """Y (B,1,H,W) -> shares (B,BINS) of sum 1."""
    bins = (luma.flatten(1) * BINS).long().clamp(0, BINS - 1)
    counts = torch.zeros(len(luma), BINS, device=luma.device).scatter_add_(1, bins, torch.ones_like(luma).flatten(1))
    return counts / bins.shape[1]


class DeepColorization(ColorizationModule):
    Config = DeepColorizationConfig
    decoding = ("refine",)

    def __init__(self, **overrides):
        super().__init__(DeepColorizationConfig(**overrides))
        cfg = self.cfg
        self.networks = nn.ModuleList(
            PixelNetwork(cfg.features(), cfg.hidden_layers, cfg.hidden_share) for _ in range(cfg.clusters)
        )
        self.parser = None  # frozen, and kept in the checkpoint
        if cfg.semantic == "parser":
            self.parser = FCN(cfg.semantic_classes, cfg.parser_width)
        elif cfg.semantic == "torchvision":
            self.parser = torchvision_parser(cfg.torchvision_model, cfg.semantic_classes)
        if self.parser is not None:
            self.parser.requires_grad_(False).eval()
        if cfg.clusters > 1:
            self.image_clusters = ImageClusters(cfg.clusters, cfg.semantic_classes * (cfg.semantic != "none"))

    def train(self, mode=True):
        super().train(mode)
        if self.parser is not None:
            self.parser.eval()  # batch norm uses the parser's own statistics
        return self

    def check(self, batch):
        cfg = self.cfg
        if min(batch["image"].shape[-2:]) < SMALLEST:
            raise ValueError(f"the filters need images of {SMALLEST} pixels at least; give a larger data.crop")
        if cfg.semantic == "labels":
            if "semantic" not in batch:
                raise ValueError("model.semantic=labels needs class maps, which this data set has not; try parser")
            require_labels(batch["semantic"], cfg.semantic_classes, cfg.first_label)

    def initialise(self, batches):
        """Loads the parser; finds the clusters in these images."""
        if self.parser is not None:
            self.load_parser()
        if self.cfg.clusters > 1:
            histograms, classes = [], []  # of each batch, (b,BINS) and (b,N)
            for batch in islice(batches, CLUSTERED_BATCHES):
                luma = self.lightness(batch["image"])
                histograms.append(luma_histogram(luma))
                classes.append(self.probabilities(luma, batch.get("semantic")).mean((2, 3)))
            self.image_clusters.fit_(torch.cat(histograms), torch.cat(classes), self.seed)

    def load_parser(self):
        """Weights from `model.parser`; ValueError where there are none or they are of another network."""
        cfg, path = self.cfg, self.cfg.parser
        if path is None:
            raise ValueError(
                "model.semantic=parser needs model.parser=CHECKPOINT, which `chromafill train "
                "experiment=scene_parser_synthetic` makes; or give model.semantic=none"
                if cfg.semantic == "parser"
                else f"model.semantic=torchvision needs model.parser=FILE.pth with weights of {cfg.torchvision_model}"
            )
        if not Path(path).is_file():
            raise ValueError(f"model.parser: no file at {path}")
        if cfg.semantic == "parser":
            weights, classes, width = parser_weights(path)
            if (classes, width) != (cfg.semantic_classes, cfg.parser_width):
                raise ValueError(
                    f"model.parser: {path} has {classes} classes and width {width}, but model.semantic_classes = "
                    f"{cfg.semantic_classes} and model.parser_width = {cfg.parser_width}; make them agree"
                )
        else:
            weights = torchvision_weights(path)
        try:
            self.parser.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(
                f"model.parser: {path} does not fit the network with model.semantic_classes = {cfg.semantic_classes}: "
                f"{shorten(str(error).splitlines()[1], 200)}"
            ) from None

    def lightness(self, image):
        """RGB (B,3,H,W) in [0,1] -> Y (B,1,H,W) in [0,1]."""
        return rgb_to_yuv(image)[:, :1]

    def join(self, lightness, chroma, keep_lightness=False):
        yuv = torch.cat([lightness, chroma], dim=1)
        return yuv_to_rgb(reduce_uv(yuv) if keep_lightness else yuv)

    @torch.no_grad()
    def probabilities(self, luma, labels=None):
        """Class probabilities of every pixel, (B,N,H,W) of sum 1; N is 0 without semantic feature. labels: (B,H,W)."""
        cfg = self.cfg
        if cfg.semantic == "none":
            return luma[:, :0]
        if cfg.semantic == "labels":
            found = one_hot(labels, cfg.semantic_classes, cfg.first_label)
        elif cfg.semantic == "parser":
            found = self.parser(luma).float().softmax(1)
        else:
            mean, std = (luma.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
            found = self.parser((luma - mean) / std)["out"].float().softmax(1)  # Y in all three channels
        return smoothed(found, luma) if cfg.smooth_semantics else found

    def levels(self, luma, probabilities):
        """The three levels of features of every pixel, [(B,C,H,W)], those that are switched on."""
        levels = []
        if self.cfg.patch:
            levels.append(patches(luma))
        if self.cfg.daisy:
            levels.append(daisy(luma, self.cfg.daisy_radius, **DAISY))
        return [*levels, probabilities]

    def regress(self, features, luma, probabilities):
        """Features (B,...,D) -> UV (B,...,2) by the network of each image's cluster.

        In training the histogram of Y alone decides, as in the clustering; in prediction that of the classes helps.
        """
        if self.cfg.clusters == 1:
            return self.networks[0](features).float()
        if self.training or self.cfg.semantic == "none":
            cluster = self.image_clusters.nearest(luma_histogram(luma))
        else:
            cluster = self.image_clusters.nearest_in_both(luma_histogram(luma), probabilities.mean((2, 3)))
        uv = features.new_empty(*features.shape[:-1], 2)
        for number, network in enumerate(self.networks):  # one without images takes part with a gradient of 0
            own = cluster == number
            uv[own] = network(features[own]).float()
        return uv

    def training_step(self, batch, batch_idx):
        yuv = rgb_to_yuv(batch["image"])
        luma, uv = yuv[:, :1], yuv[:, 1:]
        places = batch["draws"].fold("pixels").integers(0, luma[0].numel(), self.cfg.pixels)  # (B,P)
        probabilities = self.probabilities(luma, batch.get("semantic"))
        levels = self.levels(luma, probabilities)
        features = torch.cat([sampled(level, places) for level in levels], dim=2)  # (B,P,D)
        error = self.regress(features, luma, probabilities) - sampled(uv, places)  # (B,P,2)
        loss = error.square().sum(2).mean()  # least squares over the drawn pixels
        self.update("g", self.optimizers(), loss, l2=loss)

    def chroma(self, luma, labels=None):
        """Y (B,1,H,W) -> UV (B,2,H,W), one image after another, since the features of a pixel take half a kilobyte.

        labels: the class maps (B,H,W), for semantic=labels.
        """
        labels = [None] * len(luma) if labels is None else labels.split(1)
        return torch.cat([self.chroma_of_one(*one) for one in zip(luma.split(1), labels, strict=True)])

    def chroma_of_one(self, luma, labels):
        probabilities = self.probabilities(luma, labels)
        features = torch.cat(self.levels(luma, probabilities), dim=1).movedim(1, -1)  # (1,H,W,D)
        uv = self.regress(features, luma, probabilities).movedim(-1, 1)
        return refined(uv, luma) if self.cfg.refine else uv

    def predict_chroma(self, lightness):
        if self.cfg.semantic == "labels":
            raise ValueError("this network was trained on true class maps (semantic=labels), which a photograph lacks")
        return self.chroma(lightness)

    def answer(self, batch):
        if self.cfg.semantic != "labels":
            return super().answer(batch)
        luma = self.lightness(batch["image"])
        return self.join(luma, self.chroma(luma, batch["semantic"]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.networks.parameters(), self.cfg.lr)
