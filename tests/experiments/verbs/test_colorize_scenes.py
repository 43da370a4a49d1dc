"""`colorize --top-k` and `--style-image`, of models that know scenes."""

import numpy as np
import pytest
import tiny_checkpoints
import torch
from PIL import Image
from tiny_checkpoints import scene

from experiments import cli
from experiments.checkpoints import load_module
from experiments.verbs.colorize import network_view, read_photo


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("a.png", "b.png")):
        Image.fromarray(scene(40, 60, seed)).save(name)
    return tmp_path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoints.classifier(tmp_path_factory.mktemp("checkpoint") / "tiny.ckpt"))


def run(*words):
    return cli.main(["colorize", *map(str, words)])


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def test_top_k_prints_the_likeliest_classes_of_each_photograph_by_name(checkpoint, capsys):
    assert run("a.png", "b.png", "--checkpoint", checkpoint, "--top-k", 2) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("a.png: ", "b.png: "))]
    module, _ = load_module(checkpoint)
    shares = module.classify(network_view(module, read_photo("a.png").image, 32))[0]
    best, second = shares.argsort(descending=True)[:2].tolist()
    names = module.class_names
    assert lines[0] == f"a.png: {names[best]} {shares[best]:.1%}, {names[second]} {shares[second]:.1%}"
    assert len(lines) == 2 and lines[1].startswith("b.png: ")


def test_classes_without_names_are_numbers(here, capsys):
    path = tiny_checkpoints.classifier(here / "nameless.ckpt")
    content = torch.load(path, weights_only=True) | {"class_names": None}
    torch.save(content, path)
    assert run("a.png", "--checkpoint", path, "--top-k", 4) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("a.png: "))
    assert sorted(part.split()[1] for part in line.removeprefix("a.png: ").split(", ")) == ["0", "1", "2", "3"]


def test_a_style_changes_the_colours_and_the_own_style_does_not(checkpoint):
    for out, more in {"own": [], "same": ["--style-image", "a.png"], "other": ["--style-image", "b.png"]}.items():
        assert run("a.png", "--checkpoint", checkpoint, "-o", out, *more) == 0
    own, same, other = (pixels(f"{out}/a.png") for out in ("own", "same", "other"))
    assert np.abs(own - same).max() <= 1 and np.abs(own - other).max() > 3


def test_the_style_serves_a_batch_of_photographs(checkpoint):
    assert run("a.png", "b.png", "--checkpoint", checkpoint, "-o", "batch", "--style-image", "b.png") == 0
    assert run("a.png", "--checkpoint", checkpoint, "-o", "alone", "--style-image", "b.png") == 0
    assert np.abs(pixels("batch/a.png") - pixels("alone/a.png")).max() <= 1


def test_the_style_image_is_never_replaced(checkpoint, here, capsys):
    before = (here / "a.png").read_bytes()
    assert run("b.png", "--checkpoint", checkpoint, "--style-image", "a.png", "-o", "a.png", "--overwrite") == 2
    assert (here / "a.png").read_bytes() == before
    assert "which is read here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "words", "message"),
    [
        ({}, ["--top-k", 9], "--top-k 9: the model knows 4 classes"),
        ({"alpha": 0.0}, ["--top-k", 1], "--top-k: this network was trained without a classifier"),
        ({}, ["--style-image", "none.png"], "--style-image: none.png"),
        (
            {"alpha": 0.0, "global_features": False},
            ["--style-image", "b.png"],
            "--style-image: this network has no global features",
        ),
    ],
)
def test_what_a_model_cannot_do_is_one_line_and_exit_code_2(settings, words, message, here, capsys):
    path = tiny_checkpoints.classifier(here / "model.ckpt", **settings)
    assert run("a.png", "--checkpoint", path, *words) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1
    assert not (here / "colored").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top-k", 1], "--top-k: Colorful does not classify; a let_there_be_color checkpoint does"),
        (["--style-image", "b.png"], "--style-image: Colorful takes no style; a let_there_be_color checkpoint does"),
    ],
)
def test_models_without_scenes_are_one_line_and_exit_code_2(words, message, here, capsys):
    path = tiny_checkpoints.colorizer(here / "tiny.ckpt")
    assert run("a.png", "--checkpoint", path, *words) == 2
    assert message in capsys.readouterr().err
