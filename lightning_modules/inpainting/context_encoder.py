"""Context Encoders: Feature Learning by Inpainting. Pathak, Krähenbühl, Donahue, Darrell and Efros, CVPR 2016.

The two adversarial nets that inpaint; the AlexNet that learns features is in context_encoder_features.py.

B batch; F side of a network's input; P side of its prediction: F/2, the middle of the input, in the centre net, F in
the random-region net. Networks live in [-1,1]. Section and equation numbers are the paper's, arXiv version 2; "code" is
the authors' Torch release (pathak22/context-encoder), from which the layers are taken.
Departs from the code:
- the generator's adversarial gradient comes from a fresh pass through the updated discriminator; the code sends it
  through the activations from before the update;
- convolutions have no biases, which the code owns and sets to zero before every step (`bias` is for its files);
- discriminators keep no running statistics: they only ever judge whole batches;
- each sample has its own mask in the random-region net; the code draws one a batch;
- an epoch shows each image once; the code draws with replacement, classes balanced.
"""

from dataclasses import dataclass

import torch
from torch import nn

from lightning_modules.losses.adversarial import nonsaturating_d, nonsaturating_g
from lightning_modules.losses.reconstruction import l1_weighted, l2_weighted, overlap_weights
from lightning_modules.ops.masking import composite
from lightning_modules.ops.pieces import pasted
from lightning_modules.ops.push_pull import push_pull
from lightning_modules.ops.windows import pieces_by_windows
from lightning_modules.pretrained.published import Published, require_shape, shape
from lightning_modules.tasks import InpaintingModule

# The code's hole: ImageNet's mean colour (123, 117, 104) with its channels in another order; its weights expect this.
HOLE_COLOUR = (2 * 117 / 255 - 1, 2 * 104 / 255 - 1, 2 * 123 / 255 - 1)
BETAS = (0.5, 0.999)  # of Adam, both networks


@dataclass(kw_only=True)
class ContextEncoderConfig:
    # Networks
    net: str = "centre"  # centre: predicts the middle half | random_region: predicts the whole image
    fine_size: int = 128  # F, which data.crop must equal; the random-region net is also trained at 64
    width: int = 64  # channels of the first layer; the others scale with it
    bottleneck: int = 4000  # channels between encoder and decoder
    noise: int = 0  # channels of noise that join the bottleneck; the code's option has 100
    bias: bool = False  # of the generator's convolutions: nearly 0 in files of the code, which resets them every step
    conditional: bool = False  # the discriminator sees the context as well; centre net only
    # Losses (Sec. 3.2)
    overlap: int = 7  # pixels of visible context at the rim of the centre net's prediction; code: 4
    overlap_weight: float = 10.0  # of the reconstruction of visible context; code's random-region net: 1
    pixel_norm: str = "l2"  # l2: Eq. 1 | l1, no significant difference
    lambda_rec: float = 0.999  # Eq. 3; 0 leaves the adversarial loss alone
    lambda_adv: float = 0.001  # Eq. 3; 0 leaves the reconstruction alone, and the discriminator untrained
    # Training
    lr_g: float = 2e-3  # ten times the discriminator's
    lr_d: float = 2e-4

    def __post_init__(self):
        for name, choices in {"net": ("centre", "random_region"), "pixel_norm": ("l2", "l1")}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"model.{name} must be {' or '.join(choices)}, got {self.__dict__[name]!r}")
        if self.fine_size < 64 or self.fine_size.bit_count() != 1:
            raise ValueError(f"model.fine_size must be a power of 2, at least 64; got {self.fine_size}")
        if self.net == "centre" and not 0 <= self.overlap < self.fine_size // 4:
            raise ValueError(
                f"model.overlap must leave a hole in the {self.fine_size // 2} x {self.fine_size // 2} prediction: "
                f"0 to {self.fine_size // 4 - 1} pixels, got {self.overlap}"
            )
        if self.conditional and self.net != "centre":
            raise ValueError("model.conditional needs net=centre: the code has no conditional random-region net")
        if min(self.lambda_rec, self.lambda_adv) < 0 or self.lambda_rec + self.lambda_adv == 0:
            raise ValueError(
                "model.lambda_rec and model.lambda_adv must not be negative, and one of them must be above 0; "
                f"got {self.lambda_rec} and {self.lambda_adv}"
            )


