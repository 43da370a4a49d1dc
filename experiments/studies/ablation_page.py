"""One HTML page of an ablation: its table, learning curves, and the rows' answers to the same images side by side."""

import json
import math

from experiments.evaluation.score_tables import ARROWS, unit
from experiments.pages.plots import Axis
from experiments.pages.render import render
from experiments.studies.ablation_tables import (
    base_departs,
    difference_table,
    interval,
    made_by,
    notes,
    number,
    problem_lines,
    published,
    runtime,
    settings,
    signed,
    unscored,
)

WIDTH, HEIGHT = 1000, 400  # units of a plot of curves, stretched to the width that there is


def ablation_page(record, pictures):
    """The text of the page. record, pictures: as `ablation_record` gives them."""
    metrics = record["metrics"]
    return render(
        "ablation.html",
        record=record,
        made_by=made_by(record),
        metrics=[f"{of['title']}{unit(of)}{ARROWS[of['better']]}" for of in metrics.values()],
        groups=groups(record),
        baselines=[baseline(each, metrics) for each in record["baselines"]],
        differences=[
            {"title": f"{of['title']}{unit(of)}", "heads": heads, "rows": rows}
            for of, (heads, rows) in ((of, difference_table(record, name)) for name, of in metrics.items())
            if rows
        ],
        plots=plots(record),
        curve_title=f"{record['curves']['title']}, {record['curves']['unit']}",
        cards=cards(record, pictures),
        departs=base_departs(record),
        problems=problem_lines(record),
        notes=notes(record),
        protocol=json.dumps(record["protocol"], indent=2),
    )


def groups(record):
    """[(factor, rows)] in the order of the file."""
    found = {}
    for row in record["rows"]:
        found.setdefault(row["group"], []).append(shown(row, record))
    return list(found.items())


def shown(row, record):
    """What the table prints of a row; a cell is its score and, below it, the difference to the base row."""
    metrics, cells = record["metrics"], []
    for name, of in metrics.items():
        difference = row["difference"].get(name)
        cells.append(
            {
                "score": number(row["scores"].get(name), of["digits"]),
                "difference": difference and signed(difference["mean"], of["digits"]),
                "interval": difference and difference["low"] is not None and interval(difference, of["digits"]),
            }
        )
    return {
        "name": row["name"],
        "base": row["name"] == record["base"],
        "settings": "" if row["cannot"] else settings(row),
        "note": row["note"],
        "published": published(row, record["protocol"]["task"]),
        "cells": cells,
        "seeds": len(row["seeds"]),
        "runtime": runtime(row),
        "unscored": unscored(row),
        "problems": "; ".join(row["problems"]),
    }


def baseline(of, metrics):
    values = [(of["means"].get(name), about["digits"]) for name, about in metrics.items()]
    return {"name": of["name"], "cells": ["–" if value is None else f"{value:.{digits}f}" for value, digits in values]}


def plots(record):
    """[{title, x, y, lines}] with one plot a factor: its rows that were trained, and the base row in each."""
    curves, base = record["curves"]["rows"], record["base"]
    factors = {}
    for row in record["rows"]:
        if row["name"] in curves and row["name"] != base:
            factors.setdefault(row["group"], []).append(row["name"])
    if not factors and base in curves:
        factors = {"base": []}
    drawn = {factor: [name for name in (base, *names) if name in curves] for factor, names in factors.items()}
    return [plot(factor, {name: curves[name] for name in names}) for factor, names in drawn.items()]


def plot(title, curves):
    """curves: {row: {seed: [[iteration, value]]}}."""
    points = [point for seeds in curves.values() for line in seeds.values() for point in line]
    x = Axis.over([0, *(iteration for iteration, _ in points)])
    y = Axis.over([value for _, value in points])
    return {
        "title": title,
        "x": x.labels(),
        "y": y.labels(),
        "lines": [band(name, seeds, x, y) for name, seeds in curves.items()],
    }


def band(name, seeds, x, y):
    """The mean over seeds, and around it from the lowest to the highest seed where there are several."""
    at = {}
    for line in seeds.values():
        for iteration, value in line:
            at.setdefault(iteration, []).append(value)
    whole = {iteration: values for iteration, values in sorted(at.items()) if len(values) == len(seeds)}
    mean = [(iteration, math.fsum(values) / len(values)) for iteration, values in whole.items()]
    highest = [(iteration, max(values)) for iteration, values in whole.items()]
    lowest = [(iteration, min(values)) for iteration, values in whole.items()]
    return {
        "name": name,
        "seeds": len(seeds),
        "mean": coordinates(mean, x, y),
        "band": coordinates(highest + lowest[::-1], x, y) if len(seeds) > 1 else None,
        "dots": [coordinates([point], x, y).split(",") for point in mean] if len(mean) == 1 else [],
    }


def coordinates(points, x, y):
    """The points of a polyline, y upwards."""
    return " ".join(f"{WIDTH * x.share(a):.1f},{HEIGHT * (1 - y.share(b)):.1f}" for a, b in points)


def cards(record, pictures):
    """[{name, given: [(what, picture)], answers: [(row, picture)]}], one an image."""
    return [
        {
            "name": image["name"],
            "given": [(what, uri) for what, uri in image.items() if what in ("input", "truth")],
            "answers": [(row, uris[at]) for row, uris in pictures["rows"].items()],
        }
        for at, image in enumerate(pictures["images"])
    ]
