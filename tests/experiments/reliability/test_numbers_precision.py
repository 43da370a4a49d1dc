import pytest
import torch

from experiments.reliability import numbers_precision


def test_losses_of_frozen_weights_are_those_of_the_first_step(tmp_path):
    frozen = numbers_precision.losses("scene_parser", 3, tmp_path / "frozen", frozen=True)
    moving = numbers_precision.losses("scene_parser", 3, tmp_path / "moving")
    (frozen,), (moving,) = frozen.values(), moving.values()
    assert frozen.shape == moving.shape == (3,)
    assert frozen[0] == moving[0] and frozen[1] != moving[1]


@pytest.mark.parametrize("measure", [numbers_precision.rounding, numbers_precision.drift])
def test_the_difference_is_relative_to_the_loss(measure, monkeypatch, tmp_path):
    values = {"32-true": [10.0, 10.0, 10.0, 10.0], "bf16-mixed": [10.0, 10.0, 11.0, 11.0]}
    monkeypatch.setattr(
        numbers_precision,
        "losses",
        lambda paper, count, folder, precision, frozen=False: {"total": torch.tensor(values[precision])},
    )
    assert measure("any", "bf16-mixed", 4, tmp_path) == pytest.approx(0.1)


def test_two_runs_of_other_seeds_differ_and_this_is_seen(monkeypatch, tmp_path):
    fit, seeds = numbers_precision.fit, iter((0, 1))
    monkeypatch.setattr(numbers_precision, "fit", lambda config: fit(config | {"seed": next(seeds)}))
    assert "network.stages.0.0.weight" in numbers_precision.differing("scene_parser", "false", tmp_path)
