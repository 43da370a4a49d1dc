"""Training in several processes: the same weights everywhere, each image counted once, nobody left behind."""

import json
import subprocess
import sys
from pathlib import Path

import torch

from experiments.reliability.finding import Finding
from experiments.reliability.rank_deaths import LAUNCHERS, MINUTE, PROGRAM, ending_of, environment
from experiments.reliability.small_runs import PAPERS, small

TITLE = "Several processes"
PROCESSES = (2, 4)
GLOBAL_BATCH = 8
NEAR = 0.01  # of the way that the weights have gone
ALONE = {  # papers whose step is one of its samples alone: settings without which it looks at or draws for its batch
    "colorful": [],
    "let_there_be_color": [],
    "context_encoder": ["model.lambda_adv=0"],  # the discriminators have statistics of the batch only
    "context_encoder_random": ["model.lambda_adv=0"],
    "context_encoder_features": [],
    "glcic": ["model.t_c=8"],
    "linear_probe": [],
    "scene_parser": [],
}
UNEVEN = [(5, 2), (5, 4), (1, 2), (1, 4)]  # validation images, processes
TRIVIAL = "val/psnr_grey"  # a score of the images alone
FAULTS = {  # launcher: (kind, rank) of each fault
    "Lightning": [("kill", 0), ("kill", 1), ("freeze", 1), ("raise", 0), ("raise", 1), ("data", 1)],
    "torchrun": [("kill", 1), ("freeze", 0), ("freeze", 1), ("raise", 0), ("raise", 1), ("data", 1)],
    "torchrun, two nodes": [("kill", 1), ("raise", 1)],
}
CAUSES = {
    "kill": ("is gone", "SIGKILL"),
    "freeze": ("nothing was heard of rank",),
    "raise": ("Planted: planted by a test of faults (raise)",),
    "data": ("Planted: planted by a test of faults (data)",),
}


def findings(effort, folder):
    papers = effort.papers or PAPERS
    yield same_on_every_rank(papers, folder / "own")
    yield same_as_one_process(papers, folder / "frozen")
    yield each_image_once(UNEVEN, folder / "uneven")
    if not Path("/proc").is_dir():
        yield Finding(what="a dead process ends the run", tried=0, held=0, note="needs Linux, to see who is left")
        return
    for launcher in LAUNCHERS:
        yield deaths(launcher, FAULTS[launcher], folder / "deaths")
    yield orphans(folder / "orphans")


def train(overrides, run_dir, **task):
    """Runs a training to its end. -> its scores. Raises CalledProcessError."""
    command = [sys.executable, "-m", PROGRAM, json.dumps(task), *overrides, f"run_dir={run_dir}"]
    subprocess.run(command, check=True, capture_output=True, text=True, env=environment(), timeout=600)
    return json.loads(Path(run_dir, "run.json").read_text())["scores"]


def states(paper, processes, folder, changes=(), frozen=False):
    """([state of each rank at the end], state at the start) of a short training with a global batch of 8."""
    folder = Path(folder, f"{paper}_{processes}")
    folder.mkdir(parents=True)
    overrides = [*small(paper), f"trainer.devices={processes}", f"data.batch_size={GLOBAL_BATCH // processes}"]
    train([*overrides, *changes], folder / "run", weights=str(folder), frozen=frozen)
    ranks = [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(processes)]
    return ranks, torch.load(folder / "before.pt", weights_only=True)


def same_on_every_rank(papers, folder):
    differ, tried = [], 0
    for paper in papers:
        for processes in PROCESSES:
            (first, *others), _ = states(paper, processes, folder)
            tried += 1
            if not all(torch.equal(first[key], other[key]) for other in others for key in first):
                differ.append(f"{paper} with {processes}")
    return Finding(
        what=f"weights and running statistics are the same on each of {listed(PROCESSES)} ranks, bit for bit",
        tried=tried,
        held=tried - len(differ),
        note=f"different: {', '.join(differ)}" if differ else "",
    )


def same_as_one_process(papers, folder):
    """With batch norm's statistics frozen, for papers that draw no dropout and no noise."""
    apart = {}
    for paper in (paper for paper in papers if paper in ALONE):
        (one,), before = states(paper, 1, folder, ALONE[paper], frozen=True)
        (two, _), _ = states(paper, 2, folder, ALONE[paper], frozen=True)
        apart[paper] = distance(two, one, before)
    others = [paper for paper in papers if paper not in ALONE]
    return Finding(
        what="2 ranks of batch 4 take the steps of 1 of batch 8, statistics frozen",
        tried=len(apart),
        held=sum(share < NEAR for share in apart.values()),
        note="apart, of the way gone: "
        + ", ".join(f"{paper} {share:.0e}" for paper, share in apart.items())
        + (f"; not tried, as each rank draws its own numbers: {', '.join(others)}" if others else ""),
    )


def distance(state, one, before):
    """How far two states lie apart, as a share of the way that the second has come from the start."""

    def between(left, right):
        return sum((left[key].double() - right[key].double()).square().sum() for key in one).sqrt().item()

    return between(state, one) / between(one, before)


def each_image_once(cases, folder):
    """Against one process, by a score that depends on no weight."""
    wrong, alone = [], {}
    for images, processes in cases:
        for count in [processes] if images in alone else [1, processes]:
            overrides = [*small("colorful"), "iterations=2", f"data.val_count={images}", f"trainer.devices={count}"]
            score = train(overrides, folder / f"{images}_{count}")[TRIVIAL]
            if count == 1:
                alone[images] = score
            elif score != alone[images]:
                wrong.append(f"{images} on {processes}: {score} for {alone[images]}")
    return Finding(
        what="validation counts each image once, with uneven shares and with none",
        tried=len(cases),
        held=len(cases) - len(wrong),
        note=", ".join(wrong) or ", ".join(f"{images} on {processes} ranks" for images, processes in cases),
    )


def deaths(launcher, faults, folder):
    """The run ends within a minute, not with 0, its cause among the last lines and no process left."""
    seconds, wrong = [], []
    for kind, rank in faults:
        name = f"{launcher} {kind} {rank}"
        ending = ending_of(launcher, kind, rank, folder / name.replace(" ", "_").replace(",", ""))
        if 0 in ending.codes or ending.left or ending.seconds > MINUTE or not ending.shows(*CAUSES[kind]):
            wrong.append(f"{kind} of rank {rank}: exit codes {ending.codes}, {len(ending.left)} processes left")
        seconds.append(ending.seconds)
    return Finding(
        what=f"a process that dies ends the run with its cause in the last lines ({launcher})",
        tried=len(faults),
        held=len(faults) - len(wrong),
        note="; ".join([f"the slowest in {max(seconds):.0f} s", *wrong]),
    )


def orphans(folder):
    """The first process is killed while the other is not waiting for it."""
    ending = ending_of("Lightning", "hang", 1, folder)
    return Finding(
        what="processes that Lightning started end with the first one",
        tried=1,
        held=int(not ending.left),
        note=f"after {ending.seconds:.0f} s",
    )


def listed(counts):
    return " and ".join(map(str, counts))
