"""A study: trials that workers on one or several machines take one by one, kept in a database by Optuna.

A study lies in a folder: study.json (what it is), study.db (the trials, unless they are kept elsewhere), runs/<trial>
(one ordinary run each), workers/*.log and report/. Its trials are all entered when it is made and wait; taking one is
exclusive. A trial whose worker is gone goes back to waiting, under the same name and with the same settings, so that it
resumes in the same run folder.

Measured of Optuna 5.0, and why some of its ways are not used: four processes that pop from one SQLite study took 40
trials 45 times (SQLite has no row locks), so taking is behind a lock of ours; `ask` makes a new trial where none waits,
which with several workers exceeds the number asked for; a trial whose worker dies before its first heartbeat runs
forever, so that heartbeat comes before the trial is taken.
"""

import json
import sys
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import TrialState as State

from experiments.errors import UserError
from experiments.run_record import commit, write_text
from experiments.studies.space import sampler_of
from experiments.studies.storage import connect, file_locked, shown, storage_url, without_password

STUDIES = Path("studies")
GRACE = 60  # seconds without a heartbeat after which a worker is taken for dead
ATTEMPTS = 10  # times a trial is taken whose workers are killed
STATUS = {
    State.WAITING: "waiting",
    State.RUNNING: "running",
    State.COMPLETE: "finished",
    State.FAIL: "failed",
    State.PRUNED: "pruned",
}
NOT_COMPARED = ("name", "created", "grace", "storage")  # of study.json: they do not say what is studied

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)  # heartbeats, since 2.8


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """A trial to enter: its run folder's name, its own overrides beside the study's, and what else to remember."""

    name: str
    overrides: list[str]
    attrs: dict
    params: dict = field(default_factory=dict)  # values of the space that are not to be sampled


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """Where a trial is. value: of the objective. params: what the sampler chose, by config key."""

    name: str
    status: str  # waiting | running | finished | failed | pruned
    number: int  # of the last attempt, in the order in which they were entered
    attempts: int
    run_dir: Path
    value: float | None
    params: dict
    attrs: dict
    reason: str | None  # why it failed
    started: datetime | None
    seconds: float | None


