"""Scores with their protocol: what scores.json and per_image.csv hold, and how they are written."""

import csv
import hashlib
import io
import json
import os
import platform
import sys
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from experiments.errors import UserError
from experiments.evaluation.metrics import METRICS, SetMetric
from experiments.evaluation.scoring import seconds_per_image
from experiments.evaluation.statistics import Mean, buckets, comparisons, means
from experiments.run_record import commit
from lightning_modules.metrics.pixel import PSNR_CAP

LIBRARIES = (
    "torch", "torchvision", "torchmetrics", "torch-fidelity", "kornia", "numpy", "scipy", "pillow",
    "opencv-python-headless", "scikit-image", "scikit-learn",
)  # fmt: skip
NO_PICTURE = ("flip", "resize_most", "batch_size", "workers")  # data settings that change no picture of an evaluation
NOT_THE_RULE = (*NO_PICTURE, "_target_", "masks")
NO_HOLE = ("folder", "cache_mib")  # mask settings that change no hole, or that the hash of the holes stands for
CLOSED_FORM = "closed form"  # the prior of color/ab_bins.py, where none was counted
PATHS = ("root", "_list")  # how data settings end that are paths: the hash of the images' names stands for them


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def combined_sha256(digests):
    """One hash for those of all images, in the order of the index; None where there are none."""
    return sha256(b"".join(digests)) if digests else None


def without(settings, keys):
    """Settings without some keys, however deep in dicts and lists."""
    if isinstance(settings, dict):
        return {key: without(value, keys) for key, value in settings.items() if key not in keys}
    return [without(each, keys) for each in settings] if isinstance(settings, list) else settings


def prior_name(prior):
    """What a prior of the colour classes is known by: the hash of its 313 float32, or CLOSED_FORM for None."""
    return CLOSED_FORM if prior is None else sha256(prior.numpy().tobytes())


def protocol_record(config, data_name, names, pixel_digests, mask_digests, networks, prior=None):
    """What two scores must share to stand in one column. names, pixel_digests (`pixels_sha256`), mask_digests
    (`packed_sha256`, none without masks): of the images, in the order of the index. networks: {name: identity} of those
    that metrics used. prior: as of Measurable."""
    protocol, data = config["protocol"], config["data"]
    weighed = any(METRICS[protocol["task"]][name].prior for name in protocol["metrics"])
    return {
        "name": protocol["name"],
        "task": protocol["task"],
        "data": data_name,
        "split": config["split"],
        "count": len(names),
        "images_sha256": sha256("\n".join(names).encode()),
        "pixels_sha256": combined_sha256(pixel_digests),
        "rule": {k: v for k, v in data.items() if k not in NOT_THE_RULE and not k.endswith(PATHS)},
        "masks": without(data["masks"], NO_HOLE),
        "masks_sha256": combined_sha256(mask_digests),
        "seed": config["seed"],
        "quantise": protocol["quantise"],
        "decoder": protocol["decoder"],
        "psnr_cap": PSNR_CAP,
        "prior": prior_name(prior) if weighed else None,
        "networks": networks,
    }


def scores_record(config, protocol, candidates, rows, *, absent, costs, set_scores):
    """scores.json as a dict. absent: {metric or baseline: why}. Identity of a baseline is None."""
    revision, clean = commit()
    metrics = METRICS[protocol["task"]]
    names = [name for name in config["protocol"]["metrics"] if name not in absent]
    average = means(rows)
    for candidate, scores in set_scores.items():
        average[candidate] |= {metric: Mean(value=value) for metric, value in scores.items()}
    first, *others = [candidate.name for candidate in candidates]
    return {
        "protocol": protocol,
        "protocol_sha256": sha256(json.dumps(protocol, sort_keys=True).encode()),
        "metrics": {name: described(metrics[name], protocol["networks"], protocol["prior"]) for name in names},
        "absent": absent,
        "rows": [
            {
                "name": candidate.name,
                "checkpoint": candidate.identity or None,
                "means": {
                    name: asdict(average[candidate.name][name]) for name in names if name in average[candidate.name]
                },
                "cost": cost_record(costs[candidate.name]),
            }
            for candidate in candidates
        ],
        "buckets": [
            {"low": low, "high": high, "count": len(of), "rows": bucket_rows(of)}
            for low, high, of in buckets(rows, config["protocol"]["buckets"])
        ],
        "comparisons": [asdict(each) for each in comparisons(rows, first, others)],
        "memory": memory_words(costs),
        "command": ["chromafill", *sys.argv[1:]],
        "precision": config["trainer"]["precision"],
        "batch_size": config["data"]["batch_size"],
        "commit": revision,
        "clean": clean,
        "versions": {"python": platform.python_version()} | {name: installed(name) for name in LIBRARIES},
    }


def evaluation_sha256(record):
    """What tells two evaluations of one protocol apart: candidates, the scores that were asked for, and precision."""
    rows = [(row["name"], row["checkpoint"] and row["checkpoint"]["sha256"]) for row in record["rows"]]
    asked = [*record["metrics"], *record["absent"], [(each["low"], each["high"]) for each in record["buckets"]]]
    return sha256(json.dumps([rows, asked, record["precision"]]).encode())


def installed(library):
    """Its version, or None: some are optional."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def described(metric, networks, prior):
    """Title, unit and so on; the title names weights that are not the published ones, and a prior that is approximate.
    prior: its `prior_name`."""
    weights = "published" if metric.network is None else networks[metric.network]["weights"]
    apart = "approx. prior" if metric.prior and prior == CLOSED_FORM else weights
    return {
        "title": metric.title if apart == "published" else f"{metric.title} ({apart})",
        "unit": metric.unit,
        "better": metric.better,
        "digits": metric.digits,
        "over": "set" if isinstance(metric, SetMetric) else "images",
    }


def ordered(means, names):
    """(metric, Mean) pairs in the protocol's order, of those that the candidate has."""
    return [(name, means[name]) for name in names if name in means]


def bucket_rows(rows):
    """The means of each candidate over some of the images."""
    if not rows:
        return []
    return [
        {"name": name, "means": {metric: asdict(mean) for metric, mean in of.items()}}
        for name, of in means(rows).items()
    ]


def cost_record(costs):
    """Time and memory of the answers alone, without reading images and scoring; memory on a GPU only."""
    peaks = [cost.peak_bytes for cost in costs if cost.peak_bytes is not None]
    return {"seconds_per_image": seconds_per_image(costs), "peak_memory_bytes": max(peaks, default=None)}


def memory_words(costs):
    """What the memory in the rows is, or why there is none."""
    measured = any(cost.peak_bytes is not None for of in costs.values() for cost in of)
    return "weights, and the most that one batch took beside them" if measured else "not measured: on a GPU only"


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


def json_text(record):
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def write_whole(folder, texts):
    """Files of one result, {name: text, or None for a file that it has not}, into a folder, which is made. All are
    written under temporary names before the first takes its place: UserError leaves what was there."""
    contents = {Path(folder, name): None if text is None else text.encode() for name, text in texts.items()}
    staged = {path: path.with_name(f"{path.name}.tmp") for path, content in contents.items() if content is not None}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, temporary in staged.items():
            temporary.write_bytes(contents[path])
        for path, temporary in staged.items():
            os.replace(temporary, path)
        for path in contents.keys() - staged:
            path.unlink(missing_ok=True)
    except OSError as error:
        for temporary in staged.values():
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
