"""What an evaluation starts from: its configuration, the candidates it compares, and the data set."""

from dataclasses import dataclass

import torch
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from datamodules.base import ImageDataModule
from datamodules.errors import DataError
from datamodules.masks.from_folder import FromFolder
from experiments.compose import build, compose_with_choices, first_line, settings_given
from experiments.config_store import data_sets, node, path_of, targets
from experiments.errors import UserError, nearest
from experiments.evaluation.baselines import BASELINES
from experiments.evaluation.candidates import PREFIX, Candidate, load_candidates, require_one_task, set_decoder
from experiments.evaluation.metrics import METRICS
from experiments.evaluation.score_record import NO_PICTURE

SPLITS = ("val", "test")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # of the networks; scores are worked out in float64


@dataclass(kw_only=True)
class Setup:
    config: dict
    candidates: list[Candidate]  # those that were asked for, then the protocol's baselines
    named: list[str]  # of those that were asked for
    absent: dict[str, str]  # {name: why} of the protocol's baselines that cannot answer on this data
    data: ImageDataModule


def prepare(overrides):
    """From `checkpoint=... data=... protocol=...` to what is compared, and on what. UserError, DataError or
    CheckpointError where they do not fit; nothing has been written and no device used."""
    given = settings_given(overrides)
    candidates = load_candidates(checkpoint_names(given))
    require_one_task(candidates)
    config = compose_evaluation(overrides, given, candidates)
    check(config, candidates[0])
    named = [candidate.name for candidate in candidates]
    candidates += load_candidates(
        [PREFIX + name for name in config["protocol"]["baselines"] if PREFIX + name not in named]
    )
    require_one_task(candidates)
    data = build(config["data"], "data")
    data.seed = config["seed"]
    require_all_there(data, data.dataset(config["split"]))  # a wrong root fails here
    absent = without_training_images(candidates, named, data)
    candidates = [candidate for candidate in candidates if candidate.name not in absent]
    for candidate in candidates:
        set_decoder(candidate, config["protocol"]["decoder"])
        candidate.data = data
    return Setup(config=config, candidates=candidates, named=named, absent=absent, data=data)


def checkpoint_names(given):
    """`checkpoint` as a list."""
    names = given.get("checkpoint") or []
    names = [str(name) for name in (names if isinstance(names, list) else [names])]
    if not names:
        raise UserError("give checkpoint=PATH, checkpoint=[PATH,PATH] or checkpoint=baseline/NAME")
    return names


def compose_evaluation(overrides, given, candidates):
    """The configuration. Data and masks of the first checkpoint stand in where neither user nor protocol names any."""
    trained = [each for each in candidates if each.config is not None and "_target_" in each.config["data"]]
    offer(trained[0].config["data"] if trained else {"masks": None})
    if "protocol" not in given:
        given = given | {"protocol": f"{candidates[0].task}_default"}
        overrides = [f"protocol={given['protocol']}", *overrides]
    config, choices = compose_with_choices([*overrides, f"protocol.name={given['protocol']}"], "evaluate")
    if choices["data"] == "checkpoint":
        if not trained:
            why = f"{candidates[0].name} was trained on no data" if candidates else "the protocol names no data"
            raise UserError(f"{why}; give data=...{nearest('', data_sets())}")
        require_same_data(trained)
    config["data"]["masks"] = config["data"]["masks"] or None
    return config


def require_same_data(trained):
    """UserError where checkpoints were trained on different data, so that neither can stand for all."""
    first, *others = [{k: v for k, v in c.config["data"].items() if k not in NO_PICTURE} for c in trained]
    for candidate, other in zip(trained[1:], others, strict=True):
        keys = [key for key in first | other if first.get(key) != other.get(key)]
        if keys:
            raise UserError(
                f"{trained[0].name} and {candidate.name} were trained with different data settings"
                f" ({', '.join(keys)}); give data=... to say which both are scored on"
            )


