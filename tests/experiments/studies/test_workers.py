"""Workers on one machine: their shares of it, and what is left when they are killed or stopped."""

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from postgres import served

from experiments.errors import UserError
from experiments.studies import study as study_module
from experiments.studies import worker as worker_module
from experiments.studies import workers as module
from experiments.studies.study import Study, TrialSpec
from experiments.studies.worker import Worker, work
from experiments.studies.workers import machine_shares, run_workers, share, start, stop

DEFINITION = {
    "kind": "sweep",
    "objective": {"score": "val/psnr", "direction": "maximize"},
    "method": "random",
    "seed": 0,
    "pruning": {"method": "none"},
}
TINY = (
    "model=colorful model.width=4 data=synthetic data.crop=32 data.batch_size=4 data.workers=0 data.train_count=40"
    " data.val_count=4 logger=none trainer.accelerator=cpu trainer.devices=1 log_every=1 validate_every=2"
    " checkpoint_every=2 iterations=30"
).split()


def study_of(folder, count, overrides, storage=None, grace=3, **more):
    specs = [TrialSpec(name=f"t{number}", overrides=[], attrs={}) for number in range(count)]
    definition = DEFINITION | {"overrides": overrides, "space": {}} | more
    return Study.create(folder, definition, storage, specs, grace=grace)


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def running(study, pid):
    """The trial that the worker of a process id works on, or None."""
    mine = [s for s in study.states() if s.status == "running" and s.attrs.get("worker", "").endswith(f"-{pid}")]
    return mine[0] if mine else None


@pytest.mark.parametrize(
    ("things", "count", "shares"),
    [
        ([0, 1, 2, 3], 2, [[0, 1], [2, 3]]),
        ([0, 1, 2], 2, [[0], [1, 2]]),
        (["a", "b"], 2, [["a"], ["b"]]),
        ([0, 1], 3, [[0], [1], [0]]),
    ],
)
def test_workers_share_a_machine_without_overlap_while_there_is_enough(things, count, shares):
    assert [share(things, count, number) for number in range(count)] == shares


def test_gpus_are_shared_by_the_names_that_the_user_allows(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,GPU-7,1")
    assert machine_shares(2) == [{"CUDA_VISIBLE_DEVICES": "3,5"}, {"CUDA_VISIBLE_DEVICES": "GPU-7,1"}]


def test_without_gpus_cpus_are_shared_and_threads_with_them_unless_the_user_says_how_many(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(module, "cpus", lambda: [0, 1, 4, 5])
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert machine_shares(2)[1] == {"CHROMAFILL_CPUS": "4,5", "OMP_NUM_THREADS": "2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert machine_shares(2)[1] == {"CHROMAFILL_CPUS": "4,5"}


def test_no_workers_are_a_mistake(tmp_path):
    with pytest.raises(UserError, match="workers must be at least 1, got 0"):
        run_workers(study_of(tmp_path / "s", 1, []), 0)


def forked_worker(folder, storage):
    """A worker in a copy of this process, which starts at once, with a program that pretends to train."""
    pretend = Path(__file__).parents[2] / "pretend_training.py"
    worker_module.TRAINING = (sys.executable, "-P", str(pretend))
    sys.exit(work(Worker(Study.open(folder, storage))))


def fork(study, count):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=forked_worker, args=(study.folder, study.storage)) for _ in range(count)]
    for each in workers:
        each.start()
    return workers


def trace(state):
    """[(process id, iteration)] in the order in which they were trained."""
    return [tuple(map(int, line.split())) for line in (state.run_dir / "trace.txt").read_text().splitlines()]


@pytest.fixture(scope="module")
def server():
    with served() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request):
    return request.getfixturevalue("server") if request.param == "postgresql" else None


def test_every_trial_finishes_once_though_a_worker_is_killed_in_the_middle_of_one(tmp_path, storage, request):
    study = study_of(tmp_path / f"fast{storage is None}", 4, ["iterations=12", "pause=0.1"], storage)
    first, second = fork(study, 2)
    wait_for(lambda: (state := running(study, first.pid)) and len(trace_or_none(state)) >= 4)
    victim = running(study, first.pid)
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    time.sleep(0.5)
    seen = trace(victim)
    time.sleep(0.5)
    assert trace(victim) == seen and len(seen) < 12  # its training did not live on
    second.join(60)
    assert second.exitcode == 0
    states = study.states()
    assert [(s.status, s.value) for s in states] == [("finished", 12.0)] * 4
    assert {s.name: s.attempts for s in states} == {"t0": 1, "t1": 1, "t2": 1, "t3": 1} | {victim.name: 2}
    for state in states:
        processes = list(dict.fromkeys(pid for pid, _ in trace(state)))
        assert len(processes) == state.attempts
        iterations = [iteration for _, iteration in trace(state)]
        assert sorted(set(iterations)) == list(range(1, 13)) and len(iterations) <= 13  # resumed, not begun again


