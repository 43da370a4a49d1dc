"""`chromafill inpaint`: photographs and masks in, photographs without the hole out, untouched around it.

The photograph stays in uint8 and its mask in bool; what the network sees and what fills a hole is in float, a window or
a tile at a time: 100 megapixels take 2.2 GiB in all, 1.4 of them above the libraries (measured on a CPU with small
networks).
"""

import os
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from datamodules.decoding import read_mask, read_photo, write_photo
from experiments.arguments import Parser
from experiments.checkpoints import load_module
from experiments.errors import UserError
from experiments.photographs import (
    SUFFIXES,
    Tally,
    add_options,
    below,
    identity,
    neighbour,
    pick_device,
    plan,
    say,
)
from experiments.progress import ProgressLines
from lightning_modules.ops.blending import blend_one

LOSSLESS = (".png", ".tif", ".tiff", ".bmp", ".ppm")
USUAL_SHARE = (0.001, 0.95)  # of a photograph that is hole; beyond, the polarity may be the wrong one


def parser():
    parser = Parser(
        "inpaint",
        "Fill holes in photographs with a checkpoint. Around the hole a result equals the photograph bit for bit.",
        "chromafill inpaint scan.jpg --mask scratches.png --checkpoint runs/RUN/checkpoints/best.ckpt -o filled.png",
    )
    add_options(parser, folder="filled", file_format="png")
    parser.add_argument(
        "--mask",
        required=True,
        metavar="MASK",
        help="one mask for all photographs, or a folder of masks laid out as theirs, with the same names but for the "
        "suffix; a mask has the size of its photograph as shown upright",
    )
    parser.add_argument(
        "--mask-polarity", choices=("white", "black"), default="white", help="colour of the hole (default: white)"
    )
    parser.add_argument(
        "--blend",
        action="store_true",
        help="hide the seam: colours at the rim of a hole come from the photograph, gradients from the model",
    )
    parser.add_argument("--resize-mask", action="store_true", help="bring masks of other sizes to the photograph's")
    return parser


def run(arguments):
    works, device = plan(arguments), pick_device(arguments.device)
    masks = mask_source(arguments.mask)
    module, _ = load_module(arguments.checkpoint, "inpainting")
    module.to(device)
    if lossy := [work.target for work in works if work.target.suffix.lower() not in LOSSLESS]:
        say(f"{lossy[0].suffix} changes pixels around the hole, too; --format png, the default, keeps them bit for bit")
    with torch.inference_mode(), ProgressLines(len(works), "inpaint") as progress:
        tally = Tally(progress)
        read = [arguments.checkpoint, *(mask for work in works for mask in masks(work))]
        for work in tally.due(works, arguments.overwrite, also_read=read):
            with tally.going_on(work):
                photo = read_photo(work.path)
                mask = hole(only(masks(work), work, arguments.mask), photo, work, arguments)
                image = filled(module, photo.image, mask, arguments.blend)
                work.target.parent.mkdir(parents=True, exist_ok=True)
                write_photo(work.target, image, like=photo)
                tally.wrote(work)
    return tally.close()


def mask_source(word):
    """The function from a Work to the masks, [Path], that --mask names for it. UserError where that is no place."""
    place = Path(word)
    if os.path.isfile(place):
        return lambda work: [place]
    if not os.path.isdir(place):
        raise UserError(f"--mask: no file or folder {word}{neighbour(word)}")

    named = defaultdict(list)
    for path in sorted(below(place)):
        if path.suffix.lower() in SUFFIXES:
            named[path.relative_to(place).with_suffix("")].append(path)

    def same_name(work):
        return [path for path in named[work.relative.with_suffix("")] if identity(path) != identity(work.path)]

    return same_name


def only(masks, work, word):
    """The one mask of a photograph; UserError where there is none, or more."""
    if len(masks) != 1:
        found = ", ".join(path.name for path in masks) or "none"
        expected = Path(word) / work.relative.with_suffix(".*")
        raise UserError(f"one mask {expected} is expected, found {found}")
    return masks[0]


@lru_cache(maxsize=1)
def cached_mask(path, polarity):
    """`read_mask` in bool, once for all photographs where they share it."""
    return read_mask(path, polarity).bool()


def hole(path, photo, work, arguments):
    """bool (1,H,W), 1 = hole, at the photograph's size. UserError where size or content cannot be meant."""
    mask, size = cached_mask(path, arguments.mask_polarity), photo.image.shape[-2:]
    if mask.shape[-2:] != size:
        if not arguments.resize_mask:
            raise UserError(
                f"a mask of {size[1]} x {size[0]} is expected (width x height, upright), {path} is "
                f"{mask.shape[2]} x {mask.shape[1]}; give one of that size, or --resize-mask"
            )
        mask = F.interpolate(mask[None].to(torch.uint8), size, mode="nearest-exact")[0].bool()
    share = mask.count_nonzero().item() / mask.numel()
    other = "black" if arguments.mask_polarity == "white" else "white"
    if share == 0:
        raise UserError(
            f"mask {path} has no hole: nothing in it is {arguments.mask_polarity}; --mask-polarity {other}?"
        )
    if not USUAL_SHARE[0] <= share <= USUAL_SHARE[1]:
        say(f"{work.path}: the hole is {share:.3%} of the photograph; is --mask-polarity {other} meant?")
    return mask


def filled(module, image, mask, blended=False):
    """`image`, uint8 (3,H,W), with the model's answer where mask, bool (1,H,W), is 1. Changes `image`."""
    shown = image.to(module.device)
    for piece in module.pieces(shown[None], mask[None].to(module.device)):
        piece.paste_(image)
    if blended or getattr(module.cfg, "postprocess", False):  # GLCIC's setting of the same
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        image = torch.from_numpy(blend_one(pixels, mask[0].numpy())).permute(2, 0, 1)
    return image
