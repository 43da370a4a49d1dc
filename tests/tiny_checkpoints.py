"""Checkpoint files of small networks with random weights, as training leaves them, and photographs to use them on."""

from dataclasses import asdict

import numpy as np
import torch
from PIL import Image

from experiments.compose import build, compose_config
from experiments.config_store import path_of
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.colorization.let_there_be_color import LetThereBeColor
from lightning_modules.inpainting.context_encoder import ContextEncoder
from lightning_modules.inpainting.context_encoder_features import ContextEncoderFeatures
from lightning_modules.segmentation.scene_parser import SceneParser


def save(path, module):
    """`path`, now holding what `load_module` needs."""
    model = asdict(module.cfg) | {"_target_": path_of(type(module))}
    checkpoint = {"state_dict": module.state_dict(), "config": {"model": model}, "iteration": 1}
    torch.save(checkpoint | {"class_names": module.class_names}, path)
    return path


def untrained(path, *overrides):
    """A checkpoint as a training of these settings leaves it, of weights that have not learnt."""
    config = compose_config(list(overrides))
    torch.manual_seed(0)
    module = build(config["model"], "model")
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": module.state_dict(), "config": config, "iteration": 7}, path)


def colorizer(path):
    """A `Colorful` that sees 32 pixels and paints vividly, another colour in every place."""
    torch.manual_seed(0)
    module = Colorful(width=2, working_side=32)
    with torch.no_grad():
        module.network.model8[-1].weight.mul_(3000)
    return save(path, module)


def classifier(path, **settings):
    """A `LetThereBeColor` that sees 32 pixels and tells four classes apart; its colours depend on the global features.

    `settings` go to the model.
    """
    torch.manual_seed(0)
    module = LetThereBeColor(**{"width": 8, "global_side": 32, "working_side": 32, "classes": 4} | settings)
    module.class_names = ["coast", "forest", "road", "street"]
    with torch.no_grad():
        for norm in module.network.modules():
            norm.momentum = 1.0  # batch norm keeps the statistics of the one batch below
        views = torch.from_numpy(np.stack([scene(32, 32, seed) for seed in range(8)])[:, None, ..., 0] / 255)
        module.train()(views.float())
        module.network.color.conv5.weight.mul_(5)
    return save(path, module)


def scene_parser(path, classes, width):
    """A `SceneParser` of the data set `synthetic`."""
    return save(path, SceneParser(classes=classes, first_label=0, width=width))


def inpainter(path):
    """A `ContextEncoder` that sees 64 pixels."""
    torch.manual_seed(0)
    return save(path, ContextEncoder(fine_size=64, width=4, bottleneck=8))


def feature_net(path):
    """A `ContextEncoderFeatures` that sees 67 pixels."""
    torch.manual_seed(0)
    return save(path, ContextEncoderFeatures(fine_size=67, width=4))


def scene(height, width, seed=0):
    """uint8 (H,W,3): smooth, with every direction telling itself apart."""
    coarse = np.random.default_rng(seed).integers(30, 226, (4, 5, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
