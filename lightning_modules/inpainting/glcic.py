"""GLCIC: Globally and Locally Consistent Image Completion. Iizuka, Simo-Serra and Ishikawa, ACM TOG 36(4), 2017.

B batch; H, W an image; S side of a training image; P side of the local window. Images are RGB in [0,1]; the completion
network C sees them less a mean colour, with a hole of 0, and answers in [0,1]. D is the discriminator.
The authors released C, in Torch, and never their training code; where the paper leaves something open, ports of it are
followed: otenim's (GLCIC-PyTorch) and MMagic's. Departs from the paper:
- C descends on -log D instead of log(1 - D), as in both ports;
- D's loss in the joint phase is not multiplied by alpha, as in MMagic: it has no other term, and Adadelta divides a
  factor out but for its eps;
- discriminators keep no running statistics: they only ever judge whole batches.
Left open by the paper:
- what the reconstruction's sum of squares is divided by. alpha is of the size of a mean over all values, as in otenim's
  port. Adadelta's eps of 1e-6 is far above the gradients of such a mean, and slows it: C descends on 3*S*S times that;
- a ReLU on what each branch of D hands on, which both ports have; initial weights, PyTorch's, which are those of Torch.
"""

from dataclasses import dataclass, field
from itertools import islice, product

import torch
from torch import nn
from torch.nn import functional as F

from lightning_modules.losses.adversarial import nonsaturating_d, nonsaturating_g
from lightning_modules.losses.reconstruction import l1_weighted, l2_weighted
from lightning_modules.ops.blending import blend
from lightning_modules.ops.crops import bounding_boxes, corners_around, crop_windows, random_corners
from lightning_modules.ops.masking import composite
from lightning_modules.ops.pieces import as_float, pasted, piece_of
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.equal_layers import load_equal_layers_
from lightning_modules.pretrained.published import Published, Refused, covers, shape
from lightning_modules.tasks import InpaintingModule

PLACES_MEAN = (0.4560, 0.4472, 0.4155)  # of Places2, in the released networks
MEAN_BATCHES = 32  # whose mean colour model.mean=null takes where there is no init_from
TILE = 512  # side of what is completed at a time, a multiple of STRIDE
REACH = 160  # pixels, a multiple of STRIDE: C looks 153 to either side at most
STRIDE = 4  # the sides of what C sees are multiples of it
CHOICES = {
    "discriminators": ("both", "local", "global", "none"),
    "answer": ("sigmoid", "clip"),
    "hole_value": ("mean", "zero"),
    "d_input": ("composite", "raw"),
    "pixel_norm": ("l2", "l1"),
    "real_crop": ("random", "same"),
}


@dataclass(kw_only=True)
class GLCICConfig:
    # Completion network
    width: int = 64  # channels of its first layer and of D's; the others scale with it
    dilation: bool = True  # false: plain convolutions, which see 95 pixels instead of 303
    norm_first: bool = True  # batch norm before ReLU, as released; otenim's port: after
    answer: str = "sigmoid"  # of the last layer, into (0,1) | clip: to [0,1], for MMagic's networks
    mean: list[float] | None = field(default_factory=lambda: list(PLACES_MEAN))  # null: init_from's or the images' own
    hole_value: str = "mean"  # of the pixels that C is not shown: the mean colour | zero, black
    # Context discriminators
    discriminators: str = "both"  # both | local | global | none
    side: int = 256  # S, which data.crop must equal
    local_side: int = 128  # P
    d_input: str = "composite"  # D sees C's answer in the hole and the image around | raw: C's answer everywhere
    real_crop: str = "random"  # local window of a real image: anywhere | same: that of the completed image
    # Training
    pixel_norm: str = "l2"
    alpha: float = 4e-4  # weight of the adversarial loss; 0 leaves D out
    lr: float = 1.0  # what Adadelta's steps are multiplied with; the method has no such number
    t_c: int = 90_000  # T_C, iterations of C alone
    t_d: int = 10_000  # T_D, iterations of D alone, after which they learn together
    init_from: str | None = None  # checkpoint whose layers of equal name and shape a fresh run starts from
    # Completing
    postprocess: bool = False  # fast marching and Poisson cloning, of OpenCV

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"model.{name} must be one of {', '.join(choices)}; got {self.__dict__[name]!r}")
        if self.width < 2 or self.width % 2:
            raise ValueError(f"model.width must be even, at least 2; got {self.width}")
        if self.side % STRIDE or not 8 <= self.local_side <= self.side:
            raise ValueError(
                f"model.side must be a multiple of {STRIDE}, and model.local_side from 8 up to it; "
                f"got {self.side} and {self.local_side}"
            )
        if self.mean is not None and (len(self.mean) != 3 or not all(0 <= value <= 1 for value in self.mean)):
            raise ValueError(f"model.mean must be null or red, green and blue from 0 to 1; got {list(self.mean)}")
        if self.lr <= 0:
            raise ValueError(f"model.lr must be above 0, got {self.lr}")
        if min(self.alpha, self.t_c, self.t_d) < 0:
            raise ValueError(
                f"model.alpha, model.t_c and model.t_d must not be negative; got {self.alpha}, {self.t_c}, {self.t_d}"
            )


