"""Scores with their protocol: scores.json, per_image.csv and the table that is printed."""

import csv
import hashlib
import io
import json
import platform
import sys
from importlib.metadata import version

from rich.table import Table

from experiments.run_record import commit, write_text
from experiments.scoring import METRICS, means
from experiments.tables import show
from lightning_modules.metrics.pixel import PSNR_CAP

LIBRARIES = ("torch", "torchvision", "torchmetrics", "kornia", "numpy", "pillow")
NO_PICTURE = ("flip", "batch_size", "workers")  # data settings that change no picture of an evaluation
NOT_THE_RULE = (*NO_PICTURE, "_target_", "masks")
PATHS = ("root", "_list")  # how data settings end that are paths: the hash of the images' names stands for them
ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def protocol_record(config, data_name, names, rows):
    """What two scores must share to stand in one column. names: of the images, in the order of the index."""
    protocol, data = config["protocol"], config["data"]
    digests = [row.mask_sha256 for row in rows if row.mask_sha256 is not None]
    rebalanced = "auc_rebalanced" in protocol["metrics"]
    return {
        "name": protocol["name"],
        "task": protocol["task"],
        "data": data_name,
        "split": config["split"],
        "count": len(rows),
        "images_sha256": sha256("\n".join(names).encode()),
        "rule": {k: v for k, v in data.items() if k not in NOT_THE_RULE and not k.endswith(PATHS)},
        "masks": data["masks"],
        "masks_sha256": sha256(b"".join(digests)) if digests else None,
        "seed": config["seed"],
        "quantise": protocol["quantise"],
        "decoder": protocol["decoder"],
        "psnr_cap": PSNR_CAP,
        "prior": "published_prior" if rebalanced else None,  # of lightning_modules/color/ab_bins.py, a closed form
        "networks": {},
    }


def scores_json(config, protocol, candidates, rows):
    """The text of scores.json. Identity of a baseline is null."""
    revision, clean = commit()
    average = means(rows)
    metrics = METRICS[protocol["task"]]
    record = {
        "protocol": protocol,
        "protocol_sha256": sha256(json.dumps(protocol, sort_keys=True).encode()),
        "metrics": {name: {"unit": metrics[name].unit, "better": metrics[name].better} for name in average_names(rows)},
        "rows": [{"name": c.name, "checkpoint": c.identity or None, "means": average[c.name]} for c in candidates],
        "command": ["chromafill", *sys.argv[1:]],
        "precision": config["trainer"]["precision"],
        "commit": revision,
        "clean": clean,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def average_names(rows):
    """The metrics of every candidate, in the protocol's order."""
    return list(next(iter(rows[0].scores.values())))


def per_image_csv(names, rows):
    """One line an image: index, name, hole ratio, what it weighs in a weighted mean, and `<candidate>/<metric>`."""
    table = []
    for name, row in zip(names, rows, strict=True):
        line = {"index": row.index, "name": name}
        if row.hole_ratio is not None:
            line["hole_ratio"] = row.hole_ratio
        line |= {f"{metric}/weight": value for metric, value in row.weights.items()}
        for candidate, scores in row.scores.items():
            line |= {f"{candidate}/{metric}": value for metric, value in scores.items()}
        table.append(line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def write_scores(folder, config, protocol, candidates, names, rows):
    """per_image.csv and then scores.json, each whole or not at all."""
    write_text(folder / "per_image.csv", per_image_csv(names, rows))
    write_text(folder / "scores.json", scores_json(config, protocol, candidates, rows))


def print_table(protocol, candidates, rows):
    """Rows are candidates, columns metrics with their unit and an arrow to the better end."""
    average, metrics = means(rows), METRICS[protocol["task"]]
    title = f"{protocol['name']} on {protocol['data']} ({protocol['split']}), {protocol['count']} images"
    table = Table(title=title, title_justify="left")
    table.add_column("", overflow="fold")
    names = average_names(rows)
    for name in names:
        unit = f", {metrics[name].unit}" if metrics[name].unit else ""
        table.add_column(f"{metrics[name].title}{unit}{ARROWS[metrics[name].better]}", justify="right")
    for candidate in candidates:
        values = [f"{average[candidate.name][name]:.{metrics[name].digits}f}" for name in names]
        table.add_row(candidate.name, *values)
    show(table)
