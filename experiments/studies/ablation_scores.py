"""Scores of an ablation's runs: the same images, masks and metrics for every row, each checkpoint measured once."""

import hashlib
import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric
from torch.utils.data import default_collate

import datamodules
import experiments
import lightning_modules
from datamodules.base import ImageDataModule
from experiments.compose import build, settings_given
from experiments.config_store import targets
from experiments.evaluation.answers import picture, shown
from experiments.evaluation.candidates import PREFIX, Candidate, load_candidate, set_decoder
from experiments.evaluation.measurable import Measurable, measurable
from experiments.evaluation.metrics import METRICS
from experiments.evaluation.score_record import described, prior_name, protocol_record
from experiments.evaluation.scoring import Scorer, require_finite, score_split, seconds_per_image, set_scores
from experiments.evaluation.setup import check, compose_evaluation, data_name, require_all_there
from experiments.evaluation.statistics import means
from experiments.pages.render import image_uri
from experiments.run_record import LIBRARIES, write_text
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.tasks import Headline

PICTURES = 4  # images of the split that are shown, spread over it


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all rows are measured on and with."""

    config: dict  # as `chromafill evaluate` composes it
    task: str
    data: ImageDataModule
    found: Measurable
    fabric: Fabric
    cache: Path  # folder of the measurements
    code: str  # hash of what measures
    headline: Headline  # the validation score that runs of the paper are judged by

    @property
    def split(self):
        return self.config["split"]

    @property
    def metrics(self):
        """{name: title, unit, better, digits} of what can be measured."""
        prior = prior_name(self.found.prior)
        return {name: described(METRICS[self.task][name], self.found.identities, prior) for name in self.found.metrics}

    def positions(self):
        """Of the images that are shown."""
        count = len(self.data.dataset(self.split))
        return np.unique(np.linspace(0, count - 1, min(PICTURES, count)).round().astype(int)).tolist()


def make_bench(base, task, protocol, overrides, *, like, cache):
    """base: composed configuration of the base row, whose data and masks all rows are scored on. overrides: as for
    `chromafill evaluate`, such as split=val; protocol: what it is without one among them. like: a candidate of a row,
    for metrics that not every network allows."""
    if "protocol" not in settings_given(overrides):
        overrides = [f"protocol={protocol}", *overrides]
    overrides = ["checkpoint=rows", "trainer.devices=1", *overrides]
    stand_in = Candidate(name="the base row", task=task, config=base)
    config = compose_evaluation(overrides, settings_given(overrides), [stand_in])
    check(config, stand_in)
    data = build(config["data"], "data")
    data.seed = config["seed"]
    dataset = data.dataset(config["split"])
    require_all_there(data, dataset)
    found = measurable(config, [like], dataset)
    settings = config["trainer"]
    fabric = Fabric(accelerator=settings["accelerator"], devices=1, precision=settings["precision"])
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # TensorFloat-32 would show in the scores
    for network in found.networks.values():
        network.to(fabric.device)
    headline = targets()[base["model"]["_target_"]].headline
    own = {"cache": Path(cache), "code": code_sha256(), "headline": headline}
    return Bench(config=config, task=task, data=data, found=found, fabric=fabric, **own)


def measure(bench, name, decoder=None):
    """What is known of a checkpoint (a path) or `baseline/<name>`: measured, or read where it was measured before.

    {"sha256", "means": {metric: value}, "images": {metric: [of each image]}, "weights": {metric: [...]}, "names",
    "masks_sha256", "seconds_per_image", "pictures": [data URI]}
    """
    decoder = bench.config["protocol"]["decoder"] | (decoder or {})
    identity = name if name.startswith(PREFIX) else file_sha256(name)
    key = hashlib.sha256(json.dumps([identity, decoder, measured_with(bench)], sort_keys=True).encode()).hexdigest()
    path = bench.cache / f"{key[:24]}.json"
    if path.exists():
        return json.loads(path.read_text())
    candidate = replace(load_candidate(name), data=bench.data)
    set_decoder(candidate, decoder)
    if candidate.module is not None:
        candidate.module.to(bench.fabric.device)
    measured = {"sha256": identity} | scores_of(bench, candidate) | {"pictures": pictures_of(bench, candidate)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(measured))
    return measured


def measured_with(bench):
    """All that a measurement depends on beside the checkpoint and its decoder."""
    config = bench.config
    kept = {key: config[key] for key in ("protocol", "data", "split", "seed")}
    return kept | {
        "code": bench.code,
        "metrics": bench.found.metrics,
        "networks": bench.found.identities,
        "prior": prior_name(bench.found.prior),
        "precision": config["trainer"]["precision"],
        "pictures": bench.positions(),
    }


def scores_of(bench, candidate):
    scorer = Scorer(
        [candidate],
        bench.found.metrics,
        networks=bench.found.networks,
        prior=bench.found.prior,
        quantise=bench.config["protocol"]["quantise"],
        precision=bench.fabric.autocast,
    )
    rows, costs = score_split(bench.fabric, bench.data, bench.split, scorer)
    dataset = bench.data.dataset(bench.split)
    names = [dataset.name(row.index) for row in rows]
    require_finite(rows, names)
    of = {metric: METRICS[bench.task][metric] for metric in bench.found.metrics}
    value = {metric: mean.value for metric, mean in means(rows)[candidate.name].items()}
    value |= set_scores(rows, of).get(candidate.name, {})
    images = rows[0].scores[candidate.name]
    protocol = protocol_record(
        bench.config,
        data_name(bench.config["data"]),
        names,
        [row.pixels_sha256 for row in rows],
        [row.mask_sha256 for row in rows if row.mask_sha256 is not None],
        bench.found.identities,
        bench.found.prior,
    )
    return {
        "means": {metric: value[metric] for metric in bench.found.metrics if metric in value},
        "images": {metric: [row.scores[candidate.name][metric] for row in rows] for metric in images},
        "weights": {metric: [row.weights[metric] for row in rows] for metric in rows[0].weights},
        "protocol": protocol,
        "seconds_per_image": seconds_per_image(costs[candidate.name]),
    }


@torch.inference_mode()
def pictures_of(bench, candidate):
    """Data URIs of its answers to the images that are shown."""
    uris = []
    for batch in batches_shown(bench):
        with bench.fabric.autocast():
            uris.append(image_uri(picture(candidate.answer(batch)), lossless=True))
    return uris


def inputs_shown(bench):
    """[{"name", "input", "mask" where there is one, "truth"}] of the images that are shown; pictures are data URIs."""
    dataset = bench.data.dataset(bench.split)
    return [
        {"name": dataset.name(position)} | {what: image_uri(of, lossless=True) for what, of in shown(batch).items()}
        for position, batch in zip(bench.positions(), batches_shown(bench), strict=True)
    ]


def batches_shown(bench):
    dataset = bench.data.dataset(bench.split)
    for position in bench.positions():
        item = dataset[0, position]
        yield bench.data.on_after_batch_transfer(bench.fabric.to_device(default_collate([item])))


def file_sha256(path):
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"its checkpoint {path} cannot be read: {error.strerror}") from None


def code_sha256():
    """Of all that has a say in a score: the project's code and the libraries' versions. A commit would not do: it says
    nothing of files that changed since, and the next one may have changed no code."""
    found = hashlib.sha256(json.dumps([version(name) for name in LIBRARIES]).encode())
    for package in (datamodules, experiments, lightning_modules):
        folder = Path(package.__file__).parent
        for path in sorted(folder.rglob("*.py")):
            found.update(f"{path.relative_to(folder.parent)}\n".encode() + path.read_bytes())
    return found.hexdigest()
