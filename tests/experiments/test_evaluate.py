"""`chromafill evaluate` from the command line to the scores it leaves behind, with small networks of random weights."""

import csv
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from experiments.cli import main
from experiments.compose import build, compose_config, settings_given
from experiments.errors import UserError
from experiments.evaluate import compose_evaluation, known_class, typed
from experiments.scoring import METRICS

SCENES = [
    "data=synthetic",
    "data.crop=32",
    "data.batch_size=4",
    "data.workers=0",
    "data.val_count=3",
    "data.test_count=10",
]
CPU = ["trainer.accelerator=cpu", "trainer.devices=1"]
COLOR, COLOR_B = "runs/color/one/checkpoints/best.ckpt", "runs/color/two/checkpoints/last.ckpt"
HOLES = "runs/holes/one/checkpoints/best.ckpt"


def save(path, *overrides):
    """A checkpoint as training leaves it, of an untrained network."""
    config = compose_config([*SCENES, *overrides])
    torch.manual_seed(0)
    module = build(config["model"], "model")
    path.parent.mkdir(parents=True)
    torch.save({"state_dict": module.state_dict(), "config": config, "iteration": 7}, path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the runs of two colorizers and of an inpainter."""
    folder = tmp_path_factory.mktemp("place")
    save(folder / COLOR, "model=colorful", "model.width=2")
    save(folder / COLOR_B, "model=colorful", "model.width=4")
    holes = ["model=context_encoder", "model.fine_size=64", "model.width=4", "model.bottleneck=8"]
    save(folder / HOLES, *holes, "masks@data.masks=rectangle")
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)


def evaluate(*words):
    """The exit code of `chromafill evaluate`."""
    return main(["evaluate", *CPU, *words])


def scores(folder):
    return json.loads((Path(folder) / "scores.json").read_text())


def images(folder):
    with (Path(folder) / "per_image.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def printed(folder):
    """The numbers of per_image.csv to six digits after the point, and the means to as many."""
    rows = [{k: v if k == "name" else f"{float(v):.6f}" for k, v in row.items()} for row in images(folder)]
    return rows, [{k: f"{v:.6f}" for k, v in row["means"].items()} for row in scores(folder)["rows"]]


# The numbers


def test_scores_do_not_depend_on_the_batch_size_or_the_run(tmp_path):
    for name, words in {"a": [], "again": [], "b": ["data.batch_size=3"], "c": ["data.batch_size=1"]}.items():
        assert evaluate(f"checkpoint={COLOR}", f"output={tmp_path / name}", *words) == 0
    assert (tmp_path / "a/per_image.csv").read_bytes() == (tmp_path / "again/per_image.csv").read_bytes()
    assert printed(tmp_path / "a") == printed(tmp_path / "b") == printed(tmp_path / "c")
    assert scores(tmp_path / "a")["protocol"] == scores(tmp_path / "b")["protocol"]


def test_two_processes_give_the_scores_of_one(tmp_path):
    words = [f"checkpoint=[{HOLES},baseline/mean_fill]", "data.test_count=7"]
    assert evaluate(*words, f"output={tmp_path / 'one'}") == 0
    command = [sys.executable, "-m", "experiments.cli", "evaluate", *words, f"output={tmp_path / 'two'}"]
    command += ["trainer.accelerator=cpu", "trainer.devices=2"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("PSNR, dB") == 1  # one process prints
    assert printed(tmp_path / "one") == printed(tmp_path / "two")
    assert scores(tmp_path / "one")["protocol"] == scores(tmp_path / "two")["protocol"]


def eight_bits(rgb):
    return np.round(np.clip(rgb, 0, 1) * 255) / 255


def test_the_grey_baseline_scores_what_scikit_image_works_out(tmp_path):
    assert evaluate("checkpoint=baseline/grey", *SCENES, f"output={tmp_path}") == 0
    data = build(compose_config([*SCENES, "model=colorful"])["data"], "data")
    for position, row in enumerate(images(tmp_path)):
        truth = data.dataset("test")[0, position]["image"].permute(1, 2, 0).numpy() / 255
        lab = rgb2lab(truth)
        done = eight_bits(lab2rgb(lab * [1, 0, 0]))
        error = np.linalg.norm((rgb2lab(done) - lab)[..., 1:], axis=2)
        area = np.trapezoid([(error <= t).mean() for t in range(151)]) / 1.5
        rg, yb = 255 * (truth[..., 0] - truth[..., 1]), 255 * (truth[..., :2].mean(2) - truth[..., 2])
        colour = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        # A level of 8 bits may round the other way, and a pixel's error fall on the other side of a threshold.
        psnr = peak_signal_noise_ratio(truth, done, data_range=1.0)
        assert float(row["baseline/grey/psnr"]) == pytest.approx(psnr, abs=0.01)
        assert float(row["baseline/grey/ab_error"]) == pytest.approx(error.mean(), abs=0.05)
        assert float(row["baseline/grey/auc"]) == pytest.approx(area, abs=0.05)
        assert float(row["baseline/grey/colorfulness_truth"]) == pytest.approx(colour, abs=1e-6)


def test_the_mean_fill_baseline_scores_what_numpy_works_out(tmp_path):
    words = ["masks@data.masks=centre", "data.masks.side=16", f"output={tmp_path}"]
    assert evaluate("checkpoint=baseline/mean_fill", *SCENES, *words) == 0
    data = build(compose_config([*SCENES, "model=colorful"])["data"], "data")
    hole = np.zeros((32, 32), bool)
    hole[8:24, 8:24] = True
    for position, row in enumerate(images(tmp_path)):
        truth = data.dataset("test")[0, position]["image"].permute(1, 2, 0).numpy() / 255
        error = truth[hole] - eight_bits(truth[~hole].mean(0))
        assert float(row["hole_ratio"]) == 0.25
        assert float(row["baseline/mean_fill/l1_hole"]) == pytest.approx(100 * np.abs(error).mean(), abs=1e-4)
        assert float(row["baseline/mean_fill/l1"]) == pytest.approx(25 * np.abs(error).mean(), abs=1e-4)
        psnr = -10 * np.log10((error**2).mean())
        assert float(row["baseline/mean_fill/psnr_hole"]) == pytest.approx(psnr, abs=1e-4)


def test_the_decoder_of_the_protocol_reaches_the_network(tmp_path):
    assert evaluate(f"checkpoint={COLOR}", f"output={tmp_path / 'own'}") == 0
    assert evaluate(f"checkpoint={COLOR}", "+protocol.decoder.temperature=0.05", f"output={tmp_path / 'other'}") == 0
    own, other = scores(tmp_path / "own"), scores(tmp_path / "other")
    assert own["rows"][0]["means"] != other["rows"][0]["means"]
    assert own["rows"][1]["means"] == other["rows"][1]["means"]  # the baseline
    assert (own["protocol"]["decoder"], other["protocol"]["decoder"]) == ({}, {"temperature": 0.05})
    assert own["protocol_sha256"] != other["protocol_sha256"]


# What is written


def test_scores_come_with_their_protocol_and_the_checkpoints_identity(capsys):
    assert evaluate(f"checkpoint={HOLES}", "seed=3") == 0
    folder = Path("runs/holes/one/evaluation/synthetic-inpainting_default")
    record = scores(folder)
    protocol = record["protocol"]
    assert protocol["name"] == "inpainting_default" and protocol["networks"] == {}
    assert (protocol["data"], protocol["split"], protocol["count"], protocol["seed"]) == ("synthetic", "test", 10, 3)
    assert protocol["rule"]["crop"] == 32 and protocol["rule"]["resize"] is None
    assert protocol["masks"]["_target_"] == "datamodules.masks.rectangle.Rectangle"
    assert all(len(protocol[key]) == 64 for key in ("images_sha256", "masks_sha256"))
    network, trivial = record["rows"]
    assert (network["name"], trivial["name"], trivial["checkpoint"]) == (HOLES, "baseline/mean_fill", None)
    assert len(network["checkpoint"]["sha256"]) == 64
    assert (network["checkpoint"]["iteration"], network["checkpoint"]["experiment"]) == (7, "custom")
    assert network["means"].keys() == record["metrics"].keys() == trivial["means"].keys()
    assert record["metrics"]["psnr_hole"] == {"unit": "dB", "better": "higher"}
    assert record["versions"]["torch"] == version("torch")
    output = capsys.readouterr().out
    assert "PSNR hole, dB ↑" in output and HOLES in output and str(folder / "scores.json") in output
    assert not list(folder.glob("*.tmp"))


def test_per_image_rows_are_in_order_and_average_to_the_means(tmp_path):
    assert evaluate(f"checkpoint=[{COLOR},{COLOR_B}]", f"output={tmp_path}") == 0
    rows, record = images(tmp_path), scores(tmp_path)
    assert [int(row["index"]) for row in rows] == list(range(10))
    assert rows[1]["name"].endswith("_test_1")
    assert [row["name"] for row in record["rows"]] == [COLOR, COLOR_B, "baseline/grey"]
    for candidate in record["rows"]:
        values = [float(row[f"{candidate['name']}/psnr"]) for row in rows]
        assert candidate["means"]["psnr"] == pytest.approx(np.mean(values), rel=1e-12)
        weights = [float(row["auc_rebalanced/weight"]) for row in rows]
        values = [float(row[f"{candidate['name']}/auc_rebalanced"]) for row in rows]
        assert candidate["means"]["auc_rebalanced"] == pytest.approx(np.average(values, weights=weights), rel=1e-12)


def test_masks_are_a_function_of_the_seed(tmp_path):
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        assert evaluate(f"checkpoint={HOLES}", f"seed={seed}", f"output={tmp_path / name}") == 0
    a, b, c = (scores(tmp_path / name)["protocol"]["masks_sha256"] for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ([f"checkpoint={COLOR}", "split=val"], "runs/color/one/evaluation/synthetic-colorization_default-val"),
        (["checkpoint=baseline/grey", *SCENES], "evaluations/synthetic-colorization_default"),
        ([f"checkpoint=[{COLOR},{COLOR_B}]"], "evaluations/synthetic-colorization_default"),
    ],
)
def test_where_scores_go_by_default(words, folder):
    assert evaluate(*words) == 0
    assert scores(folder)["protocol"]["count"] == len(images(folder)) == (3 if "split=val" in words else 10)


# What is composed


class Trained:
    """Stands for a candidate in composition."""

    def __init__(self, name, task, config):
        self.name, self.task, self.config = name, task, config


def composed(*overrides, data, task="inpainting"):
    overrides = ["checkpoint=x", *overrides]
    return compose_evaluation(overrides, settings_given(overrides), [Trained("x", task, {"data": data})])


@pytest.fixture
def trained_on():
    """The data settings of a checkpoint."""
    return compose_config([*SCENES, "model=colorful", "masks@data.masks=rectangle", "data.masks.side=[8,9]"])["data"]


def test_data_and_masks_are_the_checkpoints_unless_given(trained_on):
    assert composed(data=trained_on)["data"] == trained_on
    assert composed("data.limit=2", data=trained_on)["data"] == trained_on | {"limit": 2}
    other = composed("data=photos", data=trained_on)["data"]
    assert other["_target_"] == "datamodules.photos.Photos" and other["masks"] == trained_on["masks"]
    blank = composed("data=photos", data=trained_on | {"masks": None}, task="colorization")["data"]
    assert blank["masks"] is None


def test_a_protocol_sets_geometry_and_masks_and_the_command_line_has_the_last_word(trained_on):
    data = composed("protocol=context_encoder_centre", data=trained_on)["data"]
    assert (data["resize"], data["squash"], data["crop"]) == (128, True, 128)
    assert data["masks"] == {"_target_": "datamodules.masks.centre.Centre", "side": 64}
    data = composed("protocol=context_encoder_centre", "data.crop=64", "data.masks.side=32", data=trained_on)["data"]
    assert (data["crop"], data["masks"]["side"]) == (64, 32)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("configs/protocol/*.yaml")), ids=lambda p: p.stem
)
def test_every_protocol_composes_and_names_metrics_of_its_task(path, trained_on):
    protocol = composed("data=folder", f"protocol={path.stem}", data=trained_on)["protocol"]
    assert protocol["name"] == path.stem
    assert protocol["metrics"] and set(protocol["metrics"]) <= METRICS[protocol["task"]].keys()


def test_a_checkpoint_of_another_version_is_refused_in_one_line(trained_on):
    with pytest.raises(UserError, match="none of the project's"):
        known_class({"_target_": "os.system"})
    cls = known_class(trained_on)
    with pytest.raises(UserError, match="do not fit this version"):
        typed(cls.Config, {"nosuch": 1})


# Mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give checkpoint=PATH"),
        (["checkpoint=[a"], "no viable alternative|mismatched|missing|extraneous"),
        (["checkpoint=nosuch.ckpt"], "no checkpoint nosuch.ckpt"),
        (["checkpoint=baseline/gray"], "no baseline 'gray'; nearest: grey"),
        (["checkpoint=baseline/grey"], "give data=..."),
        ([f"checkpoint=[{COLOR},{HOLES}]"], "one evaluation scores one task"),
        ([f"checkpoint={COLOR}", "protocol=inpainting_default"], "is for inpainting and .* for colorization"),
        ([f"checkpoint={COLOR}", "protocol=colorisation_default"], "nearest: colorization_default"),
        ([f"checkpoint={COLOR}", "protocol.metrics=[psnt]"], "colorization has no metric 'psnt'; nearest: psnr"),
        ([f"checkpoint={COLOR}", "protocol.metrics=[]"], "protocol.metrics is empty"),
        ([f"checkpoint={COLOR}", "+protocol.decoder.temprature=1"], "protocol.decoder does not fit .*temprature"),
        ([f"checkpoint={COLOR}", "spilt=val"], "no setting 'spilt'; nearest: split"),
        ([f"checkpoint={COLOR}", "split=train"], "split must be val or test"),
        ([f"checkpoint={COLOR}", "data.batchsize=2"], "nearest: batch_size"),
        ([f"checkpoint={COLOR}", "trainer.precision=64-true"], "trainer.precision must be one of"),
        ([f"checkpoint={COLOR}", "trainer.accelerator=nosuch"], "trainer: .*nosuch"),
        ([f"checkpoint={COLOR}", f"output={COLOR}"], "cannot be made"),
        (["checkpoint=baseline/mean_fill", *SCENES], "inpainting needs holes"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(words, message, capsys):
    assert evaluate(*words) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(message, error) and len(error.splitlines()) == 1, error


def test_checkpoints_trained_on_different_data_need_data_to_be_named(place, tmp_path, capsys):
    save(tmp_path / "x" / "other.ckpt", "model=colorful", "model.width=2", "data.scene_seed=5")
    assert evaluate(f"checkpoint=[{COLOR},{tmp_path / 'x' / 'other.ckpt'}]") == 2
    assert "different data settings (scene_seed); give data=..." in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_ends_the_evaluation_with_its_path(tmp_path, workers, capfd):
    (tmp_path / "test").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for number in range(3):
        Image.fromarray(noise).save(tmp_path / "test" / f"{number}.png")
    broken = tmp_path / "test" / "1.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    words = ["data=folder", f"data.root={tmp_path}", "data.crop=32", f"data.workers={workers}"]
    assert evaluate("checkpoint=baseline/grey", *words, f"output={tmp_path / 'out'}") == 2
    assert capfd.readouterr().err.strip() == f"chromafill evaluate: {broken}: image file is truncated"
    assert not (tmp_path / "out" / "scores.json").exists()
