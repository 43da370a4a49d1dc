import json

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.cli import main
from lightning_modules.ops.png import write_png

SCENES = ["data=synthetic", "data.crop=32", "data.train_count=40", "data.val_count=8", "data.test_count=8"]


def test_stats_count_images_and_labels(capsys):
    assert main(["data", "stats", *SCENES, "--count", "8"]) == 0
    printed = capsys.readouterr().out
    assert "40" in printed and "8 seen" in printed and "0/8" in printed


def test_preview_writes_images_with_tinted_holes(tmp_path, capsys):
    output = tmp_path / "preview.png"
    overrides = [*SCENES, "masks@data.masks=centre"]
    assert main(["data", "preview", *overrides, "--count", "4", "-o", str(output)]) == 0
    assert Image.open(output).mode == "RGB"
    assert "hole share 25.0%, from 25.0% to 25.0%" in capsys.readouterr().out


def test_priors_are_written_with_what_they_are_of_and_train_a_model(tmp_path):
    output = tmp_path / "prior.npy"
    assert main(["data", "priors", *SCENES, "--count", "20", "-o", str(output)]) == 0
    prior = np.load(output)
    assert prior.shape == (313,) and prior.dtype == np.float64 and abs(prior.sum() - 1) < 1e-9 and prior.min() >= 0
    assert json.loads(output.with_suffix(".json").read_text())["images"] == 20


def test_doctor_names_unreadable_small_and_grey_images(tmp_path, capsys):
    generator = torch.Generator().manual_seed(0)
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        colour = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8, generator=generator)
        write_png(tmp_path / split / "fine.png", colour)
    write_png(tmp_path / "train" / "grey.png", torch.full((3, 40, 40), 90, dtype=torch.uint8))
    write_png(tmp_path / "val" / "small.png", colour[:, :9, :9].contiguous())
    (tmp_path / "test" / "broken.png").write_bytes(b"not a picture")
    assert main(["data", "doctor", "data=folder", f"data.root={tmp_path}", "data.crop=32"]) == 2
    printed = capsys.readouterr().out
    assert "unreadable: 1" in printed and "broken.png" in printed
    assert "smaller than the crop of 32 px: 1" in printed and "small.png: 9 x 9" in printed
    assert "grey: 1" in printed and "6 images checked" in printed


def test_an_experiments_data_can_be_looked_at(tmp_path):
    output = tmp_path / "grid.png"
    assert main(["data", "preview", "experiment=context_encoder_photos", "--count", "2", "-o", str(output)]) == 0
    assert output.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stats", "data=folder", "data.root=nowhere"], "nowhere"),
        (["stats"], "data"),
        (["stat", "data=photos"], "invalid choice: 'stat'"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, capsys):
    assert main(["data", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]
