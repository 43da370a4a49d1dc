"""What a worker makes of a training's ends, with a program that pretends to train."""

import fcntl
import json
import logging
import re
import sys
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from experiments.errors import UserError
from experiments.studies import study as study_module
from experiments.studies import worker as module
from experiments.studies.study import Study, TrialSpec
from experiments.studies.worker import Worker

PRETEND = (sys.executable, "-P", str(Path(__file__).parents[2] / "pretend_training.py"))
SPACE = {
    "kind": "sweep",
    "overrides": ["pause=0.05"],
    "objective": {"score": "val/psnr", "direction": "maximize"},
    "method": "random",
    "seed": 0,
    "pruning": {"method": "none"},
    "space": {"score": {"choices": [2.0]}},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "TRAINING", PRETEND)
    monkeypatch.setattr(module, "LOOK", 0.05)
    monkeypatch.setattr(module, "POLL", 0.05)


def study_of(folder, *trials, grace=6, **definition):
    """trials: the overrides of each, as one text."""
    specs = [TrialSpec(name=f"t{n}", overrides=words.split(), attrs={}) for n, words in enumerate(trials)]
    return Study.create(folder / "s", SPACE | definition, specs=specs, grace=grace)


def ended(study):
    return [(state.status, state.value, state.reason) for state in study.states()]


def test_it_works_until_nothing_waits_and_tells_the_last_score(tmp_path):
    study = study_of(tmp_path, "", "iterations=3")
    Worker(study).run()
    assert ended(study) == [("finished", 8.0, None), ("finished", 6.0, None)]
    trial = study.trials()[0]
    assert trial.intermediate_values == {1: 2.0, 2: 4.0, 3: 6.0, 4: 8.0} and trial.user_attrs["worker"]


def test_the_training_gets_the_overrides_of_study_and_trial_the_sampled_ones_and_its_folder(tmp_path):
    study = study_of(tmp_path, "seed=3")
    worker = Worker(study)
    trial = study.take(worker.distributions)
    assert worker.command(trial, Path("a b")) == [
        "train", "pause=0.05", "seed=3", "score=2.0", "run_dir='a b'", "resume=auto"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("end=fail", "iteration 4: loss is not finite"),
        ("end=refuse", "model.width must be at least 1, got 0"),
        ("end=nan", "val/psnr is nan"),
        ("end=full", "run.json: No space left on device"),
    ],
)
def test_a_training_that_fails_is_a_failed_trial_with_its_reason_and_the_next_one_runs(words, reason, tmp_path):
    study = study_of(tmp_path, words, "")
    Worker(study).run()
    assert ended(study) == [("failed", None, reason), ("finished", 8.0, None)]


def test_a_training_that_is_killed_resumes_from_its_checkpoint(tmp_path):
    study = study_of(tmp_path, "end=die")
    Worker(study).run()
    trace = [line.split()[1] for line in (study.run_dir("t0") / "trace.txt").read_text().splitlines()]
    assert trace == ["1", "2", "3", "4"] and ended(study) == [("finished", 8.0, None)]
    assert study.states()[0].attempts == 2


def test_a_folder_in_which_another_process_trains_is_tried_again_and_that_is_no_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "ATTEMPTS", 1)
    study = study_of(tmp_path, "end=busy", "")
    Worker(study).run()
    assert ended(study) == [("finished", 8.0, None)] * 2


def test_a_score_that_the_paper_does_not_have_stops_the_worker_at_the_first_validation(tmp_path):
    study = study_of(tmp_path, "name=val/psnr_hole iterations=400", "")
    with pytest.raises(UserError, match="objective.score: no validation score 'val/psnr'; nearest: val/psnr_hole"):
        Worker(study).run()
    assert [status for status, *_ in ended(study)] == ["failed", "waiting"]


def test_a_training_that_ended_before_its_worker_could_tell_is_not_repeated(tmp_path):
    study = study_of(tmp_path, "", "")
    for name, status in (("t0", "finished"), ("t1", "pruned")):
        study.run_dir(name).mkdir()
        (study.run_dir(name) / "metrics.csv").write_text("iteration,val/psnr\n4,9.0\n")
        record = {"status": status, "iteration": 4, "scores": {"val/psnr": 9.0}}
        (study.run_dir(name) / "run.json").write_text(json.dumps(record))
    Worker(study).run()
    assert ended(study) == [("finished", 9.0, None), ("pruned", 9.0, None)]
    assert not list(study.folder.glob("runs/*/trace.txt"))


def test_an_error_in_an_attempt_fails_its_trial_with_the_reason_and_the_next_one_runs(tmp_path):
    study = study_of(tmp_path, "", "")
    study.run_dir("t0").mkdir()
    (study.run_dir("t0") / "run.json").write_text("{")
    Worker(study).run()
    (status, _, reason), second = ended(study)
    assert status == "failed" and re.match("ValueError: .*/t0/run.json cannot be read: Expecting property", reason)
    assert second == ("finished", 8.0, None)


class Outage:
    """A part of a study that does not answer from its second call on, for some seconds."""

    def __init__(self, action, seconds):
        self.action, self.seconds, self.calls, self.until = action, seconds, 0, None

    def __call__(self, *values):
        self.calls += 1
        self.until = self.until or (time.monotonic() + self.seconds if self.calls == 2 else None)
        if self.until and time.monotonic() < self.until:
            raise StorageInternalError("the server closed the connection")
        return self.action(*values)


