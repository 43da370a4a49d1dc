"""A run that is killed and resumed ends as one that was not: every paper, at every kind of moment."""

import random

from experiments.reliability import kills_ranks
from experiments.reliability.finding import Finding
from experiments.reliability.killed_training import (
    after_checkpoint,
    before_the_record,
    between_best_and_last,
    between_phases,
    between_renames,
    in_step,
    in_validation,
    killed_and_resumed,
    random_moments,
    seconds_of,
    while_writing,
)
from experiments.reliability.left_behind import differences
from experiments.reliability.small_runs import PAPERS, small

TITLE = "Killed and resumed"
LONG = ["iterations=100", "validate_every=10", "checkpoint_every=2"]  # for kills in a row
LOADED = ("colorful", "context_encoder")  # papers that are killed with loader processes as well


def planned():
    """The moments that every paper is killed at. Epochs have five iterations."""
    draws = random.Random(0)
    return [
        in_step(1),  # before there is a checkpoint
        in_step(6),  # the first of a new epoch
        between_phases(7),
        while_writing(0.0),
        while_writing(draws.random()),
        between_renames(),
        after_checkpoint(),
        in_validation(),
        between_best_and_last(),
        before_the_record(),
    ]


def findings(effort, folder):
    for paper in effort.papers or PAPERS:
        yield from of_paper(paper, effort.kills, folder)
    yield from kills_ranks.findings(folder / "ranks")
    for paper in LOADED:
        yield with_loaders(paper, folder)


def of_paper(paper, kills, folder):
    settings = [*small(paper), "ema_decay=0.9"]
    yield each_moment(f"{paper}, a kill at each planned moment", settings, planned(), folder / paper)
    yield in_a_row(f"{paper}, {kills} kills of one run", settings, kills, folder / f"{paper}_row")


def with_loaders(paper, folder):
    what, settings = f"{paper}, two loader processes, a kill at each planned moment", [*small(paper), "data.workers=2"]
    return each_moment(what, settings, planned(), folder / f"{paper}_loaders")


def each_moment(what, settings, moments, folder):
    """One run for each moment, killed there once."""
    seconds_of(settings, folder / "whole")
    wrong = []
    for number, moment in enumerate(moments):
        killed = folder / f"killed_{number}"
        reason = why_not_equal(settings, folder / "whole", killed, [moment])
        wrong += [f"{moment.name}: {reason}"] if reason else []
    return Finding(what=what, tried=len(moments), held=len(moments) - len(wrong), note="; ".join(wrong))


def why_not_equal(settings, whole, killed, moments):
    """None, or how a run killed at `moments` and resumed is not the same."""
    try:
        kills = killed_and_resumed(settings, killed, moments)
    except RuntimeError as error:
        return str(error)
    if kills < len(moments):
        return "was not killed: the moment did not come"
    return "; ".join(differences(whole, killed)[:3]) or None


def in_a_row(what, settings, kills, folder):
    """One run killed again and again, at moments of the clock. Held: all kills where they all came before its end and
    it ends equal, else none."""
    settings = [*settings, *LONG]
    seconds = seconds_of(settings, folder / "whole")
    moments = random_moments(kills, longest=1.5 * seconds / kills, seed=0)
    try:
        happened = killed_and_resumed(settings, folder / "killed", moments)
    except RuntimeError as error:
        return Finding(what=what, tried=kills, held=0, note=str(error))
    wrong = differences(folder / "whole", folder / "killed")
    wrong += [f"it ended after {happened} of {kills} kills"] if happened < kills else []
    note = "; ".join(wrong[:3]) or f"undisturbed it trains for {seconds:.1f} s"
    return Finding(what=what, tried=kills, held=0 if wrong else kills, note=note)
