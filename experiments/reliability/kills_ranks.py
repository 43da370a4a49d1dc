"""Runs of two processes: one of them is killed, or a run goes on with another number of processes than before."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from functools import partial
from pathlib import Path

import torch
from torch import nn

from experiments.processes import began
from experiments.reliability.finding import Finding
from experiments.reliability.killed_training import (
    KILLED,
    Moment,
    between_best_and_last,
    between_phases,
    between_renames,
    ended,
    in_step,
    in_validation,
    last_words,
    run,
    start,
    while_writing,
)
from experiments.reliability.left_behind import differences
from experiments.reliability.small_runs import small
from experiments.run_record import RUN_DIR
from lightning_modules.base import PaperModule
from lightning_modules.pretrained.checkpoint import read_checkpoint

PAPER = "context_encoder_random"
SETTINGS = [*small(PAPER), "ema_decay=0.9"]
HALVED = ["trainer.devices=2", "data.batch_size=2"]
PATIENCE = 30  # seconds for the other process to go
TOLERANCE = 1e-5  # of the weights, |difference| / |weights| (2-norms)


def findings(folder):
    yield one_of_two(folder, planned())
    yield launched(folder)
    yield other_number(folder)


def two(paper):
    """Settings of a run of two processes."""
    return [*small(paper), "ema_decay=0.9", *HALVED]


def run_two(folder, moments=(None, None), settings=None):
    """Exit codes of two processes that are started from outside, as torchrun does; each may have a moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    settings = settings or two(PAPER)
    children = [start(settings, folder, moments[rank], shared | {"LOCAL_RANK": str(rank)}) for rank in (0, 1)]
    return [ended(child) for child in children]


def planned():
    """(paper, rank, moment that it is killed at). The first process writes the checkpoints; epochs have five
    iterations."""
    of_either = {PAPER: [in_step(6), in_validation()], "glcic": [between_phases(7)]}
    cases = [(paper, rank, each) for paper, moments in of_either.items() for each in moments for rank in (0, 1)]
    return cases + [(PAPER, 0, each) for each in (while_writing(0.5), between_renames(), between_best_and_last())]


def one_of_two(folder, cases):
    """Either process killed, the other left to notice by itself."""
    what, wrong = "two processes, one killed: the other goes, resumed", []
    for paper in dict.fromkeys(paper for paper, _, _ in cases):
        run_two(folder / f"{paper}_whole", settings=two(paper))
    for number, (paper, rank, moment) in enumerate(cases):
        killed, moments = folder / f"killed_{number}", [None, None]
        moments[rank] = moment
        codes = run_two(killed, moments, two(paper))
        if codes[rank] != KILLED or codes[1 - rank] in (0, None):
            reason = f"exit codes {codes}"
        else:
            codes = run_two(killed, settings=two(paper))
            whole = folder / f"{paper}_whole"
            reason = "; ".join(differences(whole, killed)[:3]) if codes == [0, 0] else last_words(killed)
        wrong += [f"{paper}, rank {rank} killed {moment.name}: {reason}"] if reason else []
    return Finding(what=what, tried=len(cases), held=len(cases) - len(wrong), note="; ".join(wrong))


def launched(folder):
    """As the command line starts them. Neither process may outlive the other."""
    wrong, slowest = [], 0.0
    for rank in (0, 1):
        place = folder / f"launched_{rank}"
        try:
            slowest = max(slowest, seconds_to_go(place, rank))
        except (TimeoutError, RuntimeError) as error:
            wrong.append(f"rank {rank} killed: {error}")
    note = "; ".join(wrong) or f"after {slowest:.1f} s at most"
    what = "two processes of the command line, one killed: the other goes"
    return Finding(what=what, tried=2, held=2 - len(wrong), note=note)


