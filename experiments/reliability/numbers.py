"""Bad numbers end a run before they spread; 16 bits give the losses of 32; equal runs are equal bit for bit."""

from experiments.reliability.finding import Finding
from experiments.reliability.numbers_planted import PLACES, optimizers_of, planted
from experiments.reliability.numbers_precision import differing, drift, rounding
from experiments.reliability.small_runs import PAPERS

TITLE = "Bad numbers, precision, repeatability"
ITERATIONS = 50
EXACT = 0.02  # relative difference of a loss from float32, of the same weights and batch
DRIFT = 0.1  # of a loss's mean over a training's second half; the steps differ, and in float16 the first are skipped
TOLERANCES = {  # (the first, the second), where it is another
    "let_there_be_color": (0.1, DRIFT),  # batch norm of four images' global features enlarges what was rounded
    "context_encoder": (EXACT, 0.25),  # two networks against each other: small differences grow
    "context_encoder_random": (EXACT, 0.25),
    "glcic": (EXACT, 0.25),
}


def findings(effort, folder):
    papers = effort.papers or PAPERS
    for paper in papers:
        yield guard(paper, folder / "guard" / paper)
    for precision in ("bf16-mixed", "16-mixed"):
        for paper in papers:
            yield precise(paper, precision, folder / precision / paper)
    for paper in papers:
        yield repeatable(paper, folder / "repeated" / paper)


def guard(paper, folder, values=(float("nan"), float("inf"))):
    """The values in every place of every optimiser."""
    failures, tried = [], 0
    for number, name in enumerate(optimizers_of(paper)):
        for place in PLACES:
            for value in values:
                failed = planted(paper, place, value, number, folder / f"{name}-{place}-{value}")
                failures += [f"{value} in a {place} of {name}: {failed}"] if failed else []
                tried += 1
    what = f"{paper}: inf and NaN end the run before the optimiser moves, and leave the batch"
    return Finding(what=what, tried=tried, held=tried - len(failures), note="; ".join(failures))


def precise(paper, precision, folder, iterations=ITERATIONS):
    """Both tolerances of a paper. float16 on a CPU has the loss scale of a GPU."""
    allowed = TOLERANCES.get(paper, (EXACT, DRIFT))
    found = (
        rounding(paper, precision, iterations, folder / "rounding"),
        drift(paper, precision, iterations, folder / "drift"),
    )
    held = sum(value <= most for value, most in zip(found, allowed, strict=True))
    note = "same weights: to {:.2%} of {:.0%}; trained: to {:.2%} of {:.0%}".format(
        *(number for pair in zip(found, allowed, strict=True) for number in pair)
    )
    return Finding(what=f"{paper}: {precision} has the losses of float32", tried=2, held=held, note=note)


def repeatable(paper, folder):
    failures = []
    for deterministic in ("true", "false"):
        keys = differing(paper, deterministic, folder / deterministic)
        failures += [f"trainer.deterministic={deterministic}: {len(keys)} tensors differ"] if keys else []
    what = f"{paper}: two equal runs on this CPU end with equal weights"
    return Finding(what=what, tried=2, held=2 - len(failures), note="; ".join(failures))
