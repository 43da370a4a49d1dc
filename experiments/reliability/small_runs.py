"""Every paper as a training of seconds: eight iterations on drawn scenes of 64 pixels, on the CPU, all phases of it."""

import tempfile
from functools import cache
from pathlib import Path

import torch

from experiments.compose import build, compose_config

SHORT = [
    "data.batch_size=4",
    "data.workers=0",
    "data.train_count=20",  # an epoch ends after five iterations
    "data.val_count=5",
    "iterations=8",
    "validate_every=4",
    "checkpoint_every=2",
    "log_every=1",
    "logger=none",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
]
COLORFUL = ["experiment=colorful_synthetic", "model.width=4", "data.crop=32"]
OWN = {  # paper: what makes its synthetic experiment small
    "colorful": COLORFUL,
    "deep_colorization": ["experiment=deep_colorization_synthetic_labels", "data.crop=32", "model.pixels=64"],
    "let_there_be_color": ["experiment=let_there_be_color_synthetic", "model.width=8"],
    "context_encoder": ["experiment=context_encoder_synthetic", "model.width=4", "model.bottleneck=16"],
    "context_encoder_random": ["experiment=context_encoder_random_synthetic", "model.width=4", "model.bottleneck=16"],
    "context_encoder_features": [
        "experiment=context_encoder_features_synthetic",
        "model.fine_size=67",
        "data.crop=67",
        "model.width=4",
    ],
    "glcic": ["experiment=glcic_synthetic", "model.width=4", "model.t_c=2", "model.t_d=2"],
    "linear_probe": ["experiment=linear_probe_synthetic", "data.crop=32"],
    "fine_tune": ["experiment=fine_tune_synthetic", "data.crop=32", "model.hidden=8"],
    "scene_parser": ["experiment=scene_parser_synthetic", "data.crop=32", "model.width=4"],
}
PAPERS = tuple(OWN)


def small(paper):
    """Overrides of `chromafill train`; `run_dir` is the caller's to give."""
    judged = [f"model.checkpoint={encoder()}"] if paper in ("linear_probe", "fine_tune") else []
    return [*OWN[paper], *SHORT, *judged]


@cache
def own_folder():
    """Removed with this process."""
    return tempfile.TemporaryDirectory(prefix="chromafill-")


@cache
def encoder():
    """The checkpoint of an untrained colorizer, for as long as this process lives."""
    config = compose_config([*COLORFUL, *SHORT])
    torch.manual_seed(0)
    module = build(config["model"], "model")
    path = Path(own_folder().name, "colorful.ckpt")
    torch.save({"state_dict": module.state_dict(), "config": config, "iteration": 1}, path)
    return path