def trace_or_none(state):
    return trace(state) if (state.run_dir / "trace.txt").exists() else []


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGUSR2, 75)],
)
def test_a_signal_stops_workers_within_seconds_and_the_trials_go_on_later(number, code, tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "ATTEMPTS", 1)  # being stopped is none
    study = study_of(tmp_path / "s", 2, ["iterations=40", "pause=0.1"], grace=60)
    workers = fork(study, 2)
    wait_for(lambda: all(running(study, each.pid) and trace_or_none(running(study, each.pid)) for each in workers))
    started = time.monotonic()
    for each in workers:
        os.kill(each.pid, number)
    for each in workers:
        each.join(10)
    assert time.monotonic() - started < 5
    assert [each.exitcode for each in workers] == [code, code]
    states = study.states()
    assert [s.status for s in states] == ["waiting"] * 2  # at once, not after the grace period
    done = [len(trace(s)) for s in states]
    (third,) = fork(study, 1)
    wait_for(lambda: len(trace(states[0])) > done[0])
    os.kill(third.pid, signal.SIGTERM)
    third.join(10)
    assert trace(states[0])[done[0]][1] in (done[0], done[0] + 1)  # from its checkpoint


@pytest.mark.slow
def test_real_trainings_finish_once_though_a_worker_is_killed(tmp_path, storage):
    study = study_of(tmp_path / f"real{storage is None}", 3, TINY, storage)
    first, second = workers = [start(study, {}) for _ in range(2)]
    try:
        wait_for(lambda: (state := running(study, first.pid)) and (state.run_dir / "checkpoints/last.ckpt").exists())
        victim = running(study, first.pid)
        first.kill()
        assert second.wait(240) == 0
    finally:
        stop(workers)
    states = study.states()
    assert {s.name: (s.status, s.attempts) for s in states} == {
        s.name: ("finished", 2 if s.name == victim.name else 1) for s in states
    }
    for state in states:
        assert json.loads((state.run_dir / "run.json").read_text())["iteration"] == 30
        with (state.run_dir / "metrics.csv").open(newline="") as file:
            assert [int(row["iteration"]) for row in csv.DictReader(file)] == list(range(1, 31))
    values = Counter(round(state.value, 6) for state in states)
    assert len(values) == 1  # the same training three times, and a resumed one equals the others


@pytest.mark.slow
def test_ctrl_c_stops_local_workers_within_seconds(tmp_path):
    study = study_of(tmp_path / "s", 2, [*TINY, "iterations=5000"], grace=60)
    stopped = []

    def interrupt():
        wait_for(lambda: sum((s.run_dir / "checkpoints/last.ckpt").exists() for s in study.states()) == 2)
        stopped.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_workers(study, 2)
    assert time.monotonic() - stopped[0] < 15
    assert [state.status for state in study.states()] == ["waiting", "waiting"]


def programs(monkeypatch, *texts):
    """In place of workers, one after the other."""
    waiting = [subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE) for text in texts]
    monkeypatch.setattr(module, "start", lambda study, share: waiting.pop(0))


@pytest.mark.parametrize(
    ("ends", "code"),
    [(["exit()", "exit()"], 0), (["exit()", "exit(1)"], 1), (["import os; os.abort()", "exit()"], 1)],
)
def test_the_exit_code_says_that_a_worker_or_a_trial_failed(ends, code, monkeypatch):
    programs(monkeypatch, *ends)
    assert run_workers(None, 2, pin=False) == code


def test_a_worker_that_was_told_to_stop_makes_the_run_one_to_go_on_with(monkeypatch):
    programs(monkeypatch, "exit(75)", "exit(1)")
    with pytest.raises(SystemExit) as left:
        run_workers(None, 2, pin=False)
    assert left.value.code == 75


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_schedulers_signal_is_passed_on_and_the_exit_code_is_75(number, monkeypatch, tmp_path):
    listen = f"import signal, time; from pathlib import Path; place = Path({str(tmp_path)!r}) / "
    listen += "'{0}'; signal.signal({1}, lambda *_: exit(place.with_suffix('.got').touch())); place.touch();"
    programs(monkeypatch, *(listen.format(name, int(number)) + "time.sleep(60)" for name in "ab"))
    before = signal.getsignal(number)

    def send():
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    with pytest.raises(SystemExit) as left:
        run_workers(None, 2, pin=False)
    assert left.value.code == 75 and len(list(tmp_path.glob("*.got"))) == 2
    assert signal.getsignal(number) == before


@pytest.mark.slow
def test_trainings_save_when_a_scheduler_takes_the_machine_away(tmp_path):
    study = study_of(tmp_path / "s", 1, [*TINY, "iterations=5000", "checkpoint_every=5000"], grace=60)

    def send():
        wait_for(lambda: (study.run_dir("t0") / "metrics.csv").exists())
        os.kill(os.getpid(), signal.SIGUSR2)

    threading.Thread(target=send).start()
    with pytest.raises(SystemExit):
        run_workers(study, 1)
    assert [state.status for state in study.states()] == ["waiting"]
    record = json.loads((study.run_dir("t0") / "run.json").read_text())
    assert record["status"] == "interrupted" and (study.run_dir("t0") / "checkpoints" / "last.ckpt").exists()


@pytest.mark.slow
def test_a_worker_that_meets_a_mistake_ends_the_run_with_it(tmp_path):
    objective = {"score": "val/psnr_hole", "direction": "maximize"}
    study = study_of(tmp_path / "s", 1, TINY, objective=objective)
    with pytest.raises(UserError, match="a worker stopped; it says why above"):
        run_workers(study, 1)
    assert "nearest: val/psnr" in study.states()[0].reason
