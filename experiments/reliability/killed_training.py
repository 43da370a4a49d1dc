"""`chromafill train` in child processes that are killed at planned moments."""

import io
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context, set_start_method
from pathlib import Path

import torch

from experiments.config_store import targets
from experiments.run_record import RUN_DIR, RunRecord, is_finished
from lightning_modules.base import PaperModule
from lightning_modules.callbacks.record import StopAtIteration
from lightning_modules.tasks import TaskModule

KILLED = -signal.SIGKILL  # exit code, as Python gives it
PATIENCE = 120  # seconds after which a child is taken to hang


@dataclass(frozen=True)
class Moment:
    """Something that happens to a child on its way. plant() is called in the child before it trains."""

    name: str
    plant: Callable


@cache
def children():
    """Processes forked from one that has imported everything and done nothing, whatever this one has done."""
    context = get_context("forkserver")
    papers_and_data = {cls.__module__ for cls in targets().values()}
    context.set_forkserver_preload(["experiments.verbs.train", __name__, *sorted(papers_and_data)])
    return context


def start(overrides, folder, moment=None, environment=()):
    """A child that trains in `folder`, going on where there is something to go on from. Its words go to a file beside
    the folder, which may be on a disk that is full."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [*overrides, f"run_dir={folder}", "resume=auto"]
    child = children().Process(target=train, args=(command, output_file(folder), moment, dict(environment)))
    child.start()
    return child


def train(command, output, moment, environment):
    """What a child does; it exits as `chromafill train` does."""
    from experiments.cli import main  # which multiprocessing runs first where it is the parent's own program

    with open(output, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    set_start_method("fork", force=True)  # of loader processes, which would each import everything otherwise
    torch.set_num_threads(1)
    os.environ.pop(RUN_DIR, None)
    os.environ.update(environment)
    if moment is not None:
        moment.plant()
    sys.exit(main(["train", *command]))


def ended(child):
    """Exit code; one that hangs is killed and told apart: None."""
    child.join(PATIENCE)
    if child.exitcode is None:
        child.kill()
        child.join()
        return None
    return child.exitcode


def run(overrides, folder, moment=None):
    """Exit code of a training that nothing but `moment` happens to."""
    return ended(start(overrides, folder, moment))


def killed_and_resumed(overrides, folder, moments):
    """How many of `moments` came and killed the run, one after the other, before the same command ended it.

    RuntimeError with the end of its output where that does not end as a run should.
    """
    kills = 0
    for moment in moments:
        code = run(overrides, folder, moment)
        kills += code == KILLED
        if code not in (KILLED, 0):
            raise RuntimeError(f"exit code {code}: {last_words(folder)}")
        if code == 0 or is_finished(folder):
            return kills
    code = run(overrides, folder)
    if code != 0:
        raise RuntimeError(f"exit code {code} of the last attempt: {last_words(folder)}")
    return kills


def output_file(folder):
    return folder.with_name(f"{folder.name}.output.txt")


def output_of(folder):
    """What all attempts of a run have said."""
    return output_file(folder).read_text()


def last_words(folder):
    return output_of(folder).strip()[-300:].replace("\n", " | ")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner, name, chosen, *, act=die, after=False):
    """Replaces owner.name by itself, with `act` before or after the calls whose arguments are `chosen`."""
    original = getattr(owner, name)

    def replaced(*arguments, **named):
        is_it = chosen(*arguments)
        if is_it and not after:
            act()
        result = original(*arguments, **named)
        if is_it and after:
            act()
        return result

    setattr(owner, name, replaced)


def plant_in_step(iteration):
    at_call(PaperModule, "manual_backward", lambda module, *_: module.iteration == iteration)


def in_step(iteration):
    return Moment(f"in the step of iteration {iteration}", partial(plant_in_step, iteration))


def plant_between_phases(iteration):
    at_call(PaperModule, "update", lambda module, *_: module.iteration == iteration, after=True)


def between_phases(iteration):
    """After the step of the first optimiser; where there are two, the other has not moved."""
    return Moment(f"between the optimisers' steps of iteration {iteration}", partial(plant_between_phases, iteration))


def plant_while_writing(share):
    save = torch.save

    def cut(checkpoint, file):
        whole = io.BytesIO()
        save(checkpoint, whole)
        file.write(whole.getbuffer()[: int(share * whole.tell())])
        file.flush()
        die()

    before = iter([save])  # the first checkpoint is whole, the second is cut
    torch.save = lambda checkpoint, file: next(before, cut)(checkpoint, file)


def while_writing(share):
    return Moment(f"at {share:.0%} of a checkpoint file", partial(plant_while_writing, share))


def plant_after_rename(name):
    at_call(os, "replace", lambda source, target: Path(target).name == name, after=True)


def between_renames():
    return Moment("between the two renames", partial(plant_after_rename, "previous.ckpt"))


def after_checkpoint():
    return Moment("right after a checkpoint", partial(plant_after_rename, "last.ckpt"))


def between_best_and_last():
    return Moment("between best.ckpt and last.ckpt", partial(plant_after_rename, "best.ckpt"))


def plant_in_validation():
    at_call(TaskModule, "validation_step", lambda module, *_: True)


def in_validation():
    return Moment("in a validation", plant_in_validation)


def plant_before_the_record():
    at_call(RunRecord, "on_train_end", lambda *_: True)


def before_the_record():
    return Moment("after the last checkpoint, before the record", plant_before_the_record)


def set_clock(seconds, act):
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def plant_in_training(seconds, act):
    at_call(StopAtIteration, "on_train_start", lambda *_: True, act=partial(set_clock, seconds, act))


def random_moments(count, longest, seed, act=die):
    """Moments of the clock: one of four in the first half second, before training begins, the others in the first
    `longest` seconds of training."""
    draws = random.Random(seed)
    moments = []
    for number in range(count):
        if number % 4 == 0:
            seconds = draws.uniform(0, 0.5)
            moments.append(Moment(f"{seconds:.2f} s after the start", partial(set_clock, seconds, act)))
        else:
            seconds = draws.uniform(0, longest)
            moments.append(Moment(f"{seconds:.2f} s into training", partial(plant_in_training, seconds, act)))
    return moments


def seconds_of(overrides, folder):
    """How long an uninterrupted run trains."""
    code = run(overrides, folder)
    if code != 0:
        raise RuntimeError(f"exit code {code}: {last_words(folder)}")
    return json.loads((folder / "run.json").read_text())["wall_seconds"]
