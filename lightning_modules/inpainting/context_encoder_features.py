"""Context Encoders, the net that learns features. Pathak, Krähenbühl, Donahue, Darrell and Efros, CVPR 2016.

An AlexNet encoder learns by filling holes, with the reconstruction loss alone: training it against a discriminator
diverged. The adversarial nets that inpaint are in context_encoder.py; they have no channel-wise layer.

B batch; F side of the input, 227; n side of the encoder's last map, 6. The network lives in Caffe's units, BGR in
[0,255] minus the mean colour, in which the released encoder works and a hole filled with the mean is 0.
Its training code was never released. Not known, and chosen here: the kernel of the convolution after the channel-wise
layer (1 x 1), the initial weights (He), learning rate and batch size. The decoder's channels are from the paper's
figure 9b, from memory; they have the right sizes.
Departs from the paper: the last layer has no ReLU, for a colour minus its mean has either sign.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from lightning_modules.losses.reconstruction import l1_in_hole, l2_in_hole
from lightning_modules.networks.he_init import he_init_
from lightning_modules.ops.masking import require_mask
from lightning_modules.ops.pieces import pasted
from lightning_modules.ops.windows import pieces_by_windows
from lightning_modules.pretrained.equal_layers import load_equal_layers_
from lightning_modules.pretrained.published import Published, shape
from lightning_modules.tasks import InpaintingModule

MEAN_BGR = (104.0, 117.0, 123.0)  # ImageNet's mean colour


@dataclass(kw_only=True)
class ContextEncoderFeaturesConfig:
    # Network (Sec. 3.1)
    fine_size: int = 227  # F, which data.crop must equal
    width: int = 96  # channels of conv1; the others scale with it
    pool_free: bool = False  # convolutions of the same kernel and stride instead of pooling: finer pictures
    # Loss (Sec. 3.2)
    pixel_norm: str = "l2"  # l2: Eq. 1 | l1, with which the authors say they trained this net
    # Training
    lr: float = 1e-4  # of Adam; not published
    init_from: str | None = None  # checkpoint or .pth whose layers of equal name and shape a fresh run starts from

    def __post_init__(self):
        if self.pixel_norm not in ("l2", "l1"):
            raise ValueError(f"model.pixel_norm must be l2 or l1, got {self.pixel_norm!r}")
        if self.fine_size < 67:
            raise ValueError(f"model.fine_size must be at least 67, one pixel after AlexNet; got {self.fine_size}")
        if self.width < 2:
            raise ValueError(f"model.width must be at least 2, one channel for each group of conv2; got {self.width}")


def scaled(channels, width):
    """AlexNet's `channels` in a net whose conv1 has `width` instead of 96; even, as some layers come in two groups."""
    return max(2, 2 * round(channels * width / 192))


class AlexNetEncoder(nn.Module):
    """CaffeNet's conv1 to pool5, groups included: (B,3,F,F) in Caffe's units -> (B,256,n,n); 9216 features at 227."""

    def __init__(self, width=96, pool_free=False):
        super().__init__()
        c1, c2, c3 = (scaled(channels, width) for channels in (96, 256, 384))
        self.conv1 = nn.Conv2d(3, c1, 11, stride=4)
        self.conv2 = nn.Conv2d(c1, c2, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(c2, c3, 3, padding=1)
        self.conv4 = nn.Conv2d(c3, c3, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(c3, c2, 3, padding=1, groups=2)
        pools = [nn.Conv2d(c, c, 3, stride=2) if pool_free else nn.MaxPool2d(3, stride=2) for c in (c1, c2, c2)]
        self.pool1, self.pool2, self.pool5 = pools
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)

    def forward(self, x):
        x = self.norm(self.pool1(F.relu(self.conv1(x))))  # 227 -> 55 -> 27
        x = self.norm(self.pool2(F.relu(self.conv2(x))))  # 13
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x))
        return self.pool5(F.relu(self.conv5(x)))  # 6


