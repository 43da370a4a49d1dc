"""`chromafill ablate`: every row of a paper's ablation with every seed, and the tables and page of what came of it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from experiments.arguments import Parser, plain_name
from experiments.compose import build, compose_config, settings_given
from experiments.config_store import targets
from experiments.errors import UserError
from experiments.evaluation.candidates import load_candidate
from experiments.evaluation.score_record import json_text, write_whole
from experiments.studies.ablation import (
    Ablation,
    Planned,
    chosen,
    experiment_for,
    last_checkpoint,
    plan,
    read_ablation,
    spec_of,
    task_of_config,
)
from experiments.studies.ablation_page import ablation_page
from experiments.studies.ablation_record import ablation_record, finished, runs_by_row
from experiments.studies.ablation_scores import make_bench
from experiments.studies.ablation_tables import latex_tables, markdown, print_tables
from experiments.studies.storage import require_answering
from experiments.studies.study import STUDIES, Study, read_definition
from experiments.studies.workers import run_workers
from lightning_modules.pretrained.checkpoint import CheckpointError

OWN = ("ablation", "data", "seeds", "rows", "workers", "name", "experiment")  # words that are not the training's


def parser():
    parser = Parser(
        "ablate",
        "Train every row of configs/ablation/<paper>.yaml with every seed. The same line again goes on where it\n"
        "stopped and trains nothing twice; more seeds or rows are added. The experiment is <paper>_<data>, or where\n"
        "there is none the paper's full recipe with data=<data>, unless experiment=... says which. Other words are\n"
        "settings of every training. ablation=FILE.yaml takes a file of yours.\n"
        "\n"
        "report NAME: score the last checkpoint of every finished run on the same images and masks, and write\n"
        "report.md, report.tex, report.json and index.html into the study's folder. Its other words are those of\n"
        "`chromafill evaluate`, such as protocol=..., split=val or networks.alexnet=FILE; rows=[...] picks rows. What\n"
        "was scored before is not scored again.",
        "chromafill ablate ablation=colorful data=photos seeds=3 rows=[full,class,l2] workers=2 name=colorful\n"
        "  chromafill ablate report colorful",
    )
    parser.add_argument("words", nargs="+", metavar="WORD", help="key=value, or report and the study's name or folder")
    parser.add_argument("--dry-run", action="store_true", help="list the trainings that are left, as commands")
    parser.add_argument("--storage", metavar="URL", help="database of the study (default: study.db in its folder)")
    parser.add_argument("--retry-failed", action="store_true", help="train again what failed, from its checkpoints")
    return parser


def run(arguments):
    if arguments.words[0] == "report":
        return report(arguments)
    asked = read_request(arguments.words)
    if arguments.dry_run:
        return print_commands(asked)
    return train(asked, arguments.storage, arguments.retry_failed)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the words of the command line ask for."""

    ablation: Ablation
    source: str  # the word after ablation=
    overrides: list[str]  # of every training
    planned: list[Planned]
    seeds: list[int]
    workers: int
    folder: Path


def read_request(words):
    given = settings_given(words)
    if "ablation" not in given:
        raise UserError("give ablation=NAME, such as ablation=colorful, or `report NAME`")
    ablation = read_ablation(str(given["ablation"]))
    overrides = [word for word in words if word.partition("=")[0] not in OWN]
    if given.get("experiment") is not None:
        data = [f"data={given['data']}"] if "data" in given else []
        overrides = [f"experiment={given['experiment']}", *data, *overrides]
    else:
        overrides = [*experiment_for(ablation, given.get("data")), *overrides]
    usual = f"{ablation.name}_{Path(str(given.get('experiment') or given.get('data') or 'full')).stem}"
    folder = STUDIES / plain_name("name", given.get("name", usual))
    return Request(
        ablation=ablation,
        source=str(given["ablation"]),
        overrides=overrides,
        planned=plan(chosen(ablation, row_names(given)), overrides),
        seeds=seeds_of(given.get("seeds", 1)),
        workers=positive("workers", given.get("workers", 1)),
        folder=folder,
    )


def row_names(given):
    names = given.get("rows")
    if names is None or isinstance(names, list):
        return names and [str(name) for name in names]
    return [str(names)]


def seeds_of(value):
    """3 -> [0, 1, 2]; a list as it is."""
    if isinstance(value, list):
        if not value or any(type(seed) is not int or seed < 0 for seed in value) or len(set(value)) < len(value):
            raise UserError(f"seeds must be a number of seeds or a list of different ones from 0 on, got {value}")
        return value
    return list(range(positive("seeds", value)))


def positive(key, value):
    if type(value) is not int or value < 1:
        raise UserError(f"{key} must be a whole number, at least 1; got {value}")
    return value


def trained_rows(asked):
    return [each.row for each in asked.planned if each.trained]


def specs(asked):
    return [spec_of(row, seed, asked.folder) for row in trained_rows(asked) for seed in asked.seeds]


def statuses(asked, storage=None):
    """{trial: status} of the study as it is; {} where there is none yet."""
    if read_definition(asked.folder) is None:
        return {}
    return {state.name: state.status for state in Study.open(asked.folder, storage).states()}


def print_commands(asked):
    """The command of each training that is left, and the rows that need none."""
    known = statuses(asked)
    for spec in specs(asked):
        words = [*asked.overrides, *spec.overrides, f"run_dir={asked.folder / 'runs' / spec.name}", "resume=auto"]
        state = f"  # {known[spec.name]}" if spec.name in known else ""
        print(shlex.join(["chromafill", "train", *words]) + state)
    for line in without_training(asked.planned):
        print(f"# {line}")


