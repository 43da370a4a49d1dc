"""A photograph of a hundred megapixels is coloured and filled in the memory of a laptop, without seams."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from datamodules.decoding import read_image, read_mask
from experiments.checkpoints import load_module
from experiments.compose import build, compose_config
from experiments.reliability.finding import Finding
from experiments.reliability.small_runs import small
from experiments.verbs import colorize
from experiments.verbs.inpaint import filled
from lightning_modules.inpainting import glcic
from lightning_modules.ops import pieces, windows
from lightning_modules.ops.png import to_uint8

TITLE = "Memory for a large photograph"
FIXED, PER_PIXEL = 350, 13.5  # MiB above the imports, of small networks, and bytes for each pixel
PARTS = ((colorize, "STRIP_PIXELS"), (glcic, "TILE"), (windows, "BAND_PIXELS"), (pieces, "BAND_PIXELS"))  # their sizes
COMPARED = 4  # megapixels that a network also completes in one piece
NETWORKS = {  # paper: (verb, settings); small ones, the network's own memory being another matter
    "colorful": ("colorize", ["model.working_side=256"]),
    "deep_colorization": ("colorize", ["model.semantic=none", "model.working_side=256"]),
    "let_there_be_color": ("colorize", ["model.working_side=224"]),
    "context_encoder": ("inpaint", []),
    "context_encoder_random": ("inpaint", []),
    "context_encoder_features": ("inpaint", []),
    "glcic": ("inpaint", []),
}


def findings(effort, folder):
    papers = [paper for paper in NETWORKS if effort.papers is None or paper in effort.papers]
    for paper in papers:
        yield whole(paper, COMPARED, folder)
    for paper in papers:
        yield bounded(paper, effort.megapixels, folder)


def bounded(paper, megapixels, folder):
    """Peak memory of the verb in a process of its own."""
    verb, _ = NETWORKS[paper]
    photo, mask = photograph(megapixels, folder), holes(megapixels, folder)
    bound = FIXED + PER_PIXEL * megapixels * 1e6 / 2**20
    words = [verb, str(photo), "--checkpoint", str(untrained(paper, folder)), "--device", "cpu"]
    words += ["-o", str(folder / f"{paper}.{'jpg' if verb == 'colorize' else 'png'}")]
    words += ["--mask", str(mask)] if verb == "inpaint" else []
    took = measured(words)
    above = took["peak"] - took["imports"]
    note = (
        f"{took['peak']:.0f} MiB in all, {above:.0f} above the imports' {took['imports']:.0f}, of {bound:.0f}; "
        f"{took['seconds']:.0f} s of processor time"
    )
    what = f"{paper}: {verb} of {megapixels} megapixels stays below {FIXED} MiB and {PER_PIXEL} bytes a pixel"
    return Finding(what=what, tried=1, held=int(took["code"] == 0 and above <= bound), note=note)


def measured(words):
    """What memory_child prints of a command line."""
    command = [sys.executable, "-m", "experiments.reliability.memory_child", *words]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {child.stderr[-500:]}")
    return json.loads(child.stdout.splitlines()[-1])


def whole(paper, megapixels, folder):
    """What the verb does in uint8 and part by part beside the same network's answer in float and in one piece: no seam,
    to a level of 255. What fills a window around each hole does so in both."""
    module, _ = load_module(untrained(paper, folder))
    image = read_image(photograph(megapixels, folder)).contiguous()
    with torch.inference_mode():
        if NETWORKS[paper][0] == "inpaint":
            hole = read_mask(holes(megapixels, folder)).bool()
            with in_one_piece():
                expected = to_uint8(module.complete(image[None].float() / 255, hole[None].float())[0])
            found = filled(module, image, hole)
        else:
            chroma = module.predict_chroma(colorize.network_view(module, image, module.cfg.working_side)).float()
            with in_one_piece():
                expected = colorize.coloured(module, image.clone(), chroma)
            found = colorize.coloured(module, image, chroma)
    worst = (found.int() - expected.int()).abs().max().item()
    what = f"{paper}: part by part as in one piece, {megapixels} megapixels"
    return Finding(what=what, tried=1, held=int(worst <= 1), note=f"largest difference {worst} of 255")


@contextmanager
def in_one_piece():
    """Has strips, tiles and bands larger than any photograph."""
    before = [getattr(module, name) for module, name in PARTS]
    try:
        for module, name in PARTS:
            setattr(module, name, 1 << 30)
        yield
    finally:
        for (module, name), size in zip(PARTS, before, strict=True):
            setattr(module, name, size)


def sides(megapixels):
    """(height, width) of 3 x 4 with so many million pixels."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    return height, round(height * 4 / 3)


def photograph(megapixels, folder):
    """A JPEG of soft colours, made once."""
    path, (height, width) = folder / f"{megapixels}.jpg", sides(megapixels)
    if not path.exists():
        coarse = np.random.default_rng(0).integers(20, 235, (height // 300 + 2, width // 300 + 2, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def holes(megapixels, folder):
    """Its mask, made once: thirty spots and three scratches from side to side, which all hang together."""
    path, (height, width) = folder / f"{megapixels}.png", sides(megapixels)
    if not path.exists():
        draw, pixels = np.random.default_rng(0), np.zeros((height, width), np.uint8)
        for _ in range(30):
            top, left = draw.integers(0, height - 40), draw.integers(0, width - 40)
            pixels[top : top + draw.integers(10, 150), left : left + draw.integers(10, 150)] = 255
        for place in (0.2, 0.7):
            pixels[int(place * height) :][:6] = 255
        pixels[:, width // 2 :][:, :6] = 255
        Image.fromarray(pixels).save(path)
    return path


def untrained(paper, folder):
    """A checkpoint of the small network, made once."""
    path = folder / f"{paper}.ckpt"
    if not Path(path).exists():
        config = compose_config([*small(paper), *NETWORKS[paper][1]])
        torch.manual_seed(0)
        module = build(config["model"], "model")
        torch.save({"state_dict": module.state_dict(), "config": config, "iteration": 1}, path)
    return path