def encoded_side(side):
    """n: side of the encoder's last map for an input of `side`."""
    side = (side - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


class ChannelwiseLinear(nn.Module):
    """(B,C,n,n) -> (B,C,n,n): a dense map of n^2 positions for each channel alone, C*n^4 weights and C*n^2 biases
    (Sec. 3.1). Written, as by the authors, as a convolution in C groups with a kernel of the whole map."""

    def __init__(self, channels, side):
        super().__init__()
        self.maps = nn.Conv2d(channels, channels * side**2, side, groups=channels)

    def forward(self, x):
        return self.maps(x).view_as(x)  # output c*n^2 + j is position j of channel c


class Decoder(nn.Module):
    """(B,256,n,n) -> (B,3,F,F) in Caffe's units: five transposed convolutions n -> 2n-1, then a resize (Fig. 9b)."""

    def __init__(self, fine_size=227, width=96):
        super().__init__()
        self.fine_size = fine_size
        channels = [*(scaled(channels, width) for channels in (256, 128, 64, 64, 32)), 3]
        layers = []
        for before, after in zip(channels, channels[1:], strict=False):
            layers += [nn.ConvTranspose2d(before, after, 5, stride=2, padding=2), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x):
        x = self.layers(x)  # 6 -> 11 -> 21 -> 41 -> 81 -> 161
        return F.interpolate(x, (self.fine_size, self.fine_size), mode="bilinear", align_corners=False)


class FeatureNet(nn.Module):
    """(B,3,F,F) -> (B,3,F,F), both in Caffe's units, 0 in the input's hole; no mask channel."""

    def __init__(self, fine_size=227, width=96, pool_free=False):
        super().__init__()
        channels, side = scaled(256, width), encoded_side(fine_size)
        self.encoder = AlexNetEncoder(width, pool_free)
        self.channelwise = ChannelwiseLinear(channels, side)
        self.across = nn.Conv2d(channels, channels, 1)  # carries information between the channels
        self.decoder = Decoder(fine_size, width)

    def forward(self, x):
        x = F.relu(self.channelwise(self.encoder(x)))
        return self.decoder(F.relu(self.across(x)))


def to_caffe(image):
    """RGB in [0,1] -> BGR in [0,255] minus the mean colour. (B,3,H,W)."""
    return image.flip(1) * 255 - image.new_tensor(MEAN_BGR)[:, None, None]


def from_caffe(planes):
    """The way back from `to_caffe`, in float32: beside the mean colour bfloat16 would leave whole levels."""
    planes = planes.float()
    return ((planes + planes.new_tensor(MEAN_BGR)[:, None, None]) / 255).flip(1)


def encoder_settings(state):
    """conv3 has 4 times as many channels as conv1."""
    after, before = shape(state, "network.encoder.conv3.weight", 4)[:2]
    return {"width": max(2, min(after // 4, before))}


LEFT_OUT = "nothing: the authors published the encoder alone"


PUBLISHED = (
    Published(
        name="caffe",
        source="the authors' encoder (ce_features.caffemodel)",
        licence="UC Regents: education, research and non-profit use only",
        keys={f"conv{n}": f"network.encoder.conv{n}" for n in range(1, 6)},
        settings=encoder_settings,
        missing={f"network.{part}": LEFT_OUT for part in ("channelwise", "across", "decoder")},
        part="the encoder alone, which cannot inpaint; a training starts from it with model.init_from",
    ),
)


class ContextEncoderFeatures(InpaintingModule):
    """Reconstruction of what was dropped, and of nothing else."""

    Config = ContextEncoderFeaturesConfig

    def __init__(self, **overrides):
        super().__init__(ContextEncoderFeaturesConfig(**overrides))
        self.network = FeatureNet(self.cfg.fine_size, self.cfg.width, self.cfg.pool_free)
        he_init_(m for m in self.network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))

    def initialise(self, batches):
        """Reads `init_from`."""
        if self.cfg.init_from is not None:
            load_equal_layers_(self.network, self.cfg.init_from)

    def forward(self, image, mask):
        """image RGB in [0,1] (B,3,F,F), mask (B,1,F,F), 1 = hole -> the whole image as predicted, about [0,1]."""
        require_mask(image, mask)
        return from_caffe(self.network(to_caffe(image) * (1 - mask)))

    def check(self, batch):
        super().check(batch)
        side, (height, width) = self.cfg.fine_size, batch["image"].shape[2:]
        if (height, width) != (side, side):
            raise ValueError(f"model.fine_size = {side} needs data.crop = {side}; got images of {height} x {width}")

    def training_step(self, batch, batch_idx):
        self.check(batch)
        image, mask = batch["image"], batch["mask"]
        norm = l2_in_hole if self.cfg.pixel_norm == "l2" else l1_in_hole
        rec = norm(self(image, mask), image, mask)  # Eq. 1
        self.update("g", self.optimizers(), rec, rec=rec)

    def configure_optimizers(self):
        return torch.optim.Adam(self.network.parameters(), lr=self.cfg.lr)

    def complete(self, image, mask):
        """See `InpaintingModule`. A hole is shown in a window of twice its side, or in the whole image."""
        return pasted(image, self.pieces(image, mask))

    def pieces(self, image, mask):
        return pieces_by_windows(self.fill, image, mask, size=self.cfg.fine_size, context=0.5)

    def fill(self, image, mask):
        """As `forward`, within [0,1]."""
        return self(image, mask).clamp(0, 1)
