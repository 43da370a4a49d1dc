"""One HTML page of an evaluation: its protocol in words, scores, comparisons, distributions and examples.

Candidates are numbered in the order of the record's rows; the number is all that the template needs to know of them.
"""

import json

from torch.nn import functional as F

from experiments.evaluation.baselines import BASELINES
from experiments.evaluation.candidates import PREFIX
from experiments.evaluation.error_map import SCALES, error_map, legend
from experiments.evaluation.examples import PLACES
from experiments.evaluation.protocol_words import facts
from experiments.evaluation.score_tables import ARROWS, unit
from experiments.evaluation.statistics import in_bucket
from experiments.pages.plots import Axis, sparkline, strip
from experiments.pages.render import image_uri, render

SIDE = 256  # pixels of the longest side of a picture on the page
TRUTH = f"{PREFIX}truth"  # stands in tables to show what can be reached; it competes with nobody
ALMOST_NONE = 0.001  # p below this is printed as such
SIGNIFICANT = 0.05  # p below which a difference is called one
PRESENTED = ("rows", "buckets", "comparisons", "metrics", "absent")  # keys of the record that are shown as tables


def evaluation_page(record, examples, values, metric):
    """The text of the page. record: what scores.json holds; values: {candidate: {metric: [of each image]}}; metric: by
    which examples were picked from the first row's scores, and whose value stands below each picture."""
    metrics, protocol = record["metrics"], record["protocol"]
    names = [row["name"] for row in record["rows"]]
    return render(
        "evaluation.html",
        protocol=protocol,
        facts=facts(record),
        everything=json.dumps({key: record[key] for key in record if key not in PRESENTED}, indent=2),
        metrics=[heading(metrics[name]) for name in metrics],
        candidates=[candidate(row, record["rows"]) for row in record["rows"]],
        table=score_table(record),
        absent=record["absent"],
        comparisons=comparison_tables(record),
        bucket_heads=[(bucket_name(each), each["count"]) for each in record["buckets"]],
        buckets=bucket_tables(record),
        plots=plots(record, values),
        cards=[card(example, names, record, metric) for example in examples],
        places=[place for place in PLACES if any(example.place == place for example in examples)],
        picked_by=heading(metrics[metric])["title"],
        scale=SCALES[protocol["task"]],
        legend=legend(),
        side=SIDE,
    )


def heading(metric):
    """What a column of scores is called."""
    return {"title": metric["title"] + unit(metric), "arrow": ARROWS[metric["better"]].strip()}


def candidate(row, rows):
    """How a candidate is called: a title, and what says exactly which one it is."""
    name, checkpoint = row["name"], row["checkpoint"]
    if checkpoint is None:
        baseline = BASELINES.get(name.removeprefix(PREFIX))
        return {"title": baseline.title if baseline else name, "detail": name, "baseline": True}
    title, detail = checkpoint["experiment"], f"{name}, iteration {checkpoint['iteration']:,}"
    namesakes = [other for other in rows if other["checkpoint"] and other["checkpoint"]["experiment"] == title]
    return {"title": title if len(namesakes) == 1 else name, "detail": detail, "baseline": False}


def shown(value, metric):
    return f"{value:.{metric['digits']}f}"


def interval(low, high, metric):
    return "" if low is None else f"{shown(low, metric)} to {shown(high, metric)}"


def score_table(record):
    """[row of cells], a row a candidate and a cell a metric (None: it does not apply), and the costs."""
    metrics, rows = record["metrics"], record["rows"]
    best = {name: best_value(name, metric, rows) for name, metric in metrics.items()}
    table = []
    for row in rows:
        cells = [score_cell(row, name, metric, best[name]) for name, metric in metrics.items()]
        table.append({"cells": cells, "cost": cost(row["cost"])})
    return table


def score_cell(row, name, metric, best):
    if name not in row["means"]:
        return None
    mean = row["means"][name]
    text = shown(mean["value"], metric)
    return {
        "value": text,
        "range": interval(mean["low"], mean["high"], metric),
        "best": text == best and row["name"] != TRUTH,
    }


def best_value(name, metric, rows):
    """As it is printed, so that candidates that print alike are marked alike. None where none is better."""
    values = [row["means"][name]["value"] for row in rows if name in row["means"] and row["name"] != TRUTH]
    if metric["better"] is None or len(values) < 2:
        return None
    return shown((max if metric["better"] == "higher" else min)(values), metric)


def cost(spent):
    """Time and memory of an answer in words."""
    memory = spent["peak_memory_bytes"]
    milliseconds = 1000 * spent["seconds_per_image"]
    time = f"{milliseconds:.1f} ms" if milliseconds >= 1 else f"{milliseconds:.2g} ms"
    return time if memory is None else f"{time}, {memory / 2**20:,.0f} MiB"


