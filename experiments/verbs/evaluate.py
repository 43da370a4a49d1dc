"""`chromafill evaluate`: checkpoints and baselines scored by one protocol, which is stored beside the scores."""

import os
import stat
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric import Fabric
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import distributed

from datamodules.errors import DataError
from experiments.arguments import Parser
from experiments.compose import first_line
from experiments.errors import UserError
from experiments.evaluation.answers import page_of, picked_by
from experiments.evaluation.measurable import measurable
from experiments.evaluation.metrics import METRICS
from experiments.evaluation.score_record import (
    evaluation_sha256,
    json_text,
    per_image_csv,
    protocol_record,
    scores_record,
    write_whole,
)
from experiments.evaluation.score_tables import latex_table, markdown, print_comparisons, print_scores
from experiments.evaluation.scoring import Scorer, require_finite, score_split, set_scores
from experiments.evaluation.setup import data_name, prepare
from experiments.loggers.chosen import logger_names
from experiments.loggers.wandb_scores import send_scores
from experiments.strategy import process_count

FILES = {  # what is written
    "scores.json": "scores",
    "scores.md": "table",
    "scores.tex": "LaTeX",
    "per_image.csv": "images",
    "index.html": "page",
}


def parser():
    return Parser(
        "evaluate",
        "Score checkpoints and baselines by a protocol. Without data=... it is the data, crop and masks that the\n"
        "checkpoint was trained with. Any number of processes and any batch size give the same scores.\n"
        "`chromafill config list` names the protocols. Networks of metrics are not downloaded: give\n"
        "networks.inception=PATH, networks.alexnet=PATH or networks.vgg16=PATH, or put the files into torch.hub's\n"
        "folder; `chromafill doctor` shows which are there.",
        "chromafill evaluate checkpoint=runs/colorful_photos/first/checkpoints/best.ckpt trainer.devices=2\n"
        "  chromafill evaluate checkpoint=[a.ckpt,b.ckpt,baseline/mean_fill] data=photos protocol=inpainting_default",
    ).overrides()


def run(arguments):
    setup = prepare(arguments.overrides)
    config, candidates, data = setup.config, setup.candidates, setup.data
    loggers = logger_names(config["logger"], known=("wandb",))
    dataset = data.dataset(config["split"])
    found = measurable(config, candidates, dataset)
    base = Path(config["output"] or results_folder(candidates))
    require_place(base)

    fabric = launch(config["trainer"])
    pl.seed_everything(config["seed"], verbose=False)
    for module in [*found.networks.values(), *(candidate.module for candidate in candidates if candidate.module)]:
        module.to(fabric.device)
    scorer = Scorer(
        candidates,
        found.metrics,
        networks=found.networks,
        prior=found.prior,
        quantise=config["protocol"]["quantise"],
        precision=fabric.autocast,
    )
    try:
        scored = score_split(fabric, data, config["split"], scorer)
    except DataError:
        if fabric.is_global_zero:
            raise
        return 2
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
    if scored is not None:
        record, folder = finish(setup, found, base, fabric, *scored)
        if loggers:
            send_scores(record, folder)


def finish(setup, found, base, fabric, rows, costs):
    """From the rows of all images to the files and the table, on the first rank. -> scores.json as a dict, and the
    folder that it is in: `output`, or one below `base`."""
    config, candidates = setup.config, setup.candidates
    dataset, metrics = setup.data.dataset(config["split"]), METRICS[candidates[0].task]
    names = [dataset.name(row.index) for row in rows]
    require_finite(rows, names)
    protocol = protocol_record(
        config,
        data_name(config["data"]),
        names,
        [row.pixels_sha256 for row in rows],
        [row.mask_sha256 for row in rows if row.mask_sha256 is not None],
        found.identities,
        found.prior,
    )
    record = scores_record(
        config,
        protocol,
        candidates,
        rows,
        absent=found.absent | setup.absent,
        costs=costs,
        set_scores=set_scores(rows, {name: metrics[name] for name in found.metrics}),
    )
    shown = config["examples"] and picked_by(record)
    texts = {
        "scores.json": json_text(record),
        "scores.md": markdown(record),
        "scores.tex": latex_table(record),
        "per_image.csv": per_image_csv(names, rows),
        "index.html": page_of(record, setup, rows, names, fabric) if shown else None,
    }
    folder = base if config["output"] else base / folder_name(record)
    write_whole(folder, texts)
    print_scores(record)
    print_comparisons(record, setup.named[1:])
    for name, what in FILES.items():
        if texts[name] is not None:
            print(f"{what:<8}{folder / name}")
    return record, folder


def results_folder(candidates):
    """evaluation/ in the run's folder, or evaluations/ for baselines and for several checkpoints."""
    trained = [candidate for candidate in candidates if candidate.module is not None]
    if len(trained) != 1:
        return Path("evaluations")
    parent = Path(trained[0].name).parent
    return (parent.parent if parent.name == "checkpoints" else parent) / "evaluation"


def folder_name(record):
    """Of the results of one evaluation: the same evaluation again, and no other, goes to the same place."""
    protocol = record["protocol"]
    suffix = "" if protocol["split"] == "test" else f"-{protocol['split']}"
    hashes = f"{record['protocol_sha256'][:8]}-{evaluation_sha256(record)[:8]}"
    return f"{protocol['data']}-{protocol['name']}{suffix}-{hashes}"


def require_place(folder):
    """UserError where a folder cannot be made or written to, before an hour of scoring has passed."""
    for path in (folder, *folder.parents):
        try:
            usable = stat.S_ISDIR(path.stat().st_mode) and os.access(path, os.W_OK)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UserError(f"output {folder} cannot be made: {error.strerror}") from None
        if not usable:
            raise UserError(f"output {folder} cannot be made: {path} is no folder that can be written to")
        return


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
