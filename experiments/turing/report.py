"""The result of a study: a table, turing.json, and a page with the pictures that fooled most and least."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from datamodules.decoding import read_image
from experiments.evaluation.score_record import write_whole
from experiments.pages.render import image_uri, render
from experiments.run_record import commit
from experiments.tables import show
from experiments.turing.fooling import RESAMPLES, ranked

BEST = "50 % is the best possible: they cannot be told apart"


COLUMNS = ("fooled, %", "± s.e.", "95 % interval", "participants", "trials", "catch trials spotted, %")


def percent(value):
    return "-" if value is None else f"{value:.1f}"


def interval(rate):
    return "-" if rate.low is None else f"{rate.low:.1f} to {rate.high:.1f}"


def cells(row):
    """The texts of a row, in the order of COLUMNS."""
    rate = (percent(row.fooled.value), percent(row.fooled.se), interval(row.fooled))
    return *rate, str(row.participants), str(row.trials), percent(row.spotted)


def pictures_listed(manifest, row, count):
    """(fooled most, fooled least): [{name, image, fooled, judged}], at most `count` each and no picture in both."""
    names = [image["name"] for image in manifest["images"]]
    most = ranked(row.images, most=True)[: min(count, (len(row.images) + 1) // 2)]
    least = [each for each in ranked(row.images, most=False) if each not in most][:count]
    return tuple(
        [{"name": names[at], "image": at, "fooled": fooled, "judged": judged} for at, fooled, judged in listed]
        for listed in (most, least)
    )


def print_tables(manifest, result, count):
    """The rates, what differs, who was left out and why, and the pictures."""
    title = f"Fakes taken for the photograph; {BEST}"
    table = Table("", *COLUMNS, title=title, title_justify="left")
    for row in result.rows:
        table.add_row(escape(row.name), *cells(row))
    show(table)
    names = {row.page: escape(row.name) for row in result.rows}
    if result.comparisons:
        table = Table("", "minus", "difference, %", "95 % interval", "p", "p (Holm)")
        for each in result.comparisons:
            pair = (names[each.first], names[each.second])
            table.add_row(*pair, percent(each.difference), interval(each), f"{each.p:.4f}", f"{each.p_holm:.4f}")
        show(table)
    for row in result.rows:
        for word, listed in zip(("most", "least"), pictures_listed(manifest, row, count), strict=True):
            shown = ", ".join(f"{each['name']} {each['fooled']} of {each['judged']}" for each in listed)
            print(f"fooled {word:<6}{row.name}: {shown or '-'}")
        if row.off:
            print(f"{row.name}: {row.off} trials do not count, shown for another time than asked for")
    for each in result.excluded:
        print(f"left out: {each['participant']} ({each['file']}): {each['why']}")


def turing_json(manifest, result, count):
    """The text of turing.json. Rates are per cent."""
    revision, clean = commit()
    rows = []
    for row, page in zip(result.rows, manifest["pages"], strict=True):
        most, least = pictures_listed(manifest, row, count)
        images = [
            {"name": manifest["images"][at]["name"], "fooled": fooled, "judged": judged}
            for at, (fooled, judged) in row.images.items()
        ]
        record = asdict(row) | {"checkpoint": page["checkpoint"], "images": images}
        rows.append(record | {"fooled_most": most, "fooled_least": least})
    record = {
        "study": manifest["study"],
        "protocol": manifest["protocol"],
        "design": manifest["design"],
        "catch_fakes": manifest["catch_fakes"],
        "rule": asdict(result.rule),
        "standard_error": f"bootstrap over participants, {RESAMPLES} resamples; 95 % percentile interval",
        "best": 50,
        "rows": rows,
        "comparisons": [asdict(each) for each in result.comparisons],
        "excluded": result.excluded,
        "command": ["chromafill", *sys.argv[1:]],
        "commit": revision,
        "clean": clean,
    }
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def pair_of(folder, page, image):
    """(photograph, fake) of a pair as data URIs. UnreadableImage where a file is damaged."""
    pair = next(pair for pair in page["pairs"] if pair["image"] == image)
    uris = []
    for place in (1 - pair["fake"], pair["fake"]):
        uris.append(image_uri(read_image(folder / f"{page['page']}-{pair['pictures'][place]}.png")))
    return uris


def results_html(manifest, result, count, pictures):
    """A page with the table and the pairs. pictures: the folder that `make` wrote."""
    rows = []
    for row, page in zip(result.rows, manifest["pages"], strict=True):
        lists = []
        for title, listed in zip(("most", "least"), pictures_listed(manifest, row, count), strict=True):
            pairs = [
                each | dict(zip(("real", "fake"), pair_of(pictures, page, each["image"]), strict=True))
                for each in listed
            ]
            lists.append({"title": title, "pairs": pairs})
        rows.append({"name": row.name, "cells": cells(row), "lists": lists})
    return render("turing_results.html", manifest=manifest, rows=rows, columns=COLUMNS, result=result, best=BEST)


def write_results(folder, pictures, manifest, result, count):
    """turing.json and, where the study's pictures are at hand, turing.html. -> {name: path}."""
    page = results_html(manifest, result, count, pictures) if pictures.is_dir() else None
    write_whole(folder, {"turing.html": page, "turing.json": turing_json(manifest, result, count)})
    written = {"page": Path(folder) / "turing.html", "scores": Path(folder) / "turing.json"}
    return written if page else {"scores": written["scores"]}
