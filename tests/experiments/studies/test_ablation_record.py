"""From runs and their scores to rows: what is compared, and what is told of rows without scores. Scores are made up."""

import json
from types import SimpleNamespace

import pytest

from experiments.studies.ablation import Planned, Row
from experiments.studies.ablation_record import (
    compare,
    curve,
    finished,
    image_difference,
    problems,
    row_record,
    run_cost,
)


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
    found = row_record(Planned(row=row()), runs, {"l2": {0: scored(20.0), 1: scored(22.0)}})
    assert found["scores"]["psnr"] == {"mean": 21.0, "sd": pytest.approx(2**0.5), "seeds": 2}
    assert found["seconds"] == {"mean": 25.0, "sd": 0.0, "seeds": 2}
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