def contracting(side, width, before=3, normed_first=False, tracked=True, bias=False):
    """(B,before,side,side) -> (B,8*width,4,4): 4 x 4 convolutions of stride 2, channels from `width` up."""
    halvings = side.bit_length() - 3  # side = 4 * 2^halvings
    channels = [width] * (halvings - 3) + [2 * width, 4 * width, 8 * width]
    layers = []
    for number, after in enumerate(channels[-halvings:]):
        layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias))
        if number or normed_first:
            layers.append(nn.BatchNorm2d(after, track_running_stats=tracked))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
        before = after
    return layers


def expanding(code, side, width, bias=False):
    """(B,code,1,1) -> (B,3,side,side) in [-1,1]: 4 x 4 transposed convolutions, the first to 4 x 4, then doubling."""
    doublings = side.bit_length() - 3
    channels = [8 * width, 4 * width, 2 * width] + [width] * (doublings - 3)
    layers = []
    for number, (before, after) in enumerate(zip([code, *channels], channels, strict=False)):
        stride, padding = (2, 1) if number else (1, 0)
        layers.append(nn.ConvTranspose2d(before, after, 4, stride, padding, bias=bias))
        layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return [*layers, nn.ConvTranspose2d(channels[-1], 3, 4, stride=2, padding=1, bias=bias), nn.Tanh()]


class Generator(nn.Module):
    """Context (B,3,F,F) -> prediction (B,3,P,P), both in [-1,1]; no mask channel. noise (B,N,1,1) where it has one."""

    def __init__(self, fine_size=128, pred_size=64, width=64, bottleneck=4000, noise=0, bias=False):
        super().__init__()
        self.encoder = nn.Sequential(
            *contracting(fine_size, width, bias=bias), nn.Conv2d(8 * width, bottleneck, 4, bias=bias)
        )
        self.noise_branch = nn.Conv2d(noise, noise, 1, bias=False) if noise else None
        code = bottleneck + noise
        self.decoder = nn.Sequential(
            nn.BatchNorm2d(code), nn.LeakyReLU(0.2, inplace=True), *expanding(code, pred_size, width, bias)
        )

    def forward(self, context, noise=None):
        code = self.encoder(context)  # (B,bottleneck,1,1)
        if self.noise_branch is not None:
            code = torch.cat([code, self.noise_branch(noise)], dim=1)
        return self.decoder(code)


class Discriminator(nn.Module):
    """Patch (B,3,P,P) in [-1,1] -> logit (B,1). It does not look at the context around the patch (Sec. 3.2)."""

    def __init__(self, side=64, width=64):
        super().__init__()
        self.layers = nn.Sequential(
            *contracting(side, width, tracked=False), nn.Conv2d(8 * width, 1, 4, bias=False), nn.Flatten()
        )

    def forward(self, patch, context):
        return self.layers(patch)


class ConditionalDiscriminator(nn.Module):
    """Patch (B,3,F/2,F/2) and context (B,3,F,F) in [-1,1] -> logit (B,1). The patch is padded to where it belongs."""

    def __init__(self, fine_size=128, width=64):
        super().__init__()
        self.context = nn.Conv2d(3, width, 5, stride=2, padding=2, bias=False)
        self.patch = nn.Conv2d(3, width, 5, stride=2, padding=2 + fine_size // 4, bias=False)
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width, track_running_stats=False),
            nn.LeakyReLU(0.2, inplace=True),
            *contracting(fine_size // 4, width, before=width, normed_first=True, tracked=False),
            nn.Conv2d(8 * width, 1, 4, bias=False),
            nn.Flatten(),
        )

    def forward(self, patch, context):
        both = torch.cat([self.context(context), self.patch(patch)], dim=1)  # (B,2*width,F/2,F/2)
        return self.layers(both)


