"""`chromafill evaluate` from the command line to the scores it leaves behind, with small networks of random weights."""

import csv
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from tiny_checkpoints import untrained

from experiments.cli import main
from experiments.compose import build, compose_config

SCENES = [
    "data=synthetic",
    "data.crop=32",
    "data.batch_size=4",
    "data.workers=0",
    "data.val_count=3",
    "data.test_count=10",
]
CPU = ["trainer.accelerator=cpu", "trainer.devices=1", "examples=0"]
COLOR, COLOR_B = "runs/color/one/checkpoints/best.ckpt", "runs/color/two/checkpoints/last.ckpt"
HOLES = "runs/holes/one/checkpoints/best.ckpt"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the runs of two colorizers and of an inpainter."""
    folder = tmp_path_factory.mktemp("place")
    untrained(folder / COLOR, *SCENES, "model=colorful", "model.width=2")
    untrained(folder / COLOR_B, *SCENES, "model=colorful", "model.width=4")
    holes = ["model=context_encoder", "model.fine_size=64", "model.width=4", "model.bottleneck=8"]
    untrained(folder / HOLES, *SCENES, *holes, "masks@data.masks=rectangle")
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
    return rows, [{k: f"{v['value']:.6f}" for k, v in row["means"].items()} for row in scores(folder)["rows"]]


# The numbers


def test_scores_do_not_depend_on_the_batch_size_or_the_run(tmp_path):
    for name, words in {"a": [], "again": [], "b": ["data.batch_size=3"], "c": ["data.batch_size=1"]}.items():
        assert evaluate(f"checkpoint={COLOR}", f"output={tmp_path / name}", *words) == 0
    assert (tmp_path / "a/per_image.csv").read_bytes() == (tmp_path / "again/per_image.csv").read_bytes()
    assert printed(tmp_path / "a") == printed(tmp_path / "b") == printed(tmp_path / "c")
    assert scores(tmp_path / "a")["protocol"] == scores(tmp_path / "b")["protocol"]


def by_two_processes(*words):
    """Runs `chromafill evaluate` on two."""
    command = [sys.executable, "-m", "experiments.cli", "evaluate", *words]
    command += ["trainer.accelerator=cpu", "trainer.devices=2", "examples=0"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_two_processes_give_the_scores_of_one(tmp_path):
    words = [f"checkpoint=[{HOLES},baseline/mean_fill]", "data.test_count=7"]
    assert evaluate(*words, f"output={tmp_path / 'one'}") == 0
    printed_by_two = by_two_processes(*words, f"output={tmp_path / 'two'}")
    assert printed_by_two.count("inpainting_default on synthetic") == 1  # one process prints
    assert printed(tmp_path / "one") == printed(tmp_path / "two")
    assert scores(tmp_path / "one")["protocol"] == scores(tmp_path / "two")["protocol"]


def test_two_processes_give_the_scores_of_networks_and_of_sets_of_one(tmp_path):
    words = [f"checkpoint={COLOR}", "data.test_count=3", "networks.alexnet=random", "networks.inception=random"]
    words += ["protocol.metrics=[lpips,fid,kid]", "protocol.baselines=[]"]
    assert evaluate(*words, f"output={tmp_path / 'one'}") == 0
    by_two_processes(*words, f"output={tmp_path / 'two'}")
    one, two = (scores(tmp_path / name) for name in ("one", "two"))
    for first, second in zip(one["rows"], two["rows"], strict=True):
        for metric, about in one["metrics"].items():
            values = [f"{row['means'][metric]['value']:.{about['digits'] + 1}f}" for row in (first, second)]
            assert values[0] == values[1], metric
    assert one["metrics"]["fid"]["title"] == "FID (random weights)"
    assert one["protocol"] == two["protocol"]
    assert one["protocol"]["networks"]["inception"]["weights"] == "random weights"


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
        assert float(row["baseline/truth/colorfulness"]) == pytest.approx(colour, abs=1e-6)


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
    assert own["rows"][1]["means"] == other["rows"][1]["means"]  # a baseline
    assert (own["protocol"]["decoder"], other["protocol"]["decoder"]) == ({}, {"temperature": 0.05})
    assert own["protocol_sha256"] != other["protocol_sha256"]


# What is written


def test_scores_come_with_their_protocol_and_the_checkpoints_identity(capsys):
    assert evaluate(f"checkpoint={HOLES}", "seed=3") == 0
    (folder,) = Path("runs/holes/one/evaluation").iterdir()
    record = scores(folder)
    protocol = record["protocol"]
    assert folder.name.startswith(f"synthetic-inpainting_default-{record['protocol_sha256'][:8]}-")
    assert protocol["name"] == "inpainting_default" and protocol["networks"] == {}
    assert (protocol["data"], protocol["split"], protocol["count"], protocol["seed"]) == ("synthetic", "test", 10, 3)
    assert protocol["rule"]["crop"] == 32 and protocol["rule"]["resize"] is None
    assert protocol["masks"]["_target_"] == "datamodules.masks.rectangle.Rectangle"
    assert all(len(protocol[key]) == 64 for key in ("images_sha256", "masks_sha256"))
    network, trivial, *classical = record["rows"]
    assert (network["name"], trivial["name"], trivial["checkpoint"]) == (HOLES, "baseline/mean_fill", None)
    assert len(network["checkpoint"]["sha256"]) == 64
    assert (network["checkpoint"]["iteration"], network["checkpoint"]["experiment"]) == (7, "custom")
    assert network["means"].keys() == record["metrics"].keys() == trivial["means"].keys()
    assert [row["name"] for row in classical] == [
        f"baseline/{name}" for name in ("telea", "navier_stokes", "biharmonic", "push_pull")
    ]
    assert record["metrics"]["psnr_hole"]["unit"] == "dB" and record["metrics"]["psnr_hole"]["better"] == "higher"
    assert "networks.inception=PATH" in record["absent"]["fid"]
    assert record["versions"]["torch"] == version("torch")
    output = capsys.readouterr().out
    assert "PSNR hole, dB ↑" in output and HOLES in output and str(folder / "scores.json") in output
    assert not list(folder.glob("*.tmp"))


def test_per_image_rows_are_in_order_and_average_to_the_means(tmp_path):
    assert evaluate(f"checkpoint=[{COLOR},{COLOR_B}]", f"output={tmp_path}") == 0
    rows, record = images(tmp_path), scores(tmp_path)
    assert [int(row["index"]) for row in rows] == list(range(10))
    assert rows[1]["name"].endswith("_test_1")
    others = ["baseline/truth", "baseline/grey", "baseline/random_colour"]
    assert [row["name"] for row in record["rows"]] == [COLOR, COLOR_B, *others]
    for candidate in record["rows"]:
        values = [float(row[f"{candidate['name']}/psnr"]) for row in rows]
        assert candidate["means"]["psnr"]["value"] == pytest.approx(np.mean(values), rel=1e-12)
        weights = [float(row["auc_rebalanced/weight"]) for row in rows]
        values = [float(row[f"{candidate['name']}/auc_rebalanced"]) for row in rows]
        average = np.average(values, weights=weights)
        assert candidate["means"]["auc_rebalanced"]["value"] == pytest.approx(average, rel=1e-12)


def test_a_counted_prior_is_kept_with_the_scores_and_the_closed_form_is_said(tmp_path):
    words = ["checkpoint=baseline/grey", *SCENES, "protocol.metrics=[auc_rebalanced]", "protocol.baselines=[]"]
    assert main(["data", "priors", *SCENES, "--count", "20", "-o", str(tmp_path / "prior.npy")]) == 0
    for name, own in {"closed": [], "counted": [f"protocol.prior={tmp_path / 'prior.npy'}"]}.items():
        assert evaluate(*words, *own, f"output={tmp_path / name}") == 0
    closed, counted = (scores(tmp_path / name) for name in ("closed", "counted"))
    assert (closed["protocol"]["prior"], len(counted["protocol"]["prior"])) == ("closed form", 64)
    titles = [record["metrics"]["auc_rebalanced"]["title"] for record in (closed, counted)]
    assert titles == ["AuC rebal. (approx. prior)", "AuC rebal."]
    assert closed["rows"][0]["means"] != counted["rows"][0]["means"]


def test_masks_are_a_function_of_the_seed(tmp_path):
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        assert evaluate(f"checkpoint={HOLES}", f"seed={seed}", f"output={tmp_path / name}") == 0
    a, b, c = (scores(tmp_path / name)["protocol"]["masks_sha256"] for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([f"checkpoint={COLOR}", "split=val"], "runs/color/one/evaluation/synthetic-colorization_default-val"),
        (["checkpoint=baseline/grey", *SCENES], "evaluations/synthetic-colorization_default"),
        ([f"checkpoint=[{COLOR},{COLOR_B}]"], "evaluations/synthetic-colorization_default"),
    ],
)
def test_where_scores_go_by_default(words, name, place, tmp_path, monkeypatch):
    shutil.copytree(place / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    assert evaluate(*words) == 0
    (folder,) = tmp_path.glob(f"{name}-????????-????????")
    assert scores(folder)["protocol"]["count"] == len(images(folder)) == (3 if "split=val" in words else 10)


def test_only_the_same_evaluation_again_goes_to_the_same_place(tmp_path, place, monkeypatch):
    shutil.copytree(place / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    few = ["protocol.baselines=[]", "protocol.metrics=[psnr,l1]", "data.test_count=2"]
    different = [[f"[{COLOR},{COLOR_B}]"], [f"[{COLOR_B},{COLOR}]"], ["baseline/grey", *SCENES]]
    different += [[f"[{COLOR},{COLOR_B}]", "data.test_count=3"], [f"[{COLOR},{COLOR_B}]", "protocol.metrics=[psnr]"]]
    for checkpoint, *words in different:
        assert evaluate(f"checkpoint={checkpoint}", *few, *words) == 0
    before = {path: path.stat().st_mtime_ns for path in Path("evaluations").glob("*/scores.json")}
    assert len(before) == len(different)
    assert evaluate(f"checkpoint=[{COLOR},{COLOR_B}]", *few) == 0
    after = {path: path.stat().st_mtime_ns for path in Path("evaluations").glob("*/scores.json")}
    assert len(after.items() - before.items()) == 1 and after.keys() == before.keys()


def test_a_page_of_before_does_not_stay_beside_scores_without_one(tmp_path):
    words = ["checkpoint=baseline/grey", *SCENES, "data.test_count=2", f"output={tmp_path / 'out'}"]
    words += ["protocol.metrics=[psnr]", "protocol.baselines=[]"]
    assert evaluate(*words, "examples=1") == 0
    assert (tmp_path / "out" / "index.html").is_file()
    assert evaluate(*words) == 0
    assert not (tmp_path / "out" / "index.html").exists()


def test_a_metric_that_the_first_candidate_lacks_may_be_the_first_of_the_protocol(tmp_path):
    namer = tmp_path / "namer" / "last.ckpt"
    untrained(namer, *SCENES, "model=let_there_be_color", "model.width=8", "model.global_side=32", "model.classes=8")
    words = [f"checkpoint=[{COLOR},{namer}]", "data.test_count=3", "protocol.metrics=[scene_top1,psnr]", "examples=1"]
    assert evaluate(*words, "protocol.baselines=[]", f"output={tmp_path / 'out'}") == 0
    assert [list(row["means"]) for row in scores(tmp_path / "out")["rows"]] == [["psnr"], ["scene_top1", "psnr"]]
    assert "Picked by PSNR" in (tmp_path / "out" / "index.html").read_text()


def test_an_answer_that_is_no_number_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("experiments.evaluation.candidates.Candidate.answer", lambda self, batch: batch["image"] / 0)
    assert evaluate("checkpoint=baseline/grey", *SCENES, f"output={tmp_path / 'out'}") == 2
    assert "has values that are no numbers" in capsys.readouterr().err and not (tmp_path / "out").exists()


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
        ([f"checkpoint={COLOR}", "protocol.baselines=[telea]"], "no baseline 'telea' for colorization"),
        ([f"checkpoint={COLOR}", "protocol.buckets=[0,1]"], "rising limits of the hole ratio, for inpainting only"),
        ([f"checkpoint={HOLES}", "protocol.buckets=[0.2,0.1]"], r"rising limits .* got \[0.2, 0.1\]"),
        ([f"checkpoint={COLOR}", "protocol.metrics=[vgg_top1]"], "no vgg_top1: its labels are not ImageNet's"),
        ([f"checkpoint={COLOR}", "networks.inception=nosuch.pth"], "networks.inception: cannot read nosuch.pth"),
        ([f"checkpoint={COLOR}", "networks.resnet=random"], "no setting 'networks.resnet'"),
        ([f"checkpoint={COLOR}", "+protocol.decoder.temprature=1"], "protocol.decoder does not fit .*temprature"),
        ([f"checkpoint={COLOR}", "protocol.prior=nowhere.npy"], "protocol.prior: no file at nowhere.npy"),
        ([f"checkpoint={COLOR}", "+protocol.decoder.width=64"], "no 'width' among its settings, temperature"),
        ([f"checkpoint={COLOR}", "examples=-1"], "examples must be 0 .no page. or more, got -1"),
        ([f"checkpoint={COLOR}", "spilt=val"], "no setting 'spilt'; nearest: split"),
        ([f"checkpoint={COLOR}", "split=train"], "split must be val or test"),
        ([f"checkpoint={COLOR}", "data.batchsize=2"], "nearest: batch_size"),
        ([f"checkpoint={COLOR}", "trainer.precision=64-true"], "trainer.precision must be one of"),
        ([f"checkpoint={COLOR}", "trainer.accelerator=nosuch"], "trainer: .*nosuch"),
        ([f"checkpoint={COLOR}", f"output={COLOR}"], "cannot be made"),
        ([f"checkpoint={COLOR}", f"output={COLOR}/below"], "cannot be made: Not a directory"),
        (["checkpoint=baseline/mean_fill", *SCENES], "inpainting needs holes"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(words, message, capsys):
    assert evaluate(*words) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(message, error) and len(error.splitlines()) == 1, error


def test_checkpoints_trained_on_different_data_need_data_to_be_named(place, tmp_path, capsys):
    untrained(tmp_path / "x" / "other.ckpt", *SCENES, "model=colorful", "model.width=2", "data.scene_seed=5")
    assert evaluate(f"checkpoint=[{COLOR},{tmp_path / 'x' / 'other.ckpt'}]") == 2
    assert "different data settings (scene_seed); give data=..." in capsys.readouterr().err


def test_a_list_with_missing_images_is_refused_before_scoring(tmp_path, capsys):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    (tmp_path / "test.txt").write_text("a.png\nb.png\nc.png\n")
    words = ["data=folder", f"data.root={tmp_path}", "data.crop=32", f"data.test_list={tmp_path / 'test.txt'}"]
    assert evaluate("checkpoint=baseline/grey", *words, f"output={tmp_path / 'out'}") == 2
    error = capsys.readouterr().err
    assert "2 of 3 images are not in" in error and "first b.png; put them there, or give a list without them" in error
    assert not (tmp_path / "out").exists()


def test_a_baseline_without_the_training_images_that_it_needs_is_absent_with_the_reason(tmp_path, capsys):
    (tmp_path / "test").mkdir()
    for number in range(2):
        Image.new("RGB", (40, 40), ("red", "blue")[number]).save(tmp_path / "test" / f"{number}.png")
    words = ["data=folder", f"data.root={tmp_path}", "data.crop=32", "data.workers=0", f"output={tmp_path / 'out'}"]
    assert evaluate("checkpoint=baseline/grey", *words, "protocol.metrics=[psnr]") == 0
    record = scores(tmp_path / "out")
    assert [row["name"] for row in record["rows"]] == ["baseline/grey", "baseline/truth"]
    assert "it needs training images: Folder: " in record["absent"]["baseline/random_colour"]
    assert "no baseline/random_colour: it needs training images" in capsys.readouterr().out
    assert evaluate("checkpoint=baseline/random_colour", *words) == 2
    assert "are for 'train'" in capsys.readouterr().err


def test_a_mask_set_that_does_not_reach_the_last_image_is_refused_before_scoring(tmp_path, capsys):
    for number in range(9):
        Image.new("1", (32, 32)).save(tmp_path / f"{number}.png")
    words = ["masks@data.masks=from_folder", f"data.masks.folder={tmp_path}", "data.masks.fixed=true"]
    assert evaluate("checkpoint=baseline/telea", *SCENES, *words, f"output={tmp_path / 'out'}") == 2
    error = capsys.readouterr().err
    assert "image 9 has no mask" in error and "data.limit=9" in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ([], "12 mask files in .* for 10 images, of which image i gets file i; .* data.masks.count=12"),
        (["data.masks.cycle=true"], "12 mask files in"),
        (["data.masks.count=11"], "expected 11 mask files"),
        (["data.masks.count=12"], None),
        (["data.limit=10"], None),
    ],
)
def test_a_mask_set_of_another_count_needs_a_word(tmp_path, capsys, own, message):
    hole = Image.new("1", (32, 32))
    hole.paste(1, (8, 8, 20, 20))
    for number in range(12):
        hole.save(tmp_path / f"{number:02}.png")
    words = ["masks@data.masks=from_folder", f"data.masks.folder={tmp_path}", "data.masks.fixed=true", *own]
    words += ["protocol.metrics=[psnr]", "protocol.baselines=[]", f"output={tmp_path / 'out'}"]
    assert evaluate("checkpoint=baseline/mean_fill", *SCENES, *words) == (2 if message else 0)
    error = capsys.readouterr().err
    assert re.search(message, error) if message else "mask files" not in error


def test_a_mask_of_another_size_is_found_before_scoring(tmp_path, capsys):
    for number in range(10):
        hole = Image.new("1", (32, 40 if number == 7 else 32))
        hole.paste(1, (8, 8, 20, 20))
        hole.save(tmp_path / f"{number}.png")
    words = ["masks@data.masks=from_folder", f"data.masks.folder={tmp_path}", "data.masks.fixed=true"]
    assert evaluate("checkpoint=baseline/mean_fill", *SCENES, *words, f"output={tmp_path / 'out'}") == 2
    error = capsys.readouterr().err.strip()
    assert "7.png: a mask of 40 x 32 for images of 32 x 32" in error and len(error.splitlines()) == 1


def test_only_set_scores_give_a_table_without_a_page(tmp_path):
    words = ["protocol.metrics=[fid]", "protocol.baselines=[]", "networks.inception=random", "data.test_count=2"]
    assert main(["evaluate", *CPU[:2], "checkpoint=baseline/grey", *SCENES, *words, f"output={tmp_path}"]) == 0
    assert scores(tmp_path)["rows"][0]["means"]["fid"]["low"] is None
    assert "index.html" not in [path.name for path in tmp_path.iterdir()]


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