@pytest.mark.parametrize("name", ["take", "heartbeat", "finish", "report"])
def test_a_storage_that_is_away_for_less_than_the_grace_period_stops_nothing(name, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ASK_AGAIN", 0.1)
    study = study_of(tmp_path, "pause=0.4", "")
    if name == "report":
        monkeypatch.setattr(optuna.Trial, "report", report := Outage(optuna.Trial.report, 1.0))
        monkeypatch.setattr(optuna.Trial, "report", lambda *values: report(*values))
    else:
        monkeypatch.setattr(study, name, Outage(getattr(study, name), 1.0))
    Worker(study).run()
    assert ended(study) == [("finished", 8.0, None)] * 2
    assert [state.attempts for state in study.states()] == [1, 1]
    assert all(trial.intermediate_values == {1: 2.0, 2: 4.0, 3: 6.0, 4: 8.0} for trial in study.trials())
    trace = (study.run_dir("t0") / "trace.txt").read_text().split()
    assert len(set(trace[::2])) == 1  # one training, which went on


def test_a_storage_that_is_away_for_longer_ends_the_worker_and_its_training(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ASK_AGAIN", 0.1)
    study = study_of(tmp_path, "iterations=1000", grace=2)
    monkeypatch.setattr(study, "heartbeat", Outage(study.heartbeat, 600))
    with pytest.raises(UserError, match="^storage sqlite:///.* does not answer: the server closed the connection$"):
        Worker(study).run()
    assert [state.status for state in study.states()] == ["running"]  # until its heartbeats are missed
    with (study.run_dir("t0") / "train.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nothing trains on


def test_the_exit_code_says_that_a_trial_has_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    assert module.work(Worker(study_of(tmp_path / "well", ""))) == 0
    study = study_of(tmp_path / "not", "", "end=fail")
    assert module.work(Worker(study)) == 1


MEDIAN = {"pruning": {"method": "median", "startup_trials": 1, "warmup": 2}, "validate_every": 1, "iterations": 400}


def test_a_trial_behind_the_median_is_pruned_and_its_training_says_so(tmp_path):
    study = study_of(tmp_path, "", "score=0.5 iterations=400 pause=0.1", space={}, **MEDIAN)
    Worker(study).run()
    assert [state.status for state in study.states()] == ["finished", "pruned"]
    trained = json.loads((study.run_dir("t1") / "run.json").read_text())
    assert trained["status"] == "pruned" and max(study.trials()[1].intermediate_values) <= trained["iteration"] < 400


def test_a_trial_that_fell_behind_before_it_was_interrupted_is_pruned_when_it_is_taken_again(tmp_path):
    study = study_of(tmp_path, "", "score=9 iterations=400 pause=0.1", space={}, **MEDIAN)
    folder = study.run_dir("t1")
    folder.mkdir()
    (folder / "metrics.csv").write_text("iteration,train/loss,val/psnr\n1,0.5,0.1\n2,0.5,0.1\n3,0.5,0.1\n")
    (folder / "checkpoint").write_text("3")
    Worker(study).run()
    assert [state.status for state in study.states()] == ["finished", "pruned"]
    assert json.loads((folder / "run.json").read_text()) == {"status": "pruned", "iteration": 4}


@pytest.mark.parametrize("end", ["finish", "hang"])
def test_a_stopped_worker_gives_its_trial_back_within_seconds(end, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    study = study_of(tmp_path, f"iterations=1000 end={end}")
    worker = Worker(study)
    trace = study.run_dir("t0") / "trace.txt"
    stopped = []

    def stop():
        while not trace.exists():
            time.sleep(0.02)
        worker.stop()
        stopped.append(time.monotonic())

    threading.Thread(target=stop).start()
    worker.run()
    assert time.monotonic() - stopped[0] < 5
    assert ended(study) == [("waiting", None, None)]
    seen = trace.read_text()
    time.sleep(0.3)
    assert trace.read_text() == seen  # nothing trains on


def test_a_worker_whose_trial_was_taken_over_lets_go_of_it(tmp_path, caplog):
    study = study_of(tmp_path, "iterations=1000")
    worker = Worker(study)
    worker.heartbeat_every = 0.2

    def take_over():
        while not (study.run_dir("t0") / "trace.txt").exists():
            time.sleep(0.02)
        other = Study.open(study.folder)
        other.fail(first_trial(other), "taken over")

    threading.Thread(target=take_over).start()
    with caplog.at_level(logging.INFO):
        worker.run()
    assert "t0 was taken over by another worker" in caplog.text
    assert ended(study) == [("failed", None, "taken over")]


def first_trial(study):
    return optuna.Trial(study.optuna, study.trials()[0]._trial_id)


def test_a_row_that_is_still_being_written_is_left_for_later(tmp_path):
    study = study_of(tmp_path, "")
    path = tmp_path / "metrics.csv"
    watch = module.Watch(study, study.take({}), path, "val/psnr")
    watch.report()
    assert watch.reported == {}
    path.write_text("iteration,val/psnr\n1,\n2,20.5\n4,2")
    watch.report()
    assert watch.reported == {2: 20.5}
    path.write_text("iteration,val/psnr\n1,\n2,20.5\n4,21.5\n")
    watch.report()
    assert watch.reported == {2: 20.5, 4: 21.5}
