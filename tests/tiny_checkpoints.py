"""Checkpoint files of small networks with random weights, as training leaves them, and photographs to use them on."""

from dataclasses import asdict

import numpy as np
import torch
from PIL import Image

from experiments.config_store import path_of
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.inpainting.context_encoder import ContextEncoder


def save(path, module):
    """`path`, now holding what `load_module` needs."""
    model = asdict(module.cfg) | {"_target_": path_of(type(module))}
    torch.save({"state_dict": module.state_dict(), "config": {"model": model}, "iteration": 1}, path)
    return path


def colorizer(path):
    """A `Colorful` that sees 32 pixels and paints vividly, another colour in every place."""
    torch.manual_seed(0)
    module = Colorful(width=2, working_side=32)
    with torch.no_grad():
        module.network.model8[-1].weight.mul_(3000)
    return save(path, module)


def inpainter(path):
    """A `ContextEncoder` that sees 64 pixels."""
    torch.manual_seed(0)
    return save(path, ContextEncoder(fine_size=64, width=4, bottleneck=8))


def scene(height, width, seed=0):
    """uint8 (H,W,3): smooth, with every direction telling itself apart."""
    coarse = np.random.default_rng(seed).integers(30, 226, (4, 5, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
