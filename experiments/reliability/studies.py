"""Two workers train the trials of one study, and one of them is killed in the middle of one."""

import csv
import json
import time
from collections import Counter

from experiments.reliability.finding import Finding
from experiments.reliability.small_runs import small
from experiments.studies.study import Study, TrialSpec
from experiments.studies.workers import start, stop

TITLE = "A worker of a study killed"
TRIALS, ITERATIONS, GRACE, PATIENCE = 6, 60, 6, 600  # GRACE, PATIENCE: seconds
SCORE = {"score": "val/psnr", "direction": "maximize"}


def findings(effort, folder):
    """The same training under six names, so that their scores must be equal, resumed or not."""
    study = small_study(folder / "killed")
    victim = kill_one_of_two(study)
    states = study.states()
    yield Finding(
        what="trials of a study, one of its two workers killed in one: each finished once, that one resumed",
        tried=len(states),
        held=sum(finished_once(study, state, attempts=1 + (state.name == victim)) for state in states if victim),
        note=f"{victim} had two attempts" if victim else f"nothing was killed: no checkpoint within {PATIENCE} s",
    )
    scores = Counter(state.value for state in states)
    yield Finding(
        what="scores of the same training, one of them killed and resumed, are equal",
        tried=len(states),
        held=max(scores.values()),
        note=", ".join(f"{value:.6g}" for value in scores if value is not None),
    )


def small_study(folder):
    overrides = [*small("colorful"), f"iterations={ITERATIONS}", "validate_every=20"]
    trials = [TrialSpec(name=f"same-{number}", overrides=[], attrs={}) for number in range(TRIALS)]
    definition = {"kind": "ablation", "overrides": overrides, "objective": SCORE}
    return Study.create(folder, definition, specs=trials, grace=GRACE)


def kill_one_of_two(study):
    """Runs the study to its end. -> name of the trial that the killed worker had, or None where none got that far"""
    workers = [start(study, {}) for _ in range(2)]
    until = time.monotonic() + PATIENCE
    try:
        victim = None
        while victim is None and time.monotonic() < until:
            time.sleep(0.2)
            victim = next((state.name for state in study.states() if in_its_middle(state, workers[0].pid)), None)
        workers[0].kill()
        while workers[1].poll() is None and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        stop(workers)
    return victim


def in_its_middle(state, worker):
    """Whether this worker trains the trial and has saved a checkpoint."""
    taken = state.status == "running" and state.attrs.get("worker", "").endswith(f"-{worker}")
    return taken and (state.run_dir / "checkpoints" / "last.ckpt").exists()


def finished_once(study, state, attempts):
    """Whether a trial ended well in so many attempts, with each iteration in metrics.csv once."""
    ends = [trial for trial in study.trials() if trial.user_attrs["name"] == state.name and trial.value is not None]
    with (state.run_dir / "metrics.csv").open(newline="") as file:
        rows = [int(row["iteration"]) for row in csv.DictReader(file)]
    record = json.loads((state.run_dir / "run.json").read_text())
    trained = rows == list(range(1, ITERATIONS + 1)) and record["iteration"] == ITERATIONS
    return state.status == "finished" and len(ends) == 1 and state.attempts == attempts and trained
