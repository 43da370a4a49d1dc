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


def test_the_masks_of_a_protocol_are_those_of_its_scores(tmp_path):
    words = ["protocol=context_encoder_centre", *SCENES, "data.crop=32", "data.resize=32", "data.masks.side=9"]
    assert main(["data", "masks", *words, "-o", str(tmp_path / "set")]) == 0  # of the test split
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert (manifest["split"], manifest["masks"]["side"]) == ("test", 9)
    here = [f"output={tmp_path}", "protocol.baselines=[]", "examples=0", "trainer.accelerator=cpu", "trainer.devices=1"]
    assert main(["evaluate", "checkpoint=baseline/mean_fill", *words, *here]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["protocol"]["masks_sha256"] == manifest["masks_sha256"]


def test_a_mask_set_gives_the_masks_and_the_scores_that_it_was_made_from(tmp_path, capsys):
    strokes, folder = ["masks@data.masks=free_form", "seed=3"], tmp_path / "set"
    assert main(["data", "masks", *SCENES, *strokes, "--split", "test", "-o", str(folder)]) == 0
    assert f"8 masks of 32 x 32 written to {folder}" in capsys.readouterr().out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["data"], manifest["split"], manifest["seed"]) == ("synthetic", "test", 3)
    assert manifest["masks"]["_target_"].endswith("FreeForm")
    from_files = ["masks@data.masks=from_folder", f"data.masks.folder={folder}", "data.masks.fixed=true"]
    scores = [evaluated(tmp_path / name, words) for name, words in {"drawn": strokes, "files": from_files}.items()]
    assert {each["protocol"]["masks_sha256"] for each in scores} == {manifest["masks_sha256"]}
    assert {each["protocol"]["images_sha256"] for each in scores} == {manifest["images_sha256"]}
    drawn, files = ([row["means"] for row in each["rows"]] for each in scores)
    assert drawn == files


def evaluate(folder, words):
    """The exit code of an evaluation of a baseline."""
    here = ["data.workers=0", "trainer.accelerator=cpu", "trainer.devices=1", f"output={folder}"]
    scored = ["checkpoint=baseline/push_pull", "protocol=inpainting_default", "protocol.metrics=[psnr_hole]"]
    return main(["evaluate", *scored, *SCENES, *here, *words])


def evaluated(folder, words):
    """scores.json of a baseline."""
    assert evaluate(folder, words) == 0
    return json.loads((folder / "scores.json").read_text())


def test_a_mask_set_that_does_not_fit_is_one_line_of_the_evaluation(tmp_path, capsys):
    folder = tmp_path / "set"
    words = [*SCENES, "masks@data.masks=centre", "--split", "test", "--count", "5", "-o", str(folder)]
    assert main(["data", "masks", *words]) == 0
    assert main(["data", "masks", *words]) == 2
    assert "set is there already" in capsys.readouterr().err
    words = ["masks@data.masks=from_folder", f"data.masks.folder={folder}", "data.masks.fixed=true"]
    for wrong, message in {
        ("data.crop=64", "data.limit=5"): "a mask of 32 x 32 for images of 64 x 64",
        (): "image 7 has no mask: ",
        ("data.masks.count=6",): "expected 6 mask files in ",
    }.items():
        assert evaluate(tmp_path / "scores", [*words, *wrong]) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("chromafill")]
        assert len(lines) == 1 and message in lines[0]
    assert not (tmp_path / "scores" / "scores.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["masks", *SCENES], "no masks to write"),
        (["stats", "data=folder", "data.root=nowhere"], "nowhere"),
        (["stats"], "data"),
        (["stat", "data=photos"], "invalid choice: 'stat'"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, capsys):
    assert main(["data", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_a_packed_data_set_is_looked_at_and_verified(tmp_path, capsys):
    pytest.importorskip("litdata")
    folder = tmp_path / "shards"
    words = ["--side", "32", "--format", "png", "--per-shard", "16", "--workers", "0", "-o", str(folder)]
    assert main(["data", "pack", *SCENES, *words]) == 0
    printed = capsys.readouterr().out
    assert "train: 40 images" in printed and f"use it with data=shards data.root={folder}" in printed
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["data"] == "synthetic" and set(manifest["splits"]) == {"train", "val", "test"}
    assert main(["data", "stats", "data=shards", f"data.root={folder}", "data.crop=32", "--count", "8"]) == 0
    assert "8 seen" in capsys.readouterr().out
    assert main(["data", "verify", f"data.root={folder}"]) == 0
    (folder / "val/chunk-0-0.bin").write_bytes(b"x")
    assert main(["data", "verify", f"data.root={folder}"]) == 1
    assert "val/chunk-0-0.bin: has 1 bytes instead of" in capsys.readouterr().out


def test_one_split_can_be_packed_and_what_is_unreadable_is_counted(tmp_path, capsys):
    pytest.importorskip("litdata")
    (tmp_path / "pictures/train").mkdir(parents=True)
    for number in range(3):
        write_png(tmp_path / f"pictures/train/{number}.png", torch.full((3, 40, 40), number, dtype=torch.uint8))
    (tmp_path / "pictures/train/2.png").write_bytes(b"x")
    words = ["data=folder", f"data.root={tmp_path / 'pictures'}", "data.val_share=0.01", "--split", "train"]
    assert main(["data", "pack", *words, "--side", "0", "--workers", "0", "-o", str(tmp_path / "shards")]) == 0
    assert "train: 1 unreadable images are left out; manifest.json names them" in capsys.readouterr().out
    (entry,) = json.loads((tmp_path / "shards/manifest.json").read_text())["splits"]["train"]["unreadable"]
    assert entry["name"].endswith("2.png") and "not an image" in entry["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pack", *SCENES], "say with -o which folder"),
        (["pack", *SCENES, "-o", "x", "--workers", "-1"], "--workers must be 0 or more, got -1"),
        (["pack", *SCENES, "-o", "x", "--format", "gif"], "invalid choice: 'gif'"),
        (["pack", "data=folder", "data.root=nowhere", "-o", "x"], "nowhere"),
        (["stats", *SCENES, "--split", "train", "--split", "val"], "stats takes one --split, got train, val"),
        (["verify"], "set data.root"),
        (["verify", "data.root=nowhere"], "no manifest.json in"),
    ],
)
def test_a_mistake_in_packing_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]
    assert list(tmp_path.iterdir()) == []
