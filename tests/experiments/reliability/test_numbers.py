import pytest

from experiments.reliability import numbers
from experiments.reliability.finding import Effort
from experiments.reliability.small_runs import PAPERS


def test_nan_ends_the_run_before_the_optimiser_moves_and_leaves_the_batch(tmp_path):
    found = numbers.guard("glcic", tmp_path, values=[float("nan")])
    assert (found.tried, found.held) == (6, 6), found.note


def test_a_guard_that_looks_away_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_modules.base.PaperModule.require_finite", lambda *_: None)
    found = numbers.guard("scene_parser", tmp_path, values=[float("nan")])
    assert found.held == 0 and "nan in a gradient of g: " in found.note


def test_bfloat16_has_the_losses_of_float32(tmp_path):
    found = numbers.precise("context_encoder_features", "bf16-mixed", tmp_path, iterations=6)
    assert found.held == found.tried == 2, found.note


def test_float16_with_a_loss_scale_has_the_losses_of_float32(tmp_path):
    found = numbers.precise("colorful", "16-mixed", tmp_path, iterations=6)
    assert found.held == found.tried == 2, found.note


def test_a_loss_that_is_rounded_too_much_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setitem(numbers.TOLERANCES, "scene_parser", (0.0, 0.0))
    found = numbers.precise("scene_parser", "bf16-mixed", tmp_path, iterations=4)
    assert (found.tried, found.held) == (2, 0) and "of 0%" in found.note


def test_equal_runs_end_with_equal_weights_asked_for_or_not(tmp_path):
    found = numbers.repeatable("scene_parser", tmp_path)
    assert found.held == found.tried == 2, found.note


def test_a_paper_is_tried_in_every_way():
    assert set(numbers.TOLERANCES) < set(PAPERS)


@pytest.mark.slow
def test_every_finding_holds_for_every_paper(tmp_path):
    assert [finding for finding in numbers.findings(Effort(), tmp_path) if finding.held < finding.tried] == []