class Study:
    """definition: what study.json holds.

    name        in the database: that of the folder in which the study was made
    kind        ablation | sweep
    overrides   key=value of every trial; a trial's own and the sampled ones come after them
    objective   {"score": a validation score such as val/psnr, "direction": "maximize" | "minimize"}
    and what the kind adds.
    """

    def __init__(self, folder, storage, grace, name):
        self.folder, self.storage, self.grace, self.name = Path(folder), storage, grace, name
        self.rdb = connect(storage)
        self.rdb.heartbeat_interval, self.rdb.grace_period = max(1, grace // 6), grace
        self.rdb.heartbeat_stale_trial_callback = RetryHeartbeatStaleTrialCallback(max_retry=ATTEMPTS - 1)

    @classmethod
    def create(cls, folder, definition, storage=None, specs=(), grace=GRACE):
        """Makes a study, or opens one of the same definition, and enters the trials that it lacks by name.

        UserError with the keys that differ where the folder or the database holds another study of this name.
        """
        folder = Path(folder)
        try:
            (folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the study's folder {folder} cannot be made: {error.strerror}") from None
        kept = read_definition(folder)
        url = storage_url(folder, storage or (kept or {}).get("storage"))
        study = cls(folder, url, (kept or {}).get("grace", grace), name_of(folder, kept))
        with study.exclusive():
            direction = definition["objective"]["direction"]
            optuna.create_study(study_name=study.name, storage=study.rdb, direction=direction, load_if_exists=True)
            known = study.remembered()
            if known is None:
                revision, clean = commit()
                made = {"command": ["chromafill", *sys.argv[1:]], "commit": revision, "clean": clean}
                known = definition | {"name": study.name, "created": made, "grace": grace}
                known |= {"storage": without_password(storage)}
                study.optuna.set_user_attr("definition", json.dumps(known))
            require_same(study, known, definition)
            if kept is None:
                write_text(folder / "study.json", json.dumps(known, indent=2) + "\n")
            entered = {trial.user_attrs["name"] for trial in study.trials()}
            for spec in specs:
                if spec.name not in entered:
                    study.enter(spec)
        return study

    @classmethod
    def open(cls, place, storage=None):
        """The study in a folder, or of that name in studies/; with a storage, also one whose folder is not here yet."""
        folder = Path(place)
        if read_definition(folder) is None and read_definition(STUDIES / place) is not None:
            folder = STUDIES / place
        kept = read_definition(folder)
        if kept is None and storage is None:
            raise UserError(
                f"no study in {folder} or {STUDIES / place}; give the folder of one, or --storage where it is kept"
            )
        if kept is None and len(folder.parts) == 1:
            folder = STUDIES / place
        url, name = storage_url(folder, storage or kept["storage"]), name_of(folder, kept)
        study = cls(folder, url, (kept or {}).get("grace", GRACE), name)
        known = study.remembered()
        if known is None:
            raise UserError(f"no study '{study.name}' in {shown(study.storage)}")
        if kept is None:
            study = cls(folder, study.storage, known["grace"], name)
            (folder / "runs").mkdir(parents=True, exist_ok=True)
            write_text(folder / "study.json", json.dumps(known | {"storage": without_password(storage)}, indent=2))
        return study

    @cached_property
    def optuna(self):
        """Optuna's study. The worker of a sweep gives it a pruner."""
        return optuna.load_study(study_name=self.name, storage=self.rdb)

    @cached_property
    def definition(self):
        return self.remembered()

    def remembered(self):
        """The definition in the database, or None where there is no such study or it is being made."""
        names = [summary.study_name for summary in self.rdb.get_all_studies()]
        text = self.optuna.user_attrs.get("definition") if self.name in names else None
        return None if text is None else json.loads(text)

    def trials(self, *states):
        """Optuna's trials, retried ones as often as they were tried."""
        return self.optuna.get_trials(deepcopy=False, states=states or None)

    def enter(self, spec):
        attrs = spec.attrs | {"name": spec.name, "overrides": list(spec.overrides)}
        fixed = {"fixed_params": spec.params} if spec.params else {}
        self.optuna.add_trial(optuna.create_trial(state=State.WAITING, user_attrs=attrs, system_attrs=fixed))

    def run_dir(self, name):
        return self.folder / "runs" / name

    def states(self):
        """The trials in the order in which they were entered, a retried one once."""
        attempts = {}
        for trial in self.trials():
            attempts.setdefault(trial.user_attrs["name"], []).append(trial)
        return [self.state(name, tried) for name, tried in attempts.items()]

    def state(self, name, tried):
        last = tried[-1]
        attrs = dict(last.user_attrs)
        reason = attrs.pop("reason", None)
        if last.state == State.FAIL and reason is None:
            reason = f"its training was killed {ATTEMPTS} times"
        duration = last.duration
        return TrialState(
            name=name,
            status=STATUS[last.state],
            number=last.number,
            attempts=len(tried),
            run_dir=self.run_dir(name),
            value=last.value if last.state in (State.COMPLETE, State.PRUNED) else None,
            params=last.params,
            attrs=attrs,
            reason=reason if last.state == State.FAIL else None,
            started=last.datetime_start,
            seconds=None if duration is None else duration.total_seconds(),
        )

    @contextmanager
    def exclusive(self):
        """One process at a time, of all that use the database."""
        if self.rdb.engine.dialect.name == "postgresql":
            lock = sqlalchemy.text("select pg_advisory_lock(hashtext(:name))")
            with self.rdb.engine.connect() as connection:
                connection.execute(lock, {"name": f"chromafill {self.name}"})
                try:
                    yield
                finally:
                    connection.invalidate()  # closes the session, and with it goes the lock
            return
        with file_locked(self.rdb.engine.url):
            yield

    def take(self, distributions: Mapping[str, BaseDistribution]):
        """A waiting trial, now this worker's, its parameters sampled; None where none waits.

        Trials of workers that are gone are put back to waiting first.
        """
        with self.exclusive():
            self.put_back_abandoned()
            waiting = self.trials(State.WAITING)
            if not waiting:
                return None
            self.optuna.sampler = sampler_of(self.definition, waiting[0].number)
            self.rdb.record_heartbeat(waiting[0]._trial_id)
            self.rdb.set_trial_state_values(waiting[0]._trial_id, State.RUNNING)
            trial = optuna.Trial(self.optuna, waiting[0]._trial_id)
            for key, distribution in distributions.items():
                trial._suggest(key, distribution)
            return trial

    def put_back_abandoned(self):
        """Also those whose worker, or whoever put them back, died between the two writes of doing so."""
        optuna.storages.fail_stale_trials(self.optuna)
        last = {trial.user_attrs["name"]: trial for trial in self.trials()}
        for trial in last.values():
            tried = len(RetryHeartbeatStaleTrialCallback.retry_history(trial)) + 1
            if trial.state == State.FAIL and "reason" not in trial.user_attrs and tried < ATTEMPTS:
                self.rdb.heartbeat_stale_trial_callback(self.optuna, self.rdb.get_trial(trial._trial_id))

    def has_work(self):
        """Whether a trial waits, or may come to wait when the worker that has it is killed."""
        return bool(self.trials(State.WAITING, State.RUNNING))

    def has_failed(self):
        with self.exclusive():
            return any(state.status == "failed" for state in self.states())

    def heartbeat(self, trial):
        """UpdateFinishedTrialError where the trial was taken over, since heartbeats failed to come for too long."""
        if not self.is_ours(trial):
            raise UpdateFinishedTrialError(f"trial {trial.number} was taken over")
        self.rdb.record_heartbeat(trial._trial_id)

    def is_ours(self, trial):
        """Whether a trial that was taken still counts as running."""
        return self.rdb.get_trial(trial._trial_id).state == State.RUNNING

    def finish(self, trial, value):
        self.optuna.tell(trial, value, skip_if_finished=True)

    def prune(self, trial):
        self.optuna.tell(trial, state=State.PRUNED, skip_if_finished=True)

    def fail(self, trial, reason):
        if self.is_ours(trial):
            trial.set_user_attr("reason", reason)
            self.optuna.tell(trial, state=State.FAIL, skip_if_finished=True)

    def abandon(self, trial):
        """Puts a trial back whose training was killed; such an attempt counts."""
        with self.exclusive():
            self.optuna.tell(trial, state=State.FAIL, skip_if_finished=True)
            self.put_back_abandoned()

    def give_back(self, trial):
        """Puts a trial back to waiting, to be resumed by whoever is next. Does not count as an attempt."""
        with self.exclusive():
            given = self.rdb.get_trial(trial._trial_id)
            if given.state != State.RUNNING:
                return
            self.optuna.tell(trial, state=State.FAIL)
            self.enter_again(given, given.user_attrs, given.system_attrs)

    def retry_failed(self):
        """Puts the trials that failed back to waiting, their attempts counted anew. -> how many"""
        with self.exclusive():
            last = {trial.user_attrs["name"]: trial for trial in self.trials()}
            failed = [trial for trial in last.values() if trial.state == State.FAIL]
            for trial in failed:
                kept = {key: value for key, value in trial.user_attrs.items() if key != "reason"}
                fixed = {key: value for key, value in trial.system_attrs.items() if key == "fixed_params"}
                self.enter_again(trial, kept, fixed)
            return len(failed)

    def enter_again(self, trial, user_attrs, system_attrs):
        settings = {"params": trial.params, "distributions": trial.distributions}
        attrs = {"user_attrs": user_attrs, "system_attrs": system_attrs}
        self.optuna.add_trial(optuna.create_trial(state=State.WAITING, **settings, **attrs))


def read_definition(folder):
    """What study.json in a folder holds, or None where there is none."""
    path = Path(folder) / "study.json"
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def name_of(folder, kept):
    """A study's name in the database. kept: what its study.json holds, None of a study that is new in this folder."""
    return (kept or {}).get("name", folder.resolve().name)


def require_same(study, known, definition):
    """UserError with the keys in which a study's definition is not the one asked for."""
    first, second = ({k: v for k, v in each.items() if k not in NOT_COMPARED} for each in (known, definition))
    second = json.loads(json.dumps(second))
    differing = sorted(key for key in first | second if first.get(key) != second.get(key))
    if differing:
        raise UserError(
            f"{study.folder} holds another study; differing: {', '.join(differing)}. Give another name, or the settings"
            " in its study.json"
        )
