"""A run that is asked to give its machine back saves, says so by its exit code, and goes on as if nothing had been."""

import json
import os
import signal
import subprocess
import time
from functools import partial

from experiments.reliability.finding import Finding
from experiments.reliability.killed_training import (
    Moment,
    at_call,
    ended,
    last_words,
    random_moments,
    run,
    seconds_of,
    start,
)
from experiments.reliability.kills import LONG
from experiments.reliability.kills_ranks import run_two
from experiments.reliability.left_behind import differences
from experiments.reliability.small_runs import PAPERS, small
from experiments.run_record import RunRecord, is_finished
from experiments.verbs import train
from lightning_modules.base import PaperModule
from lightning_modules.callbacks.stop_on_signal import EX_TEMPFAIL
from lightning_modules.tasks import TaskModule

TITLE = "Stopped by a signal"
GRACE = 30  # seconds that SLURM leaves between SIGTERM and SIGKILL, by default
SETTINGS = [*small("context_encoder"), "ema_decay=0.9"]
PLACES = {  # where the signal comes: the function that is called there, and which of its calls
    "while the data set is looked at": (train, "build_both", lambda *_: True),
    "while a checkpoint is looked for": (train, "find_checkpoint", lambda *_: True),
    "when the record is begun": (RunRecord, "on_fit_start", lambda *_: True),
    "in the step of iteration 3": (PaperModule, "manual_backward", lambda module, *_: module.iteration == 3),
    "before a validation": (PaperModule, "manual_backward", lambda module, *_: module.iteration == 4),
    "in a validation": (TaskModule, "validation_step", lambda module, *_: module.iteration == 4),
    "while a checkpoint is written": (os, "fsync", lambda *_: True),
    "in the last step": (PaperModule, "manual_backward", lambda module, *_: module.iteration == 8),
    "in the last validation": (TaskModule, "validation_step", lambda module, *_: module.iteration == 8),
}
AT_THE_END = {
    "after the last validation": (RunRecord, "on_validation_end", lambda *given: given[-1].iteration == 8),
    "when the record is closed": (RunRecord, "on_train_end", lambda *_: True),
}


def findings(effort, folder):
    seconds_of(SETTINGS, folder / "whole")
    for name in ("SIGTERM", "SIGUSR1", "SIGUSR2"):
        signum = getattr(signal, name)
        yield at_places(f"{name}, saved and resumed", PLACES, signum, EX_TEMPFAIL, folder, folder / name)
        yield at_places(f"{name} at the end, finished", AT_THE_END, signum, 0, folder, folder / f"{name}_end")
        yield to_loaders_too(name, signum, folder)
    yield of_every_paper(effort.papers or PAPERS, folder / "papers")
    yield two_processes(folder)
    yield in_a_row(f"{effort.kills} SIGTERM in a row", effort.kills, folder / "in_a_row")


def send(signum):
    os.kill(os.getpid(), signum)


def send_to_group(signum):
    """From a process outside the group: PyTorch's loader processes forgive SIGTERM from their parent."""
    subprocess.run(["kill", f"-{int(signum)}", "--", f"-{os.getpgrp()}"], start_new_session=True, check=True)


def plant(place, act, alone):
    """alone: the child leads a process group, of which its loader processes are members."""
    if alone:
        os.setpgid(0, 0)
    owner, name, chosen = (PLACES | AT_THE_END)[place]
    once = iter([act])
    at_call(owner, name, chosen, act=lambda: next(once, lambda: None)())


def moment_of(place, act, alone=False):
    return Moment(place, partial(plant, place, act, alone))


def at_places(what, places, signum, expected, folder, own):
    """One run for each place."""
    wrong = []
    for number, name in enumerate(places):
        moment = moment_of(name, partial(send, signum))
        reason = why_not_kept(SETTINGS, folder / "whole", own / str(number), moment, expected)
        wrong += [f"{name}: {reason}"] if reason else []
    return Finding(what=what, tried=len(places), held=len(places) - len(wrong), note="; ".join(wrong))


