"""Which metrics of a protocol can be measured here; the others are left out with a reason, never guessed at."""

from dataclasses import dataclass, field
from importlib.util import find_spec

import torch
from torch import nn

from experiments.errors import UserError
from experiments.evaluation.metrics import METRICS, SetMetric
from experiments.evaluation.networks import Missing, find
from lightning_modules.color.ab_bins import read_prior

IMAGENET_CLASSES = 1000


@dataclass(kw_only=True)
class Measurable:
    metrics: list[str]
    absent: dict[str, str] = field(default_factory=dict)  # {metric: why, and how to get it}
    networks: dict[str, nn.Module] = field(default_factory=dict)
    identities: dict[str, dict] = field(default_factory=dict)  # of the networks
    prior: torch.Tensor | None = None  # of the colour classes, (313,); None: the closed form


def measurable(config, candidates, dataset):
    """Loads the networks that are needed and there. UserError where no metric is left."""
    known, found = METRICS[candidates[0].task], Measurable(metrics=[], prior=counted_prior(config["protocol"]["prior"]))
    missing = {}
    for name in config["protocol"]["metrics"]:
        why = why_not(known[name], candidates, dataset) or without_network(
            known[name].network, config["networks"], found, missing
        )
        if why:
            found.absent[name] = why
        else:
            found.metrics.append(name)
    if not found.metrics:
        raise UserError("; ".join(f"no {name}: {why}" for name, why in found.absent.items()))
    return found


def counted_prior(path):
    """(313,), or None where no file is named. UserError where it is none."""
    try:
        return None if path is None else read_prior(path, "protocol.prior")
    except ValueError as error:
        raise UserError(str(error)) from None


def why_not(metric, candidates, dataset):
    """Why the data or the candidates do not allow a metric, or None."""
    side, count = dataset.config.crop, len(dataset)
    if metric.package is not None and find_spec(metric.package) is None:
        return f"it needs {metric.package}, which is not installed: pip install -e '.[metrics]'"
    if side < metric.smallest:
        return f"it needs images of at least {metric.smallest} px; data.crop is {side}"
    if isinstance(metric, SetMetric):
        return "it compares sets; there is one image" if count < 2 else None
    if metric.needs is None:
        return None
    if "label" not in dataset[0, 0]:
        return "the data set has no labels"
    if metric.needs == "objects" and len(dataset.source.classes or ()) != IMAGENET_CLASSES:
        return f"its labels are not ImageNet's {IMAGENET_CLASSES} classes"
    if metric.needs == "scenes" and not any(candidate.names_scenes for candidate in candidates):
        return "no checkpoint here names scenes"
    return None


def without_network(name, settings, found, missing):
    """Loads a network into `found`. -> why it cannot be had, or None."""
    if name is None or name in found.networks:
        return None
    if name not in missing:
        network = find(name, settings[name])
        if isinstance(network, Missing):
            missing[name] = network.reason
        else:
            found.networks[name] = network.module
            found.identities[name] = network.identity
    return missing.get(name)