def without_training(planned):
    for each in planned:
        if each.reason is not None:
            yield f"{each.row.name}: not run: {each.reason}"
        elif each.same_as is not None:
            yield f"{each.row.name}: the same settings as {each.same_as} with this experiment"
        elif each.row.of is not None:
            yield f"{each.row.name}: no training; the report decodes {each.row.of} with {each.row.decoder}"


def train(asked, storage, retry_failed):
    """Enters the trials and works on them: rows that start from another row's network after that row. -> exit code"""
    if not asked.planned[0].trained:
        raise UserError(f"the base row {asked.ablation.base} cannot be trained: {asked.planned[0].reason}")
    config = compose_config(asked.overrides)
    require_paper(config, asked.ablation)
    require_data(config)
    require_answering(storage)
    for line in without_training(asked.planned):
        print(line)
    first = [spec for spec, later in staged(asked) if not later]
    study = Study.create(asked.folder, definition(asked, config), storage, first)
    require_same_rows(study, specs(asked))
    if retry_failed:
        study.retry_failed()
    code = run_workers(study, asked.workers)
    ready = [spec for spec, later in staged(asked) if later and later.exists()]
    if ready:
        study = Study.create(asked.folder, definition(asked, config), storage, ready)
        code = run_workers(study, asked.workers) or code
    known = statuses(asked, storage)
    count = list(known.values()).count
    failed = f", {count('failed')} failed; --retry-failed trains them again" if count("failed") else ""
    print(f"{count('finished')} of {len(known)} trainings finished{failed}")
    print(f"report   chromafill ablate report {asked.folder.name}")
    return code


def staged(asked):
    """[(TrialSpec, the checkpoint that must be there before it, or None)]."""
    return [
        (
            spec_of(row, seed, asked.folder),
            last_checkpoint(asked.folder, row.start_from, seed) if row.start_from else None,
        )
        for row in trained_rows(asked)
        for seed in asked.seeds
    ]


def definition(asked, config):
    """What makes a study another one; rows and seeds can be added to it."""
    headline = targets()[config["model"]["_target_"]].headline
    return {
        "kind": "ablation",
        "ablation": asked.source,
        "overrides": asked.overrides,
        "objective": {"score": f"val/{headline.score}", "direction": "maximize"},
    }


def require_paper(config, ablation):
    """UserError for an experiment of another paper, on which the rows would mean nothing."""
    task_of_config(config)
    own = compose_config([f"experiment={ablation.experiment}"])
    if config["model"]["_target_"] != own["model"]["_target_"]:
        raise UserError(
            f"{config['experiment']} trains another paper than {ablation.experiment}, whose ablation {ablation.name} is"
        )


def require_data(config):
    """DataError where the images are not there, before any training starts."""
    data = build(config["data"], "data")
    data.seed, data.iterations = config["seed"], config["iterations"]
    for split in ("train", "val"):
        data.dataset(split)


def require_same_rows(study, asked):
    """UserError where a row of the file has changed since it was entered: its runs would not be what the table says."""
    entered = {state.name: state.attrs["overrides"] for state in study.states()}
    for spec in asked:
        if entered.get(spec.name, spec.overrides) != spec.overrides:
            raise UserError(
                f"{spec.name} of {study.folder} was entered with {' '.join(entered[spec.name])}, and the ablation file"
                f" now has {' '.join(spec.overrides)}; give another name"
            )


def report(arguments):
    if len(arguments.words) < 2:
        raise UserError("report which study? chromafill ablate report NAME")
    study = Study.open(arguments.words[1], arguments.storage)
    if study.definition["kind"] != "ablation":
        raise UserError(f"{study.folder} is a {study.definition['kind']}: chromafill {study.definition['kind']} report")
    words = [word for word in arguments.words[2:] if not word.startswith("rows=")]
    ablation = read_ablation(study.definition["ablation"])
    names = row_names(settings_given(arguments.words[2:])) or rows_of(study, ablation)
    planned = plan(chosen(ablation, names), study.definition["overrides"])
    record, pictures = ablation_record(study, ablation, planned, bench_of(study, ablation, planned, words))
    folder = study.folder / "report"
    texts = {
        "report.md": markdown(record),
        "report.tex": latex_tables(record),
        "index.html": ablation_page(record, pictures),
        "report.json": json_text(record),
    }
    write_whole(folder, texts)
    print_tables(record)
    for name in texts:
        print(folder / name)


def rows_of(study, ablation):
    """Rows that were entered, those that decode them, and those that cannot run."""
    entered = {state.attrs["row"] for state in study.states()}
    return [name for name, row in ablation.rows.items() if name in entered or row.of in entered or row.cannot]


def bench_of(study, ablation, planned, words):
    """What all rows are scored on. The paper's own protocol where the study trains its full recipe, else the task's."""
    like = a_candidate(study, planned)
    base = compose_config(study.definition["overrides"])
    task = task_of_config(base)
    protocol = ablation.protocol if base["experiment"] == ablation.experiment else f"{task}_default"
    if base["data"]["root"] is not None and "data.root" not in settings_given(words):
        words = [*words, f"data.root={base['data']['root']}"]
    return make_bench(base, task, protocol, words, like=like, cache=study.folder / "report" / "measured")


def a_candidate(study, planned):
    """The first checkpoint of these rows that can be read."""
    runs, why = runs_by_row(study), f"no run of {study.folder} that these rows need is finished"
    for row in dict.fromkeys(each.row.of or each.row.name for each in planned):
        for seed in finished(runs.get(row, {})):
            try:
                return load_candidate(str(last_checkpoint(study.folder, row, seed)))
            except (UserError, CheckpointError) as error:
                why = str(error)
    raise UserError(f"there is nothing to report: {why}")