def comparison_tables(record):
    """[{first, second (numbers of candidates), rows}], one table a pair, a row a metric."""
    numbers = {row["name"]: number for number, row in enumerate(record["rows"])}
    tables = {}
    for each in record["comparisons"]:
        pair = numbers[each["first"]], numbers[each["second"]]
        tables.setdefault(pair, []).append(comparison_row(each, record["metrics"][each["metric"]]))
    return [{"first": first, "second": second, "rows": rows} for (first, second), rows in tables.items()]


def comparison_row(comparison, metric):
    return heading(metric) | {
        "difference": f"{comparison['difference']:+.{metric['digits']}f}",
        "range": interval(comparison["low"], comparison["high"], metric),
        "p": p_value(comparison["p"]),
        "p_holm": p_value(comparison["p_holm"]),
        "verdict": verdict(comparison, metric["better"]),
    }


def p_value(p):
    return f"below {ALMOST_NONE}" if p < ALMOST_NONE else f"{p:.3f}"


def verdict(comparison, better):
    """What a comparison says of its first candidate."""
    if comparison["p_holm"] >= SIGNIFICANT:
        return "not shown to differ"
    higher = comparison["difference"] > 0
    if better is None:
        return "higher" if higher else "lower"
    return "better" if higher == (better == "higher") else "worse"


def bucket_name(bucket):
    return f"{100 * bucket['low']:.4g} to {100 * bucket['high']:.4g} %"


def bucket_tables(record):
    """[{title, arrow, rows: [{cells, line}]}], one table a metric; a row a candidate and a cell a bucket."""
    tables = []
    for name, metric in record["metrics"].items():
        found = [[bucket_value(each, row["name"], name) for each in record["buckets"]] for row in record["rows"]]
        present = [value for values in found for value in values if value is not None]
        if not present:
            continue
        rows = [
            {
                "cells": [None if value is None else shown(value, metric) for value in values],
                "line": sparkline(values, min(present), max(present)),
            }
            for values in found
        ]
        tables.append(heading(metric) | {"rows": rows})
    return tables


def bucket_value(bucket, candidate, metric):
    """The mean of one candidate in one bucket, or None."""
    means = next((row["means"] for row in bucket["rows"] if row["name"] == candidate), {})
    return means[metric]["value"] if metric in means else None


def plots(record, values):
    """[{title, arrow, axis, strips: [Strip or None]}] of the scores that images have."""
    found = []
    for name, metric in record["metrics"].items():
        of = [values.get(row["name"], {}).get(name) for row in record["rows"]]
        if not any(of):
            continue
        axis = Axis.over([value for scores in of if scores for value in scores])
        strips = [scores and strip(scores, axis, metric["digits"]) for scores in of]
        found.append(heading(metric) | {"axis": axis.labels(), "strips": strips})
    return found


def card(example, names, record, metric):
    """What the gallery shows of one image. Tiles are what two can be compared of."""
    metrics = record["metrics"]
    truth = example.pictures["truth"]
    answers = [
        {
            "candidate": number,
            "picture": image_uri(example.answers[name], side=SIDE),
            "error": image_uri(error_map(example.answers[name], truth, record["protocol"]["task"]), side=SIDE),
            "score": score_text(example.scores[name], metric, metrics),
            "scores": ", ".join(score_text(example.scores[name], each, metrics) for each in example.scores[name]),
        }
        for number, name in enumerate(names)
        if name != TRUTH
    ]
    mask = example.pictures.get("mask")
    return {
        "name": example.name,
        "index": example.index,
        "place": example.place,
        "ratio": example.hole_ratio,
        "bucket": bucket_of(example.hole_ratio, record),
        "input": image_uri(example.pictures["input"], side=SIDE),
        "truth": image_uri(truth, side=SIDE),
        "mask": None if mask is None else image_uri(reduced_mask(mask), lossless=True),
        "answers": answers,
    }


def score_text(scores, metric, metrics):
    if metric not in scores:
        return ""
    unit = f" {metrics[metric]['unit']}" if metrics[metric]["unit"] else ""
    return f"{metrics[metric]['title']} {shown(scores[metric], metrics[metric])}{unit}"


def bucket_of(ratio, record):
    """Number of the bucket that a hole ratio is in, or None."""
    if ratio is None:
        return None
    inside = [in_bucket(ratio, each["low"], each["high"]) for each in record["buckets"]]
    return inside.index(True) if any(inside) else None


def reduced_mask(mask):
    """uint8 (3,H,W) with no new values, its longest side at most SIDE."""
    height, width = mask.shape[-2:]
    scale = min(1.0, SIDE / max(height, width))
    return F.interpolate(mask[None], [max(1, round(height * scale)), max(1, round(width * scale))])[0]
