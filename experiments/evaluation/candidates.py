"""What an evaluation compares: checkpoints, and the answers without training that they must beat."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from datamodules.base import ImageDataModule
from experiments.checkpoints import load_module, task_of
from experiments.compose import first_line
from experiments.errors import UserError, nearest
from experiments.evaluation.baselines import BASELINES, Baseline
from experiments.evaluation.metrics import METRICS

PREFIX = "baseline/"


@dataclass(kw_only=True)
class Candidate:
    """One row of the table of scores."""

    name: str
    task: str
    baseline: Baseline | None = None  # either this
    module: nn.Module | None = None  # or a checkpoint's
    data: ImageDataModule | None = None  # set before the first answer: a baseline may look at training images
    config: dict | None = None  # what the checkpoint was trained with
    identity: dict = field(default_factory=dict)  # of the checkpoint, as it is stored beside the scores

    def answer(self, batch):
        """Batch of the data set -> RGB in [0,1] (B,3,H,W)."""
        return self.module.answer(batch) if self.module is not None else self.baseline.answer(batch, self.data)

    @property
    def weight_bytes(self):
        """Memory of the network's parameters and buffers."""
        return 0 if self.module is None else sum(t.nbytes for t in (*self.module.parameters(), *self.module.buffers()))

    @property
    def names_scenes(self):
        return self.module is not None and self.module.names_scenes

    def scenes(self, batch):
        """What it takes the scenes for, (B,N), the most likely class first, or None where it does not say."""
        return self.module.scene_probabilities(batch).argsort(1, descending=True) if self.names_scenes else None


def load_candidate(name):
    """From `baseline/<name>` or a checkpoint's path."""
    if not name.startswith(PREFIX):
        return checkpoint_candidate(name)
    baseline = name.removeprefix(PREFIX)
    if baseline not in BASELINES:
        raise UserError(f"no baseline '{baseline}'{nearest(baseline, BASELINES)}")
    return Candidate(name=name, task=BASELINES[baseline].task, baseline=BASELINES[baseline])


def checkpoint_candidate(path):
    module, checkpoint = load_module(path)
    task = task_of(module)
    if task not in METRICS:
        raise UserError(f"{path} holds a model for {task}; there are protocols for {' and '.join(METRICS)}")
    with Path(path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = checkpoint["config"]
    return Candidate(
        name=path,
        task=task,
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
    """Each once."""
    return [load_candidate(name) for name in dict.fromkeys(names)]


def require_one_task(candidates):
    tasks = {candidate.task: candidate.name for candidate in candidates}
    if len(tasks) > 1:
        found = ", ".join(f"{name} is for {task}" for task, name in tasks.items())
        raise UserError(f"one evaluation scores one task: {found}")


def set_decoder(candidate, settings):
    """Changes settings of a checkpoint's model that act when it predicts, such as a temperature."""
    if candidate.module is None or not settings:
        return
    module = candidate.module
    for key in settings:
        if key not in module.decoding:
            known = ", ".join(module.decoding) or "none"
            raise UserError(f"protocol.decoder does not fit {candidate.name}: no '{key}' among its settings, {known}")
    try:
        module.cfg = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(module.cfg), settings))
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(f"protocol.decoder does not fit {candidate.name}: {first_line(error)}") from None
