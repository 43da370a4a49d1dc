"""Whether a training to colour teaches features, by the README's lines."""

import json
import os
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.run_record import RUN_DIR

LAYERS = [f"network.model{block}" for block in (4, 5, 6, 7)]
CPU = ["trainer.accelerator=cpu", "trainer.devices=1", "data.workers=0", "logger=none"]


def train(*words):
    os.environ.pop(RUN_DIR, None)  # of the training before
    assert main(["train", *words, *CPU]) == 0


@pytest.mark.slow
def test_features_of_a_trained_colorizer_beat_those_of_the_same_network_untrained(tmp_path, monkeypatch):
    """About eight kinds of scene, 12.5 % by chance; over 400 iterations the README's gains are 19 % and more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(RUN_DIR, "")  # so that it is as before in the end
    train("experiment=colorful_synthetic", "run_dir=runs/colorful", "iterations=200")
    top1 = {}
    for weights in ("trained", "untrained"):
        words = ["model.checkpoint=runs/colorful/checkpoints/last.ckpt", f"model.layers=[{','.join(LAYERS)}]"]
        train("experiment=linear_probe_synthetic", *words, f"model.weights={weights}", f"run_dir=runs/{weights}")
        scores = json.loads(Path("runs", weights, "run.json").read_text())["scores"]
        top1[weights] = [100 * scores[f"val/top1/{layer}"] for layer in LAYERS]
    gains = [trained - untrained for trained, untrained in zip(top1["trained"], top1["untrained"], strict=True)]
    assert min(gains) > 5, top1
