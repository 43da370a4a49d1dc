"""Places of marks: worked by hand."""

from pathlib import Path

import pytest

from experiments.studies.study import TrialState
from experiments.studies.sweep_plots import COLUMN, HEIGHT, WIDTH, Scale, history, parallel


def state(name, value, status="finished", **params):
    rest = {"number": 0, "attempts": 1, "run_dir": Path(), "attrs": {}, "reason": None, "started": None, "seconds": 1.0}
    return TrialState(name=name, status=status, value=value, params=params, **rest)


def test_a_scale_has_its_values_between_its_ticks():
    scale = Scale.of("x", [1.0, 2.0, 3.0])
    assert scale.place[1.0] == HEIGHT and scale.place[3.0] == 0 and scale.place[2.0] == HEIGHT / 2
    assert (HEIGHT, "1.0") in scale.labels and (0, "3.0") in scale.labels


def test_a_log_scale_has_equal_steps_for_equal_factors():
    scale = Scale.of("lr", [1e-5, 1e-4, 1e-3], log=True)
    assert scale.place[1e-4] == pytest.approx(HEIGHT / 2)
    assert [text for _, text in scale.labels] == ["1e-5", "1e-4", "1e-3"]
    assert Scale.of("lr", [1e-3], log=True).place[1e-3] == HEIGHT  # one value alone


def test_choices_stand_in_their_order_at_equal_distances():
    scale = Scale.of("c", [], choices=["a", None])
    assert scale.place == {"a": HEIGHT * 0.75, None: HEIGHT * 0.25}
    assert [text for _, text in scale.labels] == ["a", "null"]


def test_the_line_of_the_best_so_far_steps_at_finished_trials_that_are_better():
    states = [state("a", 1.0), state("b", 3.0, "pruned"), state("c", 2.0), state("d", 1.5), state("e", None, "waiting")]
    drawn = history(states, maximize=True)
    assert [mark["x"] for mark in drawn["marks"]] == [0, WIDTH / 4, WIDTH / 2, WIDTH * 3 / 4]
    low, middle = HEIGHT, HEIGHT / 2
    assert drawn["line"] == f"0.0,{low}.0 320.0,{low}.0 320.0,{middle} 480.0,{middle} 480.0,{middle}"
    assert history([states[-1]], maximize=True) is None


def test_lines_of_better_trials_are_drawn_later_and_in_a_stronger_shade():
    states = [state(f"t{n}", float(n), lr=10.0**-n) for n in range(1, 6)] + [state("p", 9.0, "pruned", lr=1.0)]
    space = {"lr": {"low": 1e-5, "high": 1.0, "log": True}}
    drawn = parallel(states, space, "val/psnr", maximize=True)
    assert [line["shade"] for line in drawn["lines"]] == [0, 1, 2, 3, 4]
    assert drawn["lines"][-1]["text"] == "t5: val/psnr 5; lr 1e-05"
    assert drawn["lines"][-1]["points"] == f"0,{HEIGHT}.0 {COLUMN},0.0"
    assert [line["text"][:2] for line in parallel(states, space, "val/mse", maximize=False)["lines"]][-1] == "t1"
    assert parallel([], space, "val/psnr", maximize=True) is None