def conv(before, after, kernel=3, stride=1, dilation=1):
    """A convolution whose zero padding keeps the size, but for the stride."""
    return nn.Conv2d(before, after, kernel, stride, padding=dilation * (kernel // 2), dilation=dilation)


def deconv(before, after):
    """The table's stride of 1/2."""
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)


class CompletionNet(nn.Module):
    """Centred RGB with its hole (B,3,H,W) and mask (B,1,H,W) -> RGB in (0,1) (B,3,H,W); sides multiples of 4.

    50 modules under the numbers that they have in the released files: layer n = 1..16 at 3(n-1), its norm and its ReLU
    next to it, the output layer at 48, the sigmoid at 49.
    """

    def __init__(self, width=64, dilation=True, norm_first=True, clip=False):
        super().__init__()
        w = width
        table = [  # sizes at 256 x 256
            conv(4, w, kernel=5),  # 1
            conv(w, 2 * w, stride=2),  # 2, 128
            conv(2 * w, 2 * w),
            conv(2 * w, 4 * w, stride=2),  # 4, 64
            conv(4 * w, 4 * w),
            conv(4 * w, 4 * w),
            *(conv(4 * w, 4 * w, dilation=rate if dilation else 1) for rate in (2, 4, 8, 16)),  # 7 to 10
            conv(4 * w, 4 * w),
            conv(4 * w, 4 * w),  # 12
            deconv(4 * w, 2 * w),  # 13, 128
            conv(2 * w, 2 * w),
            deconv(2 * w, w),  # 15, 256
            conv(w, w // 2),
        ]
        layers = []
        for layer in table:
            norm, relu = nn.BatchNorm2d(layer.out_channels), nn.ReLU(inplace=norm_first)
            layers += [layer, norm, relu] if norm_first else [layer, relu, norm]
        self.layers = nn.Sequential(*layers, conv(w // 2, 3), nn.Hardtanh(0, 1) if clip else nn.Sigmoid())  # 17

    def forward(self, shown, mask):
        return self.layers(torch.cat([shown, mask], dim=1))


def branch(side, width):
    """(B,3,side,side) -> (B,16*width): 5 x 5 convolutions of stride 2 down to a side of 5 or less, then one linear."""
    layers, before, after = [], 3, width
    while side > 5:
        layers += [conv(before, after, kernel=5, stride=2), nn.BatchNorm2d(after, track_running_stats=False)]
        layers += [nn.ReLU(inplace=True)]
        before, after, side = after, min(2 * after, 8 * width), (side + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * side**2, 16 * width), nn.ReLU(inplace=True))


class ContextDiscriminator(nn.Module):
    """Image (B,3,S,S) and its local window (B,3,P,P), both RGB in [0,1] -> logit (B,1). It is not shown the mask."""

    def __init__(self, side=256, local_side=128, width=64, which="both"):
        super().__init__()
        self.local_branch = branch(local_side, width) if which in ("both", "local") else None
        self.global_branch = branch(side, width) if which in ("both", "global") else None
        self.fuse = nn.Linear(32 * width if which == "both" else 16 * width, 1)

    def forward(self, image, window):
        codes = []
        if self.local_branch is not None:
            codes.append(self.local_branch(window))
        if self.global_branch is not None:
            codes.append(self.global_branch(image))
        return self.fuse(torch.cat(codes, dim=1))


def width_of(state):
    """The width of a network from its sixth layer, which is 4 times as wide."""
    return 2 * max(1, min(shape(state, "generator.layers.15.weight", 4)[:2]) // 8)


def without_discriminator(state):
    return {"width": width_of(state), "alpha": 0.0}


def with_mean(state):
    """The mean colour as one tensor (3,); the file has it as a tensor or as a table of three numbers."""
    parts = sorted(key for key in state if covers("mean", key))
    mean = torch.cat([state[key].flatten() for key in parts])
    return {key: value for key, value in state.items() if key not in parts} | {"mean": mean}


def released_settings(state):
    return without_discriminator(state) | {"mean": with_mean(state)["mean"].tolist()}


def otenim_settings(state):
    return without_discriminator(state) | {"norm_first": False, "mean": [0.0, 0.0, 0.0]}


def from_otenim(state):
    """otenim's C is shown x (1-m) + mpv m, ours, with a mean of 0, x (1-m): its weights of m take the mpv over."""
    if "mean" not in state:
        raise CheckpointError("it lacks the mean pixel value, mpv in the config.json beside it: give --mean R G B")
    weight = state["generator.layers.0.weight"].clone()
    weight[:, 3] += (weight[:, :3] * state["mean"].view(3, 1, 1)).sum(dim=1)
    return state | {"generator.layers.0.weight": weight, "mean": torch.zeros(3)}


def mmagic_settings(state):
    return without_discriminator(state) | {"answer": "clip", "mean": [0.5, 0.5, 0.5]}


def from_mmagic(state):
    """MMagic's C is shown and answers BGR in [-1,1], which is 2 (x - 0.5). Before a norm it has no biases."""
    norms = {n: state[f"generator.layers.{n + 1}.bias"] for n in CONVS[:-1]}
    biases = {f"generator.layers.{n}.bias": torch.zeros_like(bias) for n, bias in norms.items()}
    first, last = "generator.layers.0.weight", "generator.layers.48"
    return (
        state
        | biases
        | {
            first: torch.cat([2 * state[first][:, :3].flip(1), state[first][:, 3:]], dim=1),
            f"{last}.weight": state[f"{last}.weight"].flip(0) / 2,
            f"{last}.bias": state[f"{last}.bias"].flip(0) / 2 + 0.5,
            "mean": torch.full([3], 0.5),
        }
    )


CONVS = range(0, 49, 3)  # numbers of the 17 convolutions in `layers`
WITH_WEIGHTS = sorted([*CONVS, *range(1, 48, 3)])  # and of the norms behind them
MMAGIC_BLOCKS = [
    *(f"encoder.enc{n}" for n in range(1, 7)),
    *(f"dilation_neck.dilation_convs.{n}" for n in range(4)),
    *(f"decoder.dec{n}" for n in range(1, 8)),
]
CC_BY_NC_SA = "CC BY-NC-SA 4.0: non-commercial, to be shared alike"
NO_DISCRIMINATOR = ("it comes without a discriminator: model.alpha is 0",)


OTENIM_LAYERS = {f"{'de' if n in (13, 15) else ''}conv{n}": f"generator.layers.{3 * n - 3}" for n in range(1, 18)}
OTENIM_LAYERS |= {f"bn{n}": f"generator.layers.{3 * n - 1}" for n in range(1, 17)}


def and_mean(keys):
    """The table `keys` for a file with or without a mean colour, which may be given beside it."""
    return lambda tensors: keys | ({"mean": "mean"} if "mean" in tensors else {})


PUBLISHED = (
    Published(
        name="torch7",
        source="the authors' (completionnet_places2.t7, completionnet_places2_freeform.t7, completionnet_celeba.t7)",
        licence=CC_BY_NC_SA,
        keys={f"model.{n}": f"generator.layers.{n}" for n in WITH_WEIGHTS} | {"mean": "mean"},
        settings=released_settings,
        values=with_mean,
        notes=NO_DISCRIMINATOR,
    ),
    Published(
        name="ganonymizer",
        source="the authors' Places2 network as a .pth with numbers for names (tanimutomo/ganonymizer)",
        licence=CC_BY_NC_SA,
        keys=and_mean({f"{n}": f"generator.layers.{n}" for n in WITH_WEIGHTS}),
        settings=lambda state: (released_settings if "mean" in state else without_discriminator)(state),
        missing={"mean": "the mean colour of Places2, which the authors' own file has"},
        notes=NO_DISCRIMINATOR,
    ),
    Published(
        name="otenim",
        source="the port otenim/GLCIC-PyTorch (model_cn)",
        licence="MIT",
        keys=and_mean(OTENIM_LAYERS),
        settings=otenim_settings,
        values=from_otenim,
        notes=("its batch norm follows the ReLU, which model.norm_first=false has", *NO_DISCRIMINATOR),
    ),
    Published(
        name="mmagic",
        source="MMagic (gl_256x256_8x12_places_20200619-52a040a8.pth, gl_256x256_8x12_celeba_20200619-5af0493f.pth)",
        licence="Apache-2.0",
        keys={
            f"generator.{block}.{part}": f"generator.layers.{3 * number + offset}"
            for number, block in enumerate(MMAGIC_BLOCKS)
            for offset, part in enumerate(("conv", "bn"))
            if (block, part) != ("decoder.dec7", "bn")
        },
        settings=mmagic_settings,
        values=from_mmagic,
        unused=("disc",),  # it judges [-1,1], which is none of ours where padding with 0 has a meaning
        notes=("its discriminator is left out: it was made for pixels in [-1,1]", *NO_DISCRIMINATOR),
    ),
    Refused(
        name="otenim-discriminator",
        source="model_cd of otenim/GLCIC-PyTorch",
        marks=("model_ld", "model_gd"),
        why="the discriminators, which fill no holes; model_cn has the network that does",
    ),
)


def tiles(height, width):
    """(a tile, all that C sees from it, the tile in that): indices into (B,C,H,W). What C paints in a tile is the same
    as in the whole image."""

    def spans(side):
        for start in range(0, side, TILE):
            first = max(0, start - REACH)
            own = slice(start - first, start - first + TILE)
            yield slice(start, start + TILE), slice(first, start + TILE + REACH), own

    for rows, columns in product(spans(height), spans(width)):
        yield tuple((..., *both) for both in zip(rows, columns, strict=True))


class GLCIC(InpaintingModule):
    """Algorithm 1: C alone for T_C iterations, D alone for T_D, then one step each, D first, on the same batch."""

    Config = GLCICConfig
    decoding = ("postprocess",)

    def __init__(self, **overrides):
        super().__init__(GLCICConfig(**overrides))
        cfg = self.cfg
        self.generator = CompletionNet(cfg.width, cfg.dilation, cfg.norm_first, clip=cfg.answer == "clip")
        self.discriminator = None
        if cfg.alpha > 0 and cfg.discriminators != "none":
            self.discriminator = ContextDiscriminator(cfg.side, cfg.local_side, cfg.width, cfg.discriminators)
        self.register_buffer("mean", torch.tensor(cfg.mean or PLACES_MEAN))  # (3,)

    def initialise(self, batches):
        """Reads `init_from`. A mean colour in the settings holds; with model.mean=null it is that of `init_from` or,
        where there is none, of the first training images. The checkpoint keeps it."""
        cfg, left = self.cfg, {"mean"}
        if cfg.init_from is not None:
            left = load_equal_layers_(self, cfg.init_from)
        if cfg.mean is not None:
            self.mean.copy_(torch.tensor(cfg.mean))
        elif "mean" in left:
            self.mean.copy_(torch.cat([batch["image"] for batch in islice(batches, MEAN_BATCHES)]).mean((0, 2, 3)))

    def predict(self, image, mask):
        """C(x, M_c): image (B,3,H,W), mask (B,1,H,W), 1 = hole -> (B,3,H,W), hole and surroundings."""
        centred = image - self.mean[:, None, None]
        hole = torch.zeros_like(self.mean) if self.cfg.hole_value == "mean" else -self.mean
        shown = composite(hole[:, None, None].expand_as(image), centred, mask)
        return self.generator(shown, mask)

    @torch.no_grad()
    def predict_frozen(self, image, mask):
        """As `predict`, by a C of which nothing moves, the statistics of its batch norms included."""
        self.generator.eval()
        pred = self.predict(image, mask)
        self.generator.train()
        return pred

    def learners(self):
        """(whether C learns, whether D learns) at this iteration."""
        if self.discriminator is None:
            return True, False
        t_c, t_d = self.cfg.t_c, self.cfg.t_d
        return self.iteration <= t_c or self.iteration > t_c + t_d, self.iteration > t_c

    def training_step(self, batch, batch_idx):
        cfg = self.cfg
        self.check(batch)
        opt_g, opt_d = self.optimizers() if self.discriminator is not None else (self.optimizers(), None)
        g_learns, d_learns = self.learners()
        image, mask = batch["image"], batch["mask"]  # (B,3,S,S) and M_c (B,1,S,S)
        pred = self.predict(image, mask) if g_learns else self.predict_frozen(image, mask)
        done = composite(pred, image, mask) if cfg.d_input == "composite" else pred

        if d_learns:
            around = anywhere = corners_around(mask, cfg.local_side)
            if cfg.real_crop == "random":  # M_d
                anywhere = random_corners(batch["draws"].fold("window"), image.shape[2:], cfg.local_side)
            with self.toggled_optimizer(opt_d):
                real = self.judge(image, anywhere)
                fake = self.judge(done.detach(), around)
                self.update("d", opt_d, nonsaturating_d(real, fake))

        if g_learns:
            with self.toggled_optimizer(opt_g):
                norm = l2_weighted if cfg.pixel_norm == "l2" else l1_weighted
                rec = norm(pred, image, mask)  # L(x, M_c), the hole alone
                adv = nonsaturating_g(self.judge(done, around)) if d_learns else rec.new_zeros(())
                loss = image[0].numel() * (rec + cfg.alpha * adv)
                self.update("g", opt_g, loss, rec=rec, adv=adv)

    def judge(self, image, corners):
        """D's logit (B,1) of images (B,3,S,S), each with the local window at `corners` (B,2)."""
        return self.discriminator(image, crop_windows(image, corners, self.cfg.local_side))

    def configure_optimizers(self):
        """Adadelta with the constants that Torch and PyTorch give it, rho 0.9 and eps 1e-6."""
        networks = [self.generator] if self.discriminator is None else [self.generator, self.discriminator]
        return [torch.optim.Adadelta(network.parameters(), lr=self.cfg.lr) for network in networks]

    def check(self, batch):
        """See `PaperModule`; done before every step. For 16 masks of 256 x 256 that takes 13 ms on a CPU core, where a
        step takes minutes; on a GPU it is one wait more, beside that of each optimiser."""
        super().check(batch)
        cfg, (height, width) = self.cfg, batch["image"].shape[2:]
        if (height, width) != (cfg.side, cfg.side):
            raise ValueError(f"model.side = {cfg.side} needs data.crop = {cfg.side}; got images of {height} x {width}")
        if self.discriminator is not None and self.discriminator.local_branch is not None:
            first, end = bounding_boxes(batch["mask"])
            longest = int(((end - first) * batch["mask"].any(dim=3).any(dim=2)).max())  # 0 without a hole
            if longest > cfg.local_side:
                raise ValueError(
                    f"the local discriminator looks at windows of model.local_side = {cfg.local_side} around the holes "
                    f"of an image together, and got some of {longest} pixels: use smaller ones, a larger "
                    "model.local_side or model.discriminators=global"
                )

    def complete(self, image, mask):
        """See `InpaintingModule`. C sees the image at its own size, its sides continued to multiples of 4."""
        done = pasted(image, self.pieces(image, mask))
        return blend(done, mask) if self.cfg.postprocess else done

    def pieces(self, image, mask):
        """The holes tile by tile, before the postprocessing: the memory for a large photograph is that of one tile."""
        mode = "reflect" if min(image.shape[-2:]) >= STRIDE else "replicate"
        for tile, around, inside in tiles(*image.shape[-2:]):
            hole = mask[tile][:, 0] > 0
            if not hole.any():
                continue
            shown, unknown = as_float(image[around]), (mask[around] > 0).float()
            beyond = (0, -shown.shape[3] % STRIDE, 0, -shown.shape[2] % STRIDE)
            pred = self.predict(F.pad(shown, beyond, mode), F.pad(unknown, beyond, mode))[inside]
            top, left = (part.start for part in tile[1:])
            for number in hole.any(dim=(1, 2)).nonzero()[:, 0].tolist():
                colours = pred[number, :, : hole.shape[1], : hole.shape[2]]
                yield piece_of(number, top, left, hole[number], colours)
