"""One worker of a study: takes a trial, trains it in a process of its own, tells how it went, takes the next.

The objective is read from the run's metrics.csv, and pruning decided, here and not in the training: that is then the
same program as any other run, on any number of devices, without a database connection that could fail or stall it. A
training that is to be pruned finds a file in its folder, ends by itself and says so in its record (StopWhenPruned).
What that costs is at most the time between two looks at metrics.csv (`LOOK`) of training in vain.
"""

import csv
import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time

from optuna.exceptions import UpdateFinishedTrialError

from experiments.errors import UserError, nearest
from experiments.run_record import RUN_DIR, write_text
from experiments.studies.space import distributions_of, override, pruner_of
from experiments.studies.storage import UNANSWERED, unanswered
from lightning_modules.callbacks.stop_on_signal import EX_TEMPFAIL, SIGNALS
from lightning_modules.callbacks.stop_when_pruned import PRUNE

log = logging.getLogger(__name__)

TRAINING = (sys.executable, "-m", "experiments.studies.trial_process")
POLL = 0.25  # seconds between looks at the training's process
LOOK = 1.0  # seconds between looks at metrics.csv, more where reading it takes long
PATIENCE = 5.0  # seconds that a training gets to end by itself
SAVING = 90.0  # seconds that it gets where the machine is taken away, of the 120 of SLURM's notice
ASK_AGAIN = 2.0  # seconds after which a storage that did not answer is asked again
NOTICES = [number for number in SIGNALS if number != signal.SIGTERM]  # of schedulers, before they take a machine away
ENDED = ("finished", "pruned")  # says run.json
KILLED = (130, 137)  # exit codes of a training that SIGINT or the end of its input ended


