"""Every experiment file, drawn from the folder: it composes, its settings hold, and it trains on synthetic scenes."""

import pytest
import yaml
from tiny_checkpoints import colorizer, feature_net, scene_parser

from experiments.compose import build, compose_config, options_of
from experiments.verbs.train import train
from lightning_modules.pretrained.checkpoint import read_checkpoint

EXPERIMENTS = options_of("experiment")


def test_each_paper_has_a_full_recipe_and_a_small_one():
    full = {
        "colorful_imagenet",
        "deep_colorization_sun",
        "let_there_be_color_places205",
        "context_encoder_imagenet",
        "glcic_places",
    }
    small = {
        "colorful_photos",
        "deep_colorization_photos",
        "let_there_be_color_photos",
        "context_encoder_photos",
        "glcic_photos",
    }
    assert full | small <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_trains_for_two_iterations_on_synthetic_scenes(name, tmp_path):
    config = compose_config([f"experiment={name}"])
    build(config["data"], "data")
    scenes = compose_config(["model=colorful", "data=synthetic"])["data"]
    config["data"] = scenes | {
        "crop": config["data"]["crop"],
        "masks": config["data"]["masks"],
        "batch_size": 2,
        "workers": 0,
        "train_count": 20,
        "val_count": 2,
    }
    if "width" in config["model"]:
        config["model"]["width"] = 8
    if config["model"].get("init_from"):
        config["model"]["init_from"] = None  # a checkpoint of the reader's own
    if config["model"].get("semantic") == "parser":
        classes, width = config["model"]["semantic_classes"], config["model"]["parser_width"]
        config["model"]["parser"] = str(scene_parser(tmp_path / "parser.ckpt", classes, width))
    if "checkpoint" in config["model"]:
        encoder = feature_net if "network.encoder" in (config["model"].get("layer") or "") else colorizer
        config["model"]["checkpoint"] = str(encoder(tmp_path / "encoder.ckpt"))
    if "hidden" in config["model"]:
        config["model"]["hidden"] = 8
    config |= {"iterations": 2, "validate_every": 2, "checkpoint_every": 2, "log_every": 1, "logger": "none"}
    config["run_dir"] = str(tmp_path)
    config["trainer"] |= {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
    train(config)
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["iteration"] == 2
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["experiment"] == name
