import pytest

from experiments.reliability.finding import Effort
from experiments.reliability.killed_training import between_phases, in_step, run, while_writing
from experiments.reliability.kills import each_moment, findings, in_a_row, why_not_equal
from experiments.reliability.small_runs import PAPERS, small

TOY = [*small("deep_colorization"), "ema_decay=0.9"]


def test_a_gan_killed_between_its_optimisers_and_while_it_writes_ends_as_one_that_was_not(tmp_path):
    settings = [*small("glcic"), "ema_decay=0.9"]
    finding = each_moment("glcic", settings, [between_phases(7), while_writing(0.5)], tmp_path)
    assert (finding.tried, finding.held) == (2, 2), finding.note


def test_kills_in_a_row_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.reliability.kills.LONG", ["iterations=20"])
    finding = in_a_row("toy", TOY, 3, tmp_path)
    assert finding.held == finding.tried >= 1, finding.note


def test_a_moment_that_does_not_come_does_not_count_as_held(tmp_path):
    finding = each_moment("toy", TOY, [in_step(99)], tmp_path)
    assert (finding.tried, finding.held) == (1, 0) and "the moment did not come" in finding.note


def test_a_run_that_ends_otherwise_is_told(tmp_path):
    assert run(TOY, tmp_path / "whole") == 0
    reason = why_not_equal([*TOY, "seed=1"], tmp_path / "whole", tmp_path / "killed", [in_step(6)])
    assert "last.ckpt: state_dict" in reason


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_every_paper_ends_as_if_it_had_not_been_killed(paper, tmp_path):
    for finding in findings(Effort(kills=5, papers=(paper,)), tmp_path):
        assert finding.held == finding.tried > 0, finding
