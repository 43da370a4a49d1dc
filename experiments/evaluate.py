"""`chromafill evaluate`: checkpoints and baselines scored by one protocol, which is stored beside the scores."""

from pathlib import Path

import lightning.pytorch as pl
import torch
from hydra.core.config_store import ConfigStore
from lightning.fabric import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import distributed

from datamodules.errors import DataError
from experiments.arguments import Parser
from experiments.candidates import load_candidates, set_decoder
from experiments.compose import build, compose_config, first_line, settings_given
from experiments.config_store import data_sets, node, path_of, targets
from experiments.errors import UserError, nearest
from experiments.score_record import NO_PICTURE, print_table, protocol_record, write_scores
from experiments.scoring import METRICS, Scorer, require_finite, score_split
from experiments.strategy import process_count

SPLITS = ("val", "test")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # of the networks; scores are worked out in float64


def parser():
    return Parser(
        "evaluate",
        "Score checkpoints and baselines by a protocol. Without data=... it is the data, crop and masks that the\n"
        "checkpoint was trained with. Any number of processes and any batch size give the same numbers.",
        "chromafill evaluate checkpoint=runs/colorful_photos/first/checkpoints/best.ckpt trainer.devices=2\n"
        "  chromafill evaluate checkpoint=[a.ckpt,b.ckpt,baseline/mean_fill] data=photos protocol=inpainting_default",
    ).overrides()


def run(arguments):
    given = settings_given(arguments.overrides)
    candidates = load_candidates(checkpoint_names(given))
    config = compose_evaluation(arguments.overrides, given, candidates)
    check(config, candidates[0])
    protocol = config["protocol"]
    for candidate in candidates:
        set_decoder(candidate, protocol["decoder"])
    data = build(config["data"], "data")
    data.seed = config["seed"]
    source = data.dataset(config["split"]).source  # a wrong root fails here, before any device
    folder = output_folder(config, candidates)

    fabric = launch(config["trainer"])
    pl.seed_everything(config["seed"], verbose=False)
    for candidate in candidates:
        if candidate.module is not None:
            candidate.module.to(fabric.device)
    scorer = Scorer(candidates, protocol["metrics"], quantise=protocol["quantise"], precision=fabric.autocast)
    try:
        rows = score_split(fabric, data, config["split"], scorer)
    except DataError:
        if fabric.is_global_zero:
            raise
        return 2
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    if fabric.is_global_zero:
        names = [source.name(row.index) for row in rows]
        require_finite(rows, names)
        record = protocol_record(config, data_name(config["data"]), names, rows)
        write_scores(folder, config, record, candidates, names, rows)
        print_table(record, candidates, rows)
        print(f"scores  {folder / 'scores.json'}\nimages  {folder / 'per_image.csv'}")


def checkpoint_names(given):
    """`checkpoint` as a list."""
    names = given.get("checkpoint") or []
    names = [str(name) for name in (names if isinstance(names, list) else [names])]
    if not names:
        raise UserError("give checkpoint=PATH, checkpoint=[PATH,PATH] or checkpoint=baseline/NAME")
    return names


def compose_evaluation(overrides, given, candidates):
    """The configuration. Data and masks of the first checkpoint stand in where neither user nor protocol names any."""
    trained = [candidate for candidate in candidates if candidate.config is not None]
    if "data" not in given:
        if not trained:
            raise UserError(f"{candidates[0].name} was trained on no data; give data=...{nearest('', data_sets())}")
        require_same_data(trained)
    offer(trained[0].config["data"] if trained else {"masks": None})
    if "protocol" not in given:
        given = given | {"protocol": f"{candidates[0].task}_default"}
        overrides = [f"protocol={given['protocol']}", *overrides]
    config = compose_config([*overrides, f"protocol.name={given['protocol']}"], name="evaluate")
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
    if "_target_" in data:
        cls = known_class(data)
        store.store(group="data", name="checkpoint", node=typed(node(cls.Config, cls), data | {"masks": None}))
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
    if not protocol["metrics"]:
        raise UserError(f"protocol.metrics is empty; there are: {', '.join(METRICS[task])}")
    if config["split"] not in SPLITS:
        raise UserError(f"split must be {' or '.join(SPLITS)}, got {config['split']}")
    precision = config["trainer"]["precision"]
    if precision not in PRECISIONS:
        raise UserError(f"trainer.precision must be one of {', '.join(PRECISIONS)}; got {precision}")
    if task == "inpainting" and config["data"]["masks"] is None:
        raise UserError("inpainting needs holes; give masks@data.masks=centre or another generator")


def data_name(data):
    """The name of the data set, as in `data=<name>`."""
    return {path_of(cls): name for name, cls in data_sets().items()}[data["_target_"]]


def output_folder(config, candidates):
    """`output`, or evaluation/ in the run's folder, or evaluations/ for baselines and for several checkpoints; made."""
    trained = [candidate for candidate in candidates if candidate.module is not None]
    base = Path("evaluations")
    if len(trained) == 1:
        parent = Path(trained[0].name).parent
        base = (parent.parent if parent.name == "checkpoints" else parent) / "evaluation"
    suffix = "" if config["split"] == "test" else f"-{config['split']}"
    name = f"{data_name(config['data'])}-{config['protocol']['name']}{suffix}"
    folder = base / name if config["output"] is None else Path(config["output"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output {folder} cannot be made: {error.strerror}") from None
    return folder


def launch(settings):
    """Starts the processes. What follows runs in each."""
    processes = process_count(settings) * settings["num_nodes"]
    try:
        fabric = Fabric(
            accelerator=settings["accelerator"],
            devices=settings["devices"],
            num_nodes=settings["num_nodes"],
            strategy="ddp" if processes > 1 else "auto",
            precision=settings["precision"],
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise UserError(f"trainer: {first_line(error)}") from None
    fabric.launch()
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # TensorFloat-32 would show in the scores, by batch size
    return fabric
