import pytest

from experiments.reliability.killed_training import between_phases, in_step, run, while_writing
from experiments.reliability.kills import LOADED, each_moment, in_a_row, of_paper, why_not_equal, with_loaders
from experiments.reliability.small_runs import PAPERS, small

TOY = [*small("deep_colorization"), "ema_decay=0.9"]


def test_a_gan_killed_between_its_optimisers_and_while_it_writes_ends_as_one_that_was_not(tmp_path):
    settings = [*small("glcic"), "ema_decay=0.9"]
    finding = each_moment("glcic", settings, [between_phases(7), while_writing(0.5)], tmp_path)
    assert (finding.tried, finding.held) == (2, 2), finding.note


def test_kills_in_a_row_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.reliability.kills.LONG", ["iterations=20"])
    finding = in_a_row("toy", TOY, 3, tmp_path)
    assert (finding.tried, finding.held) == (3, 3), finding.note


def test_kills_that_come_after_the_end_of_the_run_have_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.reliability.kills.LONG", ["iterations=20"])
    monkeypatch.setattr("experiments.reliability.kills.seconds_of", lambda *given: 1000 * (run(*given) + 1))
    finding = in_a_row("toy", TOY, 3, tmp_path)
    assert (finding.tried, finding.held) == (3, 0) and "it ended after 1 of 3 kills" in finding.note


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
    for finding in of_paper(paper, 5, tmp_path):
        assert finding.held == finding.tried > 0, finding


@pytest.mark.slow
@pytest.mark.parametrize("paper", LOADED)
def test_a_run_with_loader_processes_ends_as_if_it_had_not_been_killed(paper, tmp_path):
    finding = with_loaders(paper, tmp_path)
    assert finding.held == finding.tried > 0, finding
