"""What an ablation found, as one dict: from the study's runs and their scores to what its reports print."""

import csv
import json
import sys
from dataclasses import asdict, replace

from experiments.evaluation.candidates import PREFIX
from experiments.run_record import commit
from experiments.studies.ablation import last_checkpoint
from experiments.studies.ablation_scores import inputs_shown, measure
from experiments.studies.ablation_statistics import over_images, paired, spread, with_holm


def runs_by_row(study):
    """{row: {seed: TrialState}} of the study's trials."""
    found = {}
    for state in study.states():
        found.setdefault(state.attrs["row"], {})[state.attrs["seed"]] = state
    return found


def finished(runs):
    """The seeds of a row's runs, {seed: TrialState}, that are finished."""
    return [seed for seed, state in sorted(runs.items()) if state.status == "finished"]


def ablation_record(study, ablation, planned, bench):
    """(record, pictures). The record is what report.json holds; pictures: {"images": [what was shown], "rows": {row:
    [data URI of each image]}} of each row's first seed. Measures what was not measured before."""
    runs = runs_by_row(study)
    measured = {each.row.name: measurements(study, each, runs, bench) for each in planned}
    rows = [row_record(each, runs, measured) for each in planned]
    compare(rows, measured, ablation.base, bench.metrics)
    baselines = {name: measure(bench, PREFIX + name) for name in bench.config["protocol"]["baselines"]}
    revision, clean = commit()
    record = {
        "study": study.folder.name,
        "ablation": ablation.name,
        "base": ablation.base,
        "overrides": study.definition["overrides"],
        "protocol": next(of["protocol"] for seeds in measured.values() for of in seeds.values()),
        "metrics": bench.metrics,
        "absent": bench.found.absent,
        "rows": rows,
        "left_out": [name for name in ablation.rows if name not in measured],
        "baselines": [{"name": name, "means": of["means"]} for name, of in baselines.items()],
        "curves": curves(bench, planned, runs),
        "command": ["chromafill", *sys.argv[1:]],
        "commit": revision,
        "clean": clean,
    }
    answers = {row: next(iter(seeds.values()))["pictures"] for row, seeds in measured.items() if seeds}
    return record, {"images": inputs_shown(bench), "rows": answers}


def measurements(study, planned, runs, bench):
    """{seed: what `measure` gives} of a row's finished runs, or of those that it decodes."""
    if planned.reason is not None or planned.same_as is not None:
        return {}
    source = planned.row.of or planned.row.name
    return {
        seed: measure(bench, str(last_checkpoint(study.folder, source, seed)), planned.row.decoder)
        for seed in finished(runs.get(source, {}))
    }


def row_record(planned, runs, measured):
    row, seeds = planned.row, measured[planned.row.name]
    metrics = next(iter(seeds.values()))["means"] if seeds else {}
    own = runs.get(row.name, {})
    took = {seed: run_cost(own[seed].run_dir) for seed in seeds if seed in own}
    return {
        **asdict(row),
        "same_as": planned.same_as,
        "problems": problems(planned, runs),
        "seeds": {
            seed: {"sha256": of["sha256"], "means": of["means"]} | took.get(seed, {}) for seed, of in seeds.items()
        },
        "scores": {metric: asdict(spread(of["means"][metric] for of in seeds.values())) for metric in metrics},
        "seconds": asdict(spread(of["seconds"] for of in took.values())) if took else None,
    }


def problems(planned, runs):
    """Lines that say why there is no score, or why there are fewer than seeds."""
    if planned.reason is not None:
        return [planned.reason]
    if planned.same_as is not None:
        return [f"with this experiment its settings are those of {planned.same_as}; see there"]
    source = planned.row.of or planned.row.name
    if source not in runs:
        return [f"{source} was not run in this study"]
    return [
        f"seed {seed}: {state.status}" + (f", {state.reason}" if state.reason else "")
        for seed, state in sorted(runs[source].items())
        if state.status != "finished"
    ]


def run_cost(folder):
    """Time and device of a run, from its run.json. The time is that of all iterations at the rate of the last stretch:
    a run that was stopped and resumed has its earlier stretches in no file."""
    run = json.loads((folder / "run.json").read_text())
    return {
        "seconds": run["iteration"] / run["iterations_per_second"],
        "iterations": run["iteration"],
        "device": run["device"],
        "commit": run["commit"],
    }


def compare(rows, measured, base, metrics):
    """Adds `difference` to each row: {metric: Difference to the base row as a dict}, p adjusted over the rows."""
    for row in rows:
        row["difference"] = {}
    for metric in metrics:
        found = {row["name"]: difference(measured, row["name"], base, metric) for row in rows if row["name"] != base}
        tested = with_holm({name: each for name, each in found.items() if each is not None})
        for row in rows:
            if row["name"] in tested:
                row["difference"][metric] = asdict(tested[row["name"]])


def difference(measured, row, base, metric):
    """Of a row to the base row, or None where they have no seed with this metric in common."""
    scores = [
        {seed: of["means"][metric] for seed, of in measured[name].items() if metric in of["means"]}
        for name in (row, base)
    ]
    found = paired(*scores)
    return found and replace(found, images=image_difference(measured[row], measured[base], metric))


def image_difference(row, base, metric):
    """Of the seeds that both have; None for a set score."""
    seeds = [seed for seed in row if seed in base]
    if metric not in row[seeds[0]]["images"]:
        return None
    of = [{seed: each[seed]["images"][metric] for seed in seeds} for each in (row, base)]
    return over_images(*of, row[seeds[0]]["weights"].get(metric))


def curves(bench, planned, runs):
    """The validation score that a run is judged by: {"title", "unit", "rows": {row: {seed: [[iteration, value]]}}}."""
    headline, rows = bench.headline, {}
    for each in planned:
        of = {
            seed: curve(state.run_dir / "metrics.csv", headline) for seed, state in runs.get(each.row.name, {}).items()
        }
        rows[each.row.name] = {seed: points for seed, points in of.items() if points}
    return {"title": headline.title, "unit": headline.unit, "rows": {name: of for name, of in rows.items() if of}}


def curve(path, headline):
    """[[iteration, value]] of metrics.csv; nothing where a run has not validated."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [(row["iteration"], row.get(f"val/{headline.score}")) for row in csv.DictReader(file)]
    return [[int(iteration), headline.factor * float(value)] for iteration, value in rows if value]