def offer(data):
    """Puts a checkpoint's data and masks into the ConfigStore: `data=checkpoint`, `masks@data.masks=checkpoint`."""
    store, masks = ConfigStore.instance(), data["masks"]
    cls = known_class(data) if "_target_" in data else ImageDataModule  # which stands for none
    values = {key: value for key, value in data.items() if "_target_" in data and key != "masks"}
    store.store(group="data", name="checkpoint", node=typed(node(cls.Config, cls), values | {"masks": None}))
    filled = {} if masks is None else typed(node(known_class(masks), known_class(masks)), masks)
    store.store(group="masks", name="checkpoint", node=filled)


def known_class(part):
    """The project's class that a part of a checkpoint's configuration names."""
    name = part["_target_"]
    if name not in targets():
        raise UserError(f"the checkpoint's {name} is none of the project's{nearest(name, targets())}")
    return targets()[name]


def typed(schema, values):
    """A configuration node with these values and the types of the dataclass `schema`."""
    try:
        return OmegaConf.merge(OmegaConf.structured(schema), values)
    except OmegaConfBaseException as error:
        raise UserError(f"the checkpoint's data settings do not fit this version: {first_line(error)}") from None


def check(config, candidate):
    """UserError for a protocol that does not fit."""
    protocol, task = config["protocol"], candidate.task
    if protocol["task"] != task:
        raise UserError(
            f"protocol '{protocol['name']}' is for {protocol['task']} and {candidate.name} for {task};"
            f" protocol={task}_default fits"
        )
    for metric in protocol["metrics"]:
        if metric not in METRICS[task]:
            raise UserError(f"{task} has no metric '{metric}'{nearest(metric, METRICS[task])}")
    for name in protocol["baselines"]:
        if name not in BASELINES or BASELINES[name].task != task:
            known = [each for each, baseline in BASELINES.items() if baseline.task == task]
            raise UserError(f"protocol.baselines: no baseline '{name}' for {task}{nearest(name, known)}")
    edges = protocol["buckets"]
    if edges and (task != "inpainting" or sorted(set(edges)) != edges or len(edges) < 2):
        raise UserError(f"protocol.buckets are rising limits of the hole ratio, for inpainting only; got {edges}")
    if not protocol["metrics"]:
        raise UserError(f"protocol.metrics is empty; there are: {', '.join(METRICS[task])}")
    if config["examples"] < 0:
        raise UserError(f"examples must be 0 (no page) or more, got {config['examples']}")
    if config["split"] not in SPLITS:
        raise UserError(f"split must be {' or '.join(SPLITS)}, got {config['split']}")
    precision = config["trainer"]["precision"]
    if precision not in PRECISIONS:
        raise UserError(f"trainer.precision must be one of {', '.join(PRECISIONS)}; got {precision}")
    if task == "inpainting" and config["data"]["masks"] is None:
        raise UserError("inpainting needs holes; give masks@data.masks=centre or another generator")


def require_all_there(data, dataset):
    """DataError where images of the split are listed but are not there, the last has no mask, or a set of masks is not
    theirs, before an hour of scoring has passed."""
    missing, last = dataset.source.missing(len(dataset)), len(dataset) - 1
    if missing:
        raise DataError(
            f"{len(missing)} of {len(dataset)} images are not in {dataset.source.root}, first {missing[0]};"
            " put them there, or give a list without them"
        )
    side, masks = dataset.config.crop, dataset.config.masks
    if isinstance(masks, FromFolder):
        masks.require_fit(len(dataset), side, side, count_matters=dataset.config.limit is None)
    image = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    data.on_after_batch_transfer({"image": image, "index": torch.tensor([last]), "epoch": torch.tensor([0])})


def without_training_images(candidates, named, data):
    """{name: why} of the baselines that look at training images where there are none. DataError for one that was asked
    for."""
    absent = {}
    for candidate in candidates:
        if candidate.baseline is None or not candidate.baseline.needs_train:
            continue
        try:
            data.dataset("train")
        except DataError as error:
            if candidate.name in named:
                raise
            absent[candidate.name] = f"it needs training images: {error}"
    return absent


def data_name(data):
    """The name of the data set, as in `data=<name>`."""
    return {path_of(cls): name for name, cls in data_sets().items()}[data["_target_"]]