@torch.no_grad()
def init_(network):
    """Convolutions from N(0, 0.02), batch norm scales from N(1, 0.02), biases 0, as in DCGAN."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.weight.normal_(0, 0.02)
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, nn.BatchNorm2d):
            layer.weight.normal_(1, 0.02)


def blank(image, hole):
    """`image` (B,3,H,W) in [-1,1] with HOLE_COLOUR where `hole` (B,1,H,W) is 1."""
    return composite(image.new_tensor(HOLE_COLOUR)[:, None, None].expand_as(image), image, hole)


def centre_settings(state):
    """Settings of a centre net for images of 128 x 128, from the encoder's last two layers."""
    before, last = "generator.encoder.11.weight", "generator.encoder.14.weight"
    width, bottleneck = max(1, min(shape(state, before, 4)[:2]) // 4), shape(state, last, 4)[0]
    require_shape(state, before, (8 * width, 4 * width, 4, 4))
    require_shape(state, last, (bottleneck, 8 * width, 4, 4))
    return {"width": width, "bottleneck": bottleneck, "overlap": 4}


def with_biases(state):
    return centre_settings(state) | {"bias": True}


WITH_WEIGHTS = (0, 2, 3, 5, 6, 8, 9, 11, 12, 14)  # modules of the encoder, and of the decoder
UNTRAINED = {"discriminator": "a discriminator with random weights: the file has none, and filling holes needs none"}
PUBLISHED = (
    Published(
        name="torch7",
        source="the authors' centre nets (paris_inpaintCenter.t7, imagenet_inpaintCenter.t7)",
        licence="UC Regents: education, research and non-profit use only",
        keys={f"0.{n}": f"generator.encoder.{n}" for n in WITH_WEIGHTS}
        | {f"{n + 1}": f"generator.decoder.{n}" for n in WITH_WEIGHTS},
        settings=with_biases,
        missing=UNTRAINED,
        notes=(
            "ImageNet's net of April 2016 was trained with an overlap of 0, all others with the 4 that is set here",
        ),
    ),
    Published(
        name="boyuanjiang",
        source="the PyTorch port BoyuanJiang/context_encoder_pytorch (netG_streetview.pth)",
        licence="MIT",
        keys={f"main.{n}": f"generator.encoder.{n}" for n in WITH_WEIGHTS}
        | {f"main.{n + 15}": f"generator.decoder.{n}" for n in WITH_WEIGHTS},
        settings=centre_settings,
        missing=UNTRAINED,
    ),
)


class ContextEncoder(InpaintingModule):
    """Reconstruction and adversarial loss on the predicted part, one step each for D and G on the same batch."""

    Config = ContextEncoderConfig

    def __init__(self, **overrides):
        super().__init__(ContextEncoderConfig(**overrides))
        cfg = self.cfg
        self.pred_size = cfg.fine_size // 2 if cfg.net == "centre" else cfg.fine_size
        self.generator = Generator(cfg.fine_size, self.pred_size, cfg.width, cfg.bottleneck, cfg.noise, cfg.bias)
        if cfg.conditional:
            self.discriminator = ConditionalDiscriminator(cfg.fine_size, cfg.width)
        else:
            self.discriminator = Discriminator(self.pred_size, cfg.width)
        init_(self)

    def predicted(self, plane):
        """The part of (B,C,F,F) that the generator predicts. -> (B,C,P,P)"""
        rim = (self.cfg.fine_size - self.pred_size) // 2
        return plane[..., rim : rim + self.pred_size, rim : rim + self.pred_size]

    def blanked(self, mask):
        """What the generator is not shown, 1 = hole: the mask, or the centre net's square but for its overlap."""
        if self.cfg.net == "random_region":
            return mask
        rim = self.cfg.fine_size // 4 + self.cfg.overlap
        hole = torch.zeros_like(mask)
        hole[..., rim:-rim, rim:-rim] = 1
        return hole

    def training_step(self, batch, batch_idx):
        cfg = self.cfg
        opt_g, opt_d = self.optimizers()
        self.check(batch)
        image = batch["image"] * 2 - 1  # (B,3,F,F) in [-1,1]
        hole = self.blanked(batch["mask"])  # (B,1,F,F), 1 = hole
        context = blank(image, hole)
        truth = self.predicted(image)  # (B,3,P,P)
        pred = self.generator(context, self.noise(len(image)))  # (B,3,P,P)

        if cfg.lambda_adv > 0:
            with self.toggled_optimizer(opt_d):  # Eq. 2, its max over D
                real = self.discriminator(truth, context)
                fake = self.discriminator(pred.detach(), context)
                self.update("d", opt_d, nonsaturating_d(real, fake))

        with self.toggled_optimizer(opt_g):
            weight = overlap_weights(self.predicted(hole), cfg.overlap_weight)
            norm = l2_weighted if cfg.pixel_norm == "l2" else l1_weighted
            rec = norm(pred, truth, weight)  # Eq. 1
            adv = nonsaturating_g(self.discriminator(pred, context)) if cfg.lambda_adv > 0 else rec.new_zeros(())
            self.update("g", opt_g, cfg.lambda_rec * rec + cfg.lambda_adv * adv, rec=rec, adv=adv)  # Eq. 3

    def configure_optimizers(self):
        cfg = self.cfg
        return (
            torch.optim.Adam(self.generator.parameters(), lr=cfg.lr_g, betas=BETAS),
            torch.optim.Adam(self.discriminator.parameters(), lr=cfg.lr_d, betas=BETAS),
        )

    def noise(self, count):
        """(B,N,1,1) from N(0,1), or None for a generator without noise."""
        return torch.randn(count, self.cfg.noise, 1, 1, device=self.device) if self.cfg.noise else None

    def check(self, batch):
        """See `PaperModule`; where holes lie is looked at no more after the first step."""
        super().check(batch)
        side, (height, width) = self.cfg.fine_size, batch["image"].shape[2:]
        if (height, width) != (side, side):
            raise ValueError(f"model.fine_size = {side} needs data.crop = {side}; got images of {height} x {width}")
        if self.cfg.net == "centre" and self.iteration <= 1:
            if batch["mask"].sum() > self.predicted(batch["mask"]).sum():
                raise ValueError(
                    "the centre net learns to fill the middle half of the image and nothing else; got holes outside "
                    "it: use masks=centre, or model.net=random_region"
                )

    def complete(self, image, mask):
        """See `InpaintingModule`. Each hole is shown in a window of at least twice its side, or in the whole image."""
        return pasted(image, self.pieces(image, mask))

    def pieces(self, image, mask):
        reach = self.pred_size / self.cfg.fine_size
        return pieces_by_windows(self.fill, image, mask, size=self.cfg.fine_size, context=0.5, reach=reach)

    def fill(self, image, mask):
        """image RGB in [0,1] (N,3,F,F), mask (N,1,F,F) -> prediction (N,3,P,P) in [0,1]. Noise is 0, its mean.

        The centre net has learnt to copy what lies around its square. Where the mask hides some of that, colours are
        carried over from the visible pixels: HOLE_COLOUR there would be copied as well.
        """
        context = blank(push_pull(image, mask) * 2 - 1, self.blanked(mask))
        noise = image.new_zeros(len(image), self.cfg.noise, 1, 1)
        return (self.generator(context, noise) + 1) / 2