def why_not_kept(settings, whole, stopped, moment, expected):
    """None, or what a run stopped at `moment` and resumed did otherwise than promised."""
    begun = time.monotonic()
    code = run(settings, stopped, moment)
    if code != expected:
        return f"exit code {code} instead of {expected}: {last_words(stopped)}"
    if time.monotonic() - begun > GRACE:
        return f"took {time.monotonic() - begun:.0f} s to stop"
    if status_of(stopped) == "running":
        return "run.json says that it is running"
    if code != 0 and (code := run(settings, stopped)) != 0:
        return f"exit code {code} when it was resumed: {last_words(stopped)}"
    return "; ".join(differences(whole, stopped)[:3]) or None


def status_of(folder):
    """What run.json says; None where there is none."""
    path = folder / "run.json"
    return json.loads(path.read_text())["status"] if path.exists() else None


def to_loaders_too(name, signum, folder):
    """As a scheduler sends it: to every process of the job, those that load images among them."""
    settings = [*SETTINGS, "data.workers=2"]
    moment = moment_of("in the step of iteration 3", partial(send_to_group, signum), alone=True)
    reason = why_not_kept(settings, folder / "whole", folder / f"{name}_loaders", moment, EX_TEMPFAIL)
    return Finding(what=f"{name} to loader processes too", tried=1, held=0 if reason else 1, note=reason or "")


def of_every_paper(papers, folder):
    """In a validation: the resumed run begins with it."""
    wrong = []
    for paper in papers:
        settings, whole = [*small(paper), "ema_decay=0.9"], folder / f"{paper}_whole"
        seconds_of(settings, whole)
        moment = moment_of("in a validation", partial(send, signal.SIGTERM))
        reason = why_not_kept(settings, whole, folder / f"{paper}_stopped", moment, EX_TEMPFAIL)
        wrong += [f"{paper}: {reason}"] if reason else []
    what = "SIGTERM in a validation of each paper, saved and resumed"
    return Finding(what=what, tried=len(papers), held=len(papers) - len(wrong), note="; ".join(wrong))


def two_processes(folder):
    """The signal to either of two processes, and to both, as clusters do. All leave, one of them with the code. In a
    validation the first one has two batches, the second one has one."""
    run_two(folder / "whole_two")
    receivers = {"first": (0,), "second": (1,), "both": (0, 1)}
    places = ("in the step of iteration 3", "in a validation")
    cases, wrong = [(place, name) for place in places for name in receivers], []
    for number, (place, name) in enumerate(cases):
        stopped, ranks = folder / f"stopped_{number}", receivers[name]
        moment = moment_of(place, partial(send, signal.SIGTERM))
        codes = run_two(stopped, [moment if rank in ranks else None for rank in (0, 1)])
        status = status_of(stopped)
        codes += run_two(stopped)
        if codes != [EX_TEMPFAIL, 0, 0, 0] or status != "interrupted":
            wrong.append(f"{place}, {name}: exit codes {codes}, run.json: {status}")
        else:
            wrong += [f"{place}, {name}: {each}" for each in differences(folder / "whole_two", stopped)[:1]]
    what = "SIGTERM to the first of two processes, the second, both, saved and resumed"
    return Finding(what=what, tried=len(cases), held=len(cases) - len(wrong), note="; ".join(wrong))


def in_a_row(what, count, folder):
    """One run stopped again and again at moments of the clock."""
    settings = [*SETTINGS, *LONG]
    seconds = seconds_of(settings, folder / "whole")
    stopped, slowest, stops = folder / "stopped", 0.0, 0
    for moment in random_moments(count, 0.75 * seconds / count, seed=1, act=partial(send, signal.SIGTERM)):
        child = start(settings, stopped, moment)
        begun = time.monotonic()
        code = ended(child)
        slowest = max(slowest, time.monotonic() - begun)
        if code == 0 or is_finished(stopped):
            break
        stops += 1
        # before the process listens to it, a signal ends it as it ends any
        if code not in (EX_TEMPFAIL, -signal.SIGTERM) or status_of(stopped) == "running":
            note = f"exit code {code}, run.json: {status_of(stopped)}; {last_words(stopped)}"
            return Finding(what=what, tried=count, held=stops - 1, note=note)
    else:
        run(settings, stopped)
    wrong = differences(folder / "whole", stopped)
    wrong += [f"it ended after {stops} of {count} signals"] if stops < count else []
    note = "; ".join(wrong[:3]) or f"the slowest attempt took {slowest:.1f} s from its start to its exit"
    return Finding(what=what, tried=count, held=0 if wrong else count, note=note)
