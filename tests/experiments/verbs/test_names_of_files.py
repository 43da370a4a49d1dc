"""Photographs, masks, folders and results under any name that the file system takes, and one line for those it does
not."""

import csv
import html
import shutil

import pytest
import tiny_checkpoints
from PIL import Image
from tiny_checkpoints import scene

from experiments import cli
from experiments.compose import compose_config
from experiments.reliability.small_runs import small
from experiments.verbs.inpaint import cached_mask
from experiments.verbs.train import train

LONGEST = 255  # bytes of a name
STEMS = {
    "spaces": " a photo  of mine ",
    "quotes": 'it\'s "quoted" $HOME `x` %s {0}',
    "not ASCII": "写真 Übung é 🏞",
    "markup": "<script>alert(1)<",
    "an override": "model.width=3,x=[1]",
    "not UTF-8": b"caf\xe9".decode(errors="surrogateescape"),
    "longest": "x" * (LONGEST - 4),
    "longest not ASCII": "é" * ((LONGEST - 4) // 2),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "colorize": tiny_checkpoints.colorizer(folder / "a.ckpt"),
        "inpaint": tiny_checkpoints.inpainter(folder / "b.ckpt"),
    }


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
@pytest.mark.parametrize("verb", ["colorize", "inpaint"])
def test_a_photograph_its_mask_and_its_result_may_have_any_name(verb, stem, checkpoints, tmp_path, capfd):
    cached_mask.cache_clear()
    place = tmp_path / stem
    for part in ("in", "masks"):
        (place / part).mkdir(parents=True)
    Image.fromarray(scene(40, 60)).save(place / "in" / f"{stem}.png")
    mask = Image.new("L", (60, 40))
    mask.paste(255, (10, 10, 30, 20))
    mask.save(place / "masks" / f"{stem}.png")
    checkpoint = shutil.copy(checkpoints[verb], place / f"{stem}.pth")
    words = [verb, str(place / "in"), "--checkpoint", str(checkpoint), "-o", str(place / "out")]
    assert cli.main(words + (["--mask", str(place / "masks")] if verb == "inpaint" else [])) == 0
    assert Image.open(place / "out" / f"{stem}.png").size == (60, 40)
    assert capfd.readouterr().out == "1 written, 0 failed\n"


@pytest.fixture
def evaluated(stem, tmp_path):
    """Words of a verb that takes the settings of `evaluate`, to one photograph of that name in each split."""
    for number, split in enumerate(("train", "val", "test")):
        (tmp_path / "data" / split).mkdir(parents=True)
        Image.fromarray(scene(40, 40, number)).save(tmp_path / "data" / split / f"{stem}.png")
    return ["data=folder", f"data.root={tmp_path / 'data'}", "data.crop=32", "data.workers=0"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "checkpoints" / "last.ckpt"
    tiny_checkpoints.untrained(path, "model=colorful", "model.width=2", "data=synthetic", "data.crop=32")
    return path


def readable(stem):
    """The name of a photograph as results have it."""
    return f"{stem}.png".encode(errors="surrogateescape").decode(errors="replace")


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
def test_scores_are_written_of_a_photograph_of_any_name(evaluated, stem, tmp_path):
    words = ["checkpoint=baseline/grey", "protocol.metrics=[psnr]", "trainer.accelerator=cpu", "trainer.devices=1"]
    assert cli.main(["evaluate", *words, *evaluated, f"output={tmp_path / 'out'}"]) == 0
    with (tmp_path / "out" / "per_image.csv").open(newline="", encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [readable(stem)]
    assert readable(stem) in html.unescape((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
def test_neighbours_may_have_any_name(evaluated, trained, stem, tmp_path):
    words = [f"checkpoint={trained}", "layer=network.model1", "k=1", "trainer.accelerator=cpu"]
    assert cli.main(["neighbours", *words, *evaluated, f"output={tmp_path / 'out'}"]) == 0
    with (tmp_path / "out" / "neighbours.csv").open(newline="", encoding="utf-8") as file:
        assert [(row["query"], row["neighbour"]) for row in csv.DictReader(file)] == [(readable(stem),) * 2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["neighbours.csv", "neighbours.html"]


@pytest.mark.parametrize("stem", STEMS.values(), ids=STEMS)
def test_masks_are_written_for_a_photograph_of_any_name(evaluated, stem, tmp_path, capsys):
    assert cli.main(["data", "masks", *evaluated, "masks@data.masks=centre", "-o", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "masks.csv").open(newline="", encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [readable(stem)]


def test_the_doctor_names_a_file_that_it_cannot_read_whatever_its_name(tmp_path, capfd):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"{STEMS['not UTF-8']}.png").write_bytes(b"none")
    assert cli.main(["data", "doctor", "data=folder", f"data.root={tmp_path}", "data.workers=0"]) == 2
    assert "caf\ufffd.png" in capfd.readouterr().out


@pytest.mark.parametrize("stem", [STEMS["not ASCII"], STEMS["spaces"].strip(), STEMS["longest"]])
def test_a_run_and_its_data_may_have_any_name(stem, tmp_path, monkeypatch):
    root, run = tmp_path / "data" / stem, tmp_path / "runs" / stem
    root.mkdir(parents=True)
    for number in range(12):
        Image.fromarray(scene(40, 40, number)).save(root / f"{number} {stem[:200]}.png")
    config = compose_config([*small("colorful"), "iterations=2", "validate_every=2"])
    folder = compose_config(["model=colorful", "data=folder", f"data.root='{root}'", f"run_dir='{run}'"])
    data = {key: config["data"][key] for key in ("batch_size", "workers", "crop")}
    train(config | {"data": folder["data"] | data | {"resize": 32}, "run_dir": folder["run_dir"]})
    assert (run / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ["a.png", "-o", "x" * 300],
        ["a.png", "-o", f"{'x' * 300}.png"],
        ["a.png", "--suffix", "x" * 300],
        ["y" * 300],
        [f"{'y' * 300}/*.png"],
        ["a.png", "--checkpoint", "z" * 300],
    ],
)
def test_a_name_that_is_too_long_is_one_line(words, checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(40, 60)).save("a.png")
    given = [] if "--checkpoint" in words else ["--checkpoint", str(checkpoints["colorize"])]
    assert cli.main(["colorize", *words, *given]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("colorize ")]
    assert len(lines) == 1 and "Traceback" not in lines[0]