class Worker:
    """Works until nothing is left to do or `stop` is called. `id` is unique among all machines."""

    def __init__(self, study):
        self.study = study
        self.id = f"{socket.gethostname()}-{os.getpid()}"
        self.score = study.definition["objective"]["score"]
        self.distributions = distributions_of(study.definition)
        self.heartbeat_every = study.rdb.heartbeat_interval
        self.stopping, self.signum = False, None
        study.optuna.pruner = pruner_of(study.definition)

    def stop(self, signum=None, frame=None):
        """Also a signal handler: it only leaves a mark, and the loops below look at it."""
        self.stopping, self.signum = True, signum

    def run(self):
        """Raises UserError where the storage does not answer for longer than the grace period."""
        log.info("%s: at work on %s", self.id, self.study.folder)
        try:
            while not self.stopping:
                trial = self.insist(self.study.take, self.distributions)
                if trial is not None:
                    self.attempt(trial)
                elif self.insist(self.study.has_work):
                    self.pause(self.heartbeat_every)
                else:
                    break
        except UNANSWERED as error:
            raise unanswered(self.study.storage, error) from None
        log.info("%s: %s", self.id, "stopped" if self.stopping else "nothing is left to do")

    def pause(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stopping:
            time.sleep(POLL)

    def insist(self, action, *values):
        """What the action on the study returns. A storage that does not answer is asked again for the grace period, in
        which nobody takes a trial over; its training goes on meanwhile."""
        until = time.monotonic() + self.study.grace
        while True:
            try:
                return action(*values)
            except UNANSWERED as error:
                if self.stopping or time.monotonic() > until:
                    raise
                log.info("%s: %s", self.id, unanswered(self.study.storage, error))
                self.pause(ASK_AGAIN)

    def attempt(self, trial):
        """From a trial that was taken to its result, or back to waiting. UserError where all others would fail too."""
        name = trial.user_attrs["name"]
        folder = self.study.run_dir(name)
        watch = Watch(self.study, trial, folder / "metrics.csv", self.score)
        try:
            self.insist(trial.set_user_attr, "worker", self.id)
            ended = self.conclude(trial, folder, watch, self.train(trial, folder, watch))
        except UNANSWERED:
            raise
        except UserError as error:
            self.failed(trial, str(error))
            raise
        except UpdateFinishedTrialError:
            ended = "was taken over by another worker, since no heartbeat of this one arrived"
        except Exception as error:
            log.warning("%s: %s", self.id, name, exc_info=error)
            ended = self.failed(trial, f"{type(error).__name__}: {error}")
        log.info("%s: %s %s", self.id, name, ended)

    def command(self, trial, folder):
        words = [*self.study.definition["overrides"], *trial.user_attrs["overrides"]]
        words += [override(key, value) for key, value in trial.params.items()]
        return ["train", *words, override("run_dir", str(folder)), "resume=auto"]

    def train(self, trial, folder, watch):
        """How the training ended: finished | pruned | failed | killed | stopped, where it is to go on later and nothing
        is wrong with it. One that has ended is not repeated: a worker may have been killed between the end of a
        training and telling the study."""
        pruned = self.insist(watch.report)
        if status_of(folder) in ENDED:
            return status_of(folder)
        if pruned:  # by what an earlier attempt has reached
            prune(folder)
        chosen = " ".join(f"{key}={value}" for key, value in trial.params.items())
        log.info("%s: %s starts %s", self.id, folder.name, chosen)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "train.log").open("a") as output:
            process = subprocess.Popen(
                [*TRAINING, str(folder), *self.command(trial, folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {RUN_DIR: str(folder)},
                start_new_session=True,
            )
        try:
            self.watch(trial, process, folder, watch)
        finally:
            end(process, SAVING if self.signum in NOTICES else PATIENCE)
        self.insist(watch.report)
        if status_of(folder) in ENDED:  # also where it did so while it was being stopped
            return status_of(folder)
        if self.stopping or process.returncode == EX_TEMPFAIL:
            return "stopped"
        return "killed" if process.returncode < 0 or process.returncode in KILLED else "failed"

    def watch(self, trial, process, folder, watch):
        """Until the process has ended, or is to end since the worker does."""
        beat = 0.0
        while process.poll() is None and not self.stopping:
            if time.monotonic() - beat >= self.heartbeat_every:
                self.insist(self.study.heartbeat, trial)
                beat = time.monotonic()
            if watch.is_due() and self.insist(watch.report):
                prune(folder)
            time.sleep(POLL)

    def conclude(self, trial, folder, watch, status):
        """Tells the study. -> the same for the log"""
        if status == "finished":
            return self.finished(trial, watch, record_of(folder)["scores"].get(self.score))
        if status == "pruned":
            self.insist(self.study.prune, trial)
            return f"pruned at iteration {record_of(folder)['iteration']}"
        if status in ("stopped", "killed"):
            self.insist(self.study.give_back if status == "stopped" else self.study.abandon, trial)
            return f"was {status}; it resumes from its last checkpoint"
        return self.failed(trial, failure(folder))

    def finished(self, trial, watch, value):
        if value is None:
            raise UserError(watch.missing(()))
        if not math.isfinite(value):
            return self.failed(trial, f"{self.score} is {value}")
        self.insist(self.study.finish, trial, value)
        return f"finished: {self.score} {value:.6g}"

    def failed(self, trial, reason):
        self.insist(self.study.fail, trial, reason)
        return f"failed: {reason}"


class Watch:
    """The validation scores of a training, as they come: `reported` holds them by iteration."""

    def __init__(self, study, trial, path, score):
        self.study, self.trial, self.path, self.score = study, trial, path, score
        self.reported, self.prune = {}, False
        self.next, self.changed = 0.0, None

    def is_due(self):
        return time.monotonic() >= self.next

    def report(self):
        """Tells Optuna of new scores, one after the other. -> whether the trial is to be pruned at one of them

        Where the storage fails, the next call goes on with the score that it failed at.
        """
        started = time.monotonic()
        changed, rows = self.new_rows()
        for iteration, value in rows.items():
            self.trial.report(value, iteration)
            self.prune = self.prune or self.trial.should_prune()
            self.reported[iteration] = value
        self.changed = changed
        self.next = time.monotonic() + max(LOOK, 20 * (time.monotonic() - started))
        return self.prune

    def new_rows(self):
        """(when the file changed, {iteration: score}); of lines that are written whole."""
        try:
            changed = self.path.stat().st_mtime_ns
            if changed == self.changed:
                return changed, {}
            text = self.path.read_text()
        except FileNotFoundError:
            return None, {}
        found = {}
        for row in csv.DictReader(text[: text.rfind("\n") + 1].splitlines()):
            scores = {name: value for name, value in row.items() if name.startswith("val/") and value}
            iteration = int(row["iteration"])
            if scores and self.score not in scores:
                raise UserError(self.missing(scores))
            if scores and iteration not in self.reported:
                found[iteration] = float(scores[self.score])
        return changed, found

    def missing(self, scores):
        return f"objective.score: no validation score '{self.score}'{nearest(self.score, scores)}"


def end(process, patience):
    """Ends a training by SIGTERM, or by SIGKILL with the processes that it started where it does not obey."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    process.stdin.close()


def record_of(folder):
    """What run.json of a run holds; {} where there is none yet."""
    path = folder / "run.json"
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def status_of(folder):
    return record_of(folder).get("status")


def prune(folder):
    """Tells the training in a folder to end."""
    if not (folder / PRUNE).exists():
        write_text(folder / PRUNE, "")


def failure(folder):
    """One line: why the training says it failed, or the last line that it printed."""
    record = record_of(folder)
    lines = (folder / "train.log").read_text(errors="replace").split("\n")
    said = [line for line in lines if line.strip()]
    if record.get("status") == "failed":
        return record["reason"].splitlines()[0]
    return said[-1].strip() if said else "it ended without a word"


def work(worker):
    """Runs a worker in this process until nothing is left, or until a signal. -> exit code: 130 after Ctrl-C, 75 where
    it was stopped otherwise, 1 where a trial of the study has failed."""
    keep_log(worker.study.folder / "workers" / f"{worker.id}.log")
    for number in (signal.SIGINT, *SIGNALS):
        signal.signal(number, worker.stop)
    worker.run()
    if worker.stopping:
        return 130 if worker.signum == signal.SIGINT else EX_TEMPFAIL
    return int(worker.insist(worker.study.has_failed))


def keep_log(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
