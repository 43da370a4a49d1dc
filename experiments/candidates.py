"""What an evaluation compares: checkpoints, and the trivial answers that they must beat."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from experiments.checkpoints import load_module
from experiments.compose import first_line
from experiments.errors import UserError, nearest
from lightning_modules.ops.masking import mean_fill
from lightning_modules.tasks import grey

PREFIX = "baseline/"
BASELINES = {"grey": ("colorization", grey), "mean_fill": ("inpainting", mean_fill)}  # name: (task, answer)
TRIVIAL = {task: PREFIX + name for name, (task, _) in BASELINES.items()}  # the baseline that every table of a task has


@dataclass(kw_only=True)
class Candidate:
    """One row of the table of scores."""

    name: str
    task: str
    answer: Callable  # image -> image for colorization, (image, mask) -> image for inpainting; RGB in [0,1]
    module: nn.Module | None = None
    config: dict | None = None  # what the checkpoint was trained with
    identity: dict = field(default_factory=dict)  # of the checkpoint, as it is stored beside the scores


def load_candidate(name):
    """From `baseline/<name>` or a checkpoint's path."""
    if not name.startswith(PREFIX):
        return checkpoint_candidate(name)
    baseline = name.removeprefix(PREFIX)
    if baseline not in BASELINES:
        raise UserError(f"no baseline '{baseline}'{nearest(baseline, BASELINES)}")
    task, answer = BASELINES[baseline]
    return Candidate(name=name, task=task, answer=answer)


def checkpoint_candidate(path):
    module, checkpoint = load_module(path)
    task = type(module).__module__.split(".")[1]
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = checkpoint["config"]
    return Candidate(
        name=path,
        task=task,
        answer=module.colorize if task == "colorization" else module.complete,
        module=module,
        config=config,
        identity={
            "sha256": digest,
            "experiment": config["experiment"],
            "iteration": checkpoint["iteration"],
            "model": config["model"],
        },
    )


def load_candidates(names):
    """The candidates of one table, all of one task, the trivial baseline among them."""
    candidates = [load_candidate(name) for name in dict.fromkeys(names)]
    tasks = {candidate.task: candidate.name for candidate in candidates}
    if len(tasks) > 1:
        found = ", ".join(f"{name} is for {task}" for task, name in tasks.items())
        raise UserError(f"one evaluation scores one task: {found}")
    trivial = TRIVIAL[candidates[0].task]
    return candidates if trivial in names else [*candidates, load_candidate(trivial)]


def set_decoder(candidate, settings):
    """Changes settings of a checkpoint's model that act when it predicts, such as a temperature."""
    if candidate.module is None or not settings:
        return
    module = candidate.module
    try:
        module.cfg = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(module.cfg), settings))
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(f"protocol.decoder does not fit {candidate.name}: {first_line(error)}") from None