def seconds_to_go(folder, rank):
    """From the death of one process to that of the other. TimeoutError where it stays; it is killed then."""
    folder.mkdir()
    endless = ["iterations=1000000", "validate_every=1000000", "checkpoint_every=2", f"run_dir={folder}", "resume=auto"]
    environment = {key: value for key, value in os.environ.items() if key != RUN_DIR} | {"OMP_NUM_THREADS": "1"}
    with (folder / "output.txt").open("w") as output:
        first = subprocess.Popen(
            [sys.executable, "-m", "experiments.cli", "train", *two(PAPER), *endless],
            stdout=output,
            stderr=output,
            env=environment,
        )
    wait_until(lambda: (folder / "checkpoints" / "last.ckpt").exists() or first.poll() is not None, 120, "no start")
    others = children_of(first.pid)
    if first.poll() is not None or len(others) != 1:
        first.kill()
        raise RuntimeError(f"no two processes: {(folder / 'output.txt').read_text()[-300:]}")
    victim, other = (first.pid, others[0]) if rank == 0 else (others[0], first.pid)
    birth, begun = began(other), time.monotonic()
    os.kill(victim, signal.SIGKILL)
    try:
        wait_until(lambda: first.poll() is not None and began(others[0]) is None, PATIENCE, "it is still there")
    except TimeoutError:
        if began(other) == birth:
            os.kill(other, signal.SIGKILL)
        raise
    finally:
        first.wait()
    return time.monotonic() - begun


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition, seconds, otherwise):
    """TimeoutError with `otherwise` where the condition does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{otherwise} after {seconds} s")
        time.sleep(0.05)


def plant_notes(folder, moment=None):
    """Leaves in `folder` what each iteration was given, and has batch norm use its running statistics: batch
    statistics are the one part of a step that looks across a process's share of the batch."""
    begin = PaperModule.on_train_batch_start

    def noting(module, batch, batch_idx):
        begin(module, batch, batch_idx)
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        masks = [zlib.crc32(mask.numpy().tobytes()) for mask in batch["mask"]]
        given = list(zip(batch["epoch"].tolist(), batch["index"].tolist(), masks, strict=True))
        (folder / f"{module.iteration}_{module.global_rank}.json").write_text(json.dumps(given))

    PaperModule.on_train_batch_start = noting
    if moment is not None:
        moment.plant()


def noted(folder):
    """{iteration: [[epoch, index, sum of the mask's bits] of each sample in order]}"""
    samples = {}
    for path in sorted(folder.glob("*_*.json")):  # rank 0 before rank 1
        iteration = int(path.name.partition("_")[0])
        samples[iteration] = samples.get(iteration, []) + json.loads(path.read_text())
    return samples


def other_number(folder):
    """One process up to a kill in iteration 5, two from there on, beside one all the way."""
    what = "resumed with two processes after one: same samples and masks, weights within a tolerance"
    settings = [*SETTINGS, "model.lambda_adv=0"]
    notes = {}
    for name in ("one", "changed"):
        notes[name] = folder / f"{name}_samples"
        notes[name].mkdir(parents=True)
    codes = [run(settings, folder / "one", Moment("noted", partial(plant_notes, notes["one"])))]
    killed = Moment("noted, killed", partial(plant_notes, notes["changed"], in_step(5)))
    codes.append(run(settings, folder / "changed", killed))
    noting = Moment("noted", partial(plant_notes, notes["changed"]))
    codes += run_two(folder / "changed", (noting, noting), [*settings, *HALVED])
    if codes != [0, KILLED, 0, 0]:
        return Finding(what=what, tried=1, held=0, note=f"exit codes {codes}: {last_words(folder / 'changed')}")
    same = noted(notes["one"]) == noted(notes["changed"])
    distance = relative_distance(*(folder / name / "checkpoints" / "last.ckpt" for name in ("one", "changed")))
    note = f"samples and masks {'the same' if same else 'differ'}, weights differ by {distance:.1e} of their norm"
    return Finding(what=what, tried=1, held=int(same and distance <= TOLERANCE), note=note)


def relative_distance(first, second):
    """|difference| / |first| over all weights of two checkpoints (2-norms)."""
    weights = [read_checkpoint(path)["state_dict"] for path in (first, second)]
    flat = [torch.cat([value.double().flatten() for value in state.values()]) for state in weights]
    return ((flat[0] - flat[1]).norm() / flat[0].norm()).item()
