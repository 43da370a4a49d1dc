import pytest

from experiments.reliability import studies
from experiments.reliability.finding import Effort


@pytest.mark.slow
def test_each_trial_finishes_once_though_a_worker_is_killed(tmp_path):
    first, second = studies.findings(Effort(), tmp_path)
    assert first.tried == studies.TRIALS == first.held, first
    assert second.held == second.tried, second.note


def test_a_trial_that_was_not_trained_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "ITERATIONS", 3)
    study = studies.small_study(tmp_path / "s")
    trial = study.take({})
    study.finish(trial, 20.0)
    (state, *_) = study.states()
    state.run_dir.mkdir()
    (state.run_dir / "run.json").write_text('{"iteration": 3}')
    (state.run_dir / "metrics.csv").write_text("iteration\n1\n2\n3\n")
    assert studies.finished_once(study, state, attempts=1)
    assert not studies.finished_once(study, state, attempts=2)
    (state.run_dir / "metrics.csv").write_text("iteration\n1\n2\n2\n3\n")
    assert not studies.finished_once(study, state, attempts=1)
