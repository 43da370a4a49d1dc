"""From runs and their scores to rows: what is compared, and what is told of rows without scores. Scores are made up."""

import json
from types import SimpleNamespace

import pytest

from datamodules.errors import DataError
from experiments.errors import UserError
from experiments.studies import ablation_record
from experiments.studies.ablation import Planned, Row, read_ablation
from experiments.studies.ablation_record import (
    compare,
    curve,
    departures,
    finished,
    image_difference,
    measurements,
    problems,
    row_record,
    run_cost,
)
from lightning_modules.colorization.colorful import ColorfulConfig
from lightning_modules.pretrained.checkpoint import CheckpointError


def state(status, reason=None, run_dir=None):
    return SimpleNamespace(status=status, reason=reason, run_dir=run_dir)


def scored(value, images=None):
    return {"sha256": "0", "means": {"psnr": value}, "images": {"psnr": images or [value]}, "weights": {}}


def row(name="l2", **settings):
    return Row(name=name, group="loss", **settings)


def test_finished_seeds_stand_in_order():
    assert finished({2: state("finished"), 0: state("finished"), 1: state("running")}) == [0, 2]


def test_the_cost_of_a_run_is_all_its_iterations_at_the_rate_it_had(tmp_path):
    record = {"iteration": 100, "iterations_per_second": 4.0, "device": "CPU", "commit": None}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert run_cost(tmp_path) == {"seconds": 25.0, "iterations": 100, "device": "CPU", "commit": None}


@pytest.mark.parametrize("text", [None, "{", "{}", '{"iteration": 4, "iterations_per_second": 0.0}'])
def test_a_run_whose_record_has_no_rate_has_no_cost(text, tmp_path):
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    assert run_cost(tmp_path) == {}
    runs = {"l2": {0: state("finished", run_dir=tmp_path)}}
    assert row_record(Planned(row=row()), runs, {0: scored(20.0)}, {})["seconds"] is None


@pytest.mark.parametrize("error", [UserError, CheckpointError, DataError])
def test_a_seed_that_cannot_be_measured_is_a_problem_of_its_row(error, tmp_path, monkeypatch):
    def measured(bench, path, decoder):
        if "seed1" in path:
            raise error("no good")
        return scored(20.0)

    monkeypatch.setattr(ablation_record, "measure", measured)
    runs = {"l2": {seed: state("finished") for seed in (0, 1)}}
    found, failed = measurements(SimpleNamespace(folder=tmp_path), Planned(row=row()), runs, None)
    assert (list(found), failed) == ([0], {1: "no good"})


def test_what_the_base_row_has_otherwise_than_the_paper_is_listed():
    study = SimpleNamespace(definition={"overrides": ["experiment=colorful_photos", "iterations=400"]})
    found = departures(study, read_ablation("colorful"))
    assert found["model"] == {
        **{"model.width": [16, 64], "model.lr": [5e-4, ColorfulConfig().lr]},
        "model.rebalance_lambda": [0.9, 0.5],
    }
    assert found["experiment"] == "colorful_imagenet" and found["recipe"]["data"] == ["photos", "imagenet"]
    assert found["recipe"]["iterations"] == [400, 450_000] and "seed" not in found["recipe"]
    whole = SimpleNamespace(definition={"overrides": ["experiment=colorful_imagenet"]})
    assert departures(whole, read_ablation("colorful"))["recipe"] == {}


def test_rows_without_scores_say_why():
    runs = {"l2": {0: state("finished"), 1: state("failed", "no space"), 2: state("waiting")}}
    assert problems(Planned(row=row(), reason="no labels"), {}) == ["no labels"]
    assert problems(Planned(row=row(), same_as="full"), {}) == [
        "with this experiment its settings are those of full; see there"
    ]
    assert problems(Planned(row=row("class")), runs) == ["class was not run in this study"]
    assert problems(Planned(row=row()), runs) == ["seed 1: failed, no space", "seed 2: waiting"]
    assert (
        problems(Planned(row=row("cold", of="l2", decoder={"temperature": 0.1})), runs)[0] == "seed 1: failed, no space"
    )


def test_a_row_has_mean_and_spread_over_its_seeds(tmp_path):
    record = {"iteration": 100, "iterations_per_second": 4.0, "device": "CPU", "commit": None}
    (tmp_path / "run.json").write_text(json.dumps(record))
    runs = {"l2": {seed: state("finished", run_dir=tmp_path) for seed in (0, 1)}}
    found = row_record(Planned(row=row()), runs, {0: scored(20.0), 1: scored(22.0)}, {2: "its checkpoint is gone"})
    assert found["scores"]["psnr"] == {"mean": 21.0, "sd": pytest.approx(2**0.5), "seeds": 2}
    assert found["seconds"] == {"mean": 25.0, "sd": 0.0, "seeds": 2}
    assert found["problems"] == ["seed 2: its checkpoint is gone"]
    assert found["seeds"][1]["means"] == {"psnr": 22.0} and found["seeds"][1]["seconds"] == 25.0


def test_differences_are_to_the_base_row_and_p_is_adjusted_over_the_rows():
    measured = {
        "full": {0: scored(10.0), 1: scored(20.0), 2: scored(30.0)},
        "a": {0: scored(11.0), 1: scored(22.0), 2: scored(33.0)},  # p 0.07418, see test_ablation_statistics.py
        "b": {0: scored(11.0), 1: scored(22.0), 2: scored(33.0)},
        "empty": {},
    }
    rows = [{"name": name} for name in measured]
    compare(rows, measured, "full", ["psnr", "fid"])
    assert rows[0]["difference"] == rows[3]["difference"] == {}
    found = rows[1]["difference"]["psnr"]
    assert (found["mean"], found["p"], found["p_holm"]) == pytest.approx((2.0, 0.07418, 0.14836), abs=1e-4)


def test_a_test_over_images_needs_scores_of_images():
    row, base = {0: scored(1.0, [1.0, 1.0])}, {0: scored(0.0, [0.0, 0.0])}
    assert image_difference(row, base, "psnr") == {"low": 1.0, "high": 1.0, "p": 0.5}
    assert image_difference(row, base, "fid") is None


def test_a_learning_curve_is_read_where_the_run_validated(tmp_path):
    path, headline = tmp_path / "metrics.csv", SimpleNamespace(score="psnr", factor=2.0)
    assert curve(path, headline) == []
    path.write_text("iteration,train/g/total,val/psnr\n1,0.5,\n2,0.4,10.5\n")
    assert curve(path, headline) == [[2, 21.0]]
