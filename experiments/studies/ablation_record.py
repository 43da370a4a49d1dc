"""What an ablation found, as one dict: from the study's runs and their scores to what its reports print."""

import csv
import json
import sys
from dataclasses import asdict, replace

from datamodules.errors import DataError
from experiments.compose import compose_config, flat
from experiments.config_store import targets
from experiments.errors import UserError
from experiments.evaluation.candidates import PREFIX
from experiments.evaluation.setup import data_name
from experiments.run_record import commit
from experiments.studies.ablation import last_checkpoint
from experiments.studies.ablation_scores import inputs_shown, measure
from experiments.studies.ablation_statistics import over_images, paired, spread, with_holm
from lightning_modules.pretrained.checkpoint import CheckpointError

RECIPE = ("iterations", "data.batch_size", "data.crop", "data.resize", "accumulate", "clip_norm", "ema_decay")


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
    [data URI of each image]}} of each row's first seed. Measures what was not measured before. UserError where no row
    has a score."""
    runs = runs_by_row(study)
    found = {each.row.name: measurements(study, each, runs, bench) for each in planned}
    measured = {name: seeds for name, (seeds, _) in found.items()}
    rows = [row_record(each, runs, *found[each.row.name]) for each in planned]
    if not any(measured.values()):
        why = "; ".join(f"{row['name']}: {problem}" for row in rows for problem in row["problems"])
        raise UserError(f"no row of this report has a score; {why}")
    compare(rows, measured, ablation.base, bench.metrics)
    baselines = {name: measure(bench, PREFIX + name) for name in bench.config["protocol"]["baselines"]}
    revision, clean = commit()
    record = {
        "study": study.folder.name,
        "ablation": ablation.name,
        "base": ablation.base,
        "overrides": study.definition["overrides"],
        "departures": departures(study, ablation),
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


def departures(study, ablation):
    """What the base row has otherwise than the paper: {"experiment": the paper's full recipe, "model": {key: [here, the
    paper's]} of settings that differ from the paper's own, "recipe": the same of `RECIPE` and the full recipe}."""
    here = compose_config([*study.definition["overrides"], *ablation.rows[ablation.base].overrides])
    full = compose_config([f"experiment={ablation.experiment}"])
    own = asdict(targets()[here["model"].pop("_target_")].Config())
    model, own = (dict(flat(settings, "model.")) for settings in (here["model"], own))
    model, recipe = (differing(*pair) for pair in ((model, own), (recipe_of(here), recipe_of(full))))
    return {"experiment": ablation.experiment, "model": model, "recipe": recipe}


def recipe_of(config):
    return {"data": data_name(config["data"])} | {key: value for key, value in flat(config) if key in RECIPE}


def differing(here, there):
    return {key: [value, there.get(key)] for key, value in here.items() if value != there.get(key)}


def measurements(study, planned, runs, bench):
    """({seed: what `measure` gives}, {seed: why it gives nothing}) of a row's finished runs, or of those that it
    decodes."""
    measured, failed = {}, {}
    if planned.reason is not None or planned.same_as is not None:
        return measured, failed
    source = planned.row.of or planned.row.name
    for seed in finished(runs.get(source, {})):
        path = last_checkpoint(study.folder, source, seed)
        try:
            measured[seed] = measure(bench, str(path), planned.row.decoder)
        except (UserError, CheckpointError, DataError) as error:
            failed[seed] = str(error)
    return measured, failed


def row_record(planned, runs, seeds, failed):
    """seeds, failed: as `measurements` gives them."""
    row = planned.row
    metrics = next(iter(seeds.values()))["means"] if seeds else {}
    own = runs.get(row.name, {})
    took = {seed: cost for seed in seeds if seed in own and (cost := run_cost(own[seed].run_dir))}
    return {
        **asdict(row),
        "same_as": planned.same_as,
        "problems": [*problems(planned, runs), *(f"seed {seed}: {why}" for seed, why in failed.items())],
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
    a run that was stopped and resumed has its earlier stretches in no file. {} where run.json has no rate."""
    try:
        run = json.loads((folder / "run.json").read_text())
        seconds = run["iteration"] / run["iterations_per_second"]
        return {"seconds": seconds, **{key: run[key] for key in ("device", "commit")}, "iterations": run["iteration"]}
    except (OSError, ValueError, KeyError, ZeroDivisionError):
        return {}


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
