"""`chromafill sweep`: search settings for the best validation score, with workers on one machine or several."""

import shlex
from pathlib import Path

from experiments.arguments import Parser, plain_name
from experiments.compose import settings_given
from experiments.errors import UserError
from experiments.studies.space import check_space, grid, read_space
from experiments.studies.status import show_status
from experiments.studies.storage import require_answering
from experiments.studies.study import GRACE, STUDIES, Study, TrialSpec
from experiments.studies.sweep_report import write_report
from experiments.studies.wandb_sweep import sweep_yaml
from experiments.studies.worker import Worker, work
from experiments.studies.workers import run_workers

ACTIONS = ("run", "work", "status", "report", "export-wandb")
OWN = ("sweep", "trials", "workers", "name")  # settings of this verb; all others are the trainings'


def parser():
    parser = Parser(
        "sweep",
        "run (or no action): make a study of a search space, or go on with it, and work on it here.\n"
        "  sweep=NAME   a file of configs/sweep, or a path; its head says what may stand in it\n"
        "  trials=N     how many (the file's); more than there are adds some\n"
        "  workers=N    processes here, each with its share of the GPUs or CPUs (1); 0 only makes the study\n"
        "  name=NAME    of the folder studies/NAME (the sweep's and the experiment's)\n"
        "  all other settings are those of `chromafill train`\n"
        "work: join a study as one more worker, from any machine that reaches its storage and its folder. A machine\n"
        "that does not see the folder can join too, but starts trials of others from the beginning.\n"
        "status: a table, live in a terminal. report: a page, a table and the best configuration.\n"
        "export-wandb: prints the same space as a file for `wandb sweep`, whose agents run `chromafill train`.",
        "chromafill sweep sweep=colorful experiment=colorful_photos trials=20 workers=2 name=first\n"
        "  chromafill sweep work --study first --storage postgresql://me@host/studies\n"
        "  chromafill sweep report --study first",
    )
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="run, work, status, report or export-wandb; settings key=value"
    )
    parser.add_argument("--study", help="folder of a study, or its name in studies/ (work, status, report)")
    parser.add_argument(
        "--storage", metavar="URL", help="postgresql://USER@HOST/DATABASE or sqlite:///FILE (study.db in the folder)"
    )
    parser.add_argument(
        "--retry-failed", action="store_true", help="run: train again what failed, from its checkpoints"
    )
    parser.add_argument(
        "--grace", type=int, default=GRACE, metavar="S", help="seconds until a silent worker counts as dead (60)"
    )
    return parser


def run(arguments):
    action, words = "run", arguments.words
    if words and "=" not in words[0]:
        action, *words = words
    if action not in ACTIONS:
        raise UserError(f"expected {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}, got '{action}'")
    if action == "run":
        return search(words, arguments)
    if action == "export-wandb":
        return export_wandb(words)
    if words:
        raise UserError(f"{action} takes no settings, got {words[0]}")
    if arguments.study is None:
        raise UserError(f"{action} needs --study FOLDER_OR_NAME")
    study = Study.open(arguments.study, arguments.storage)
    if action == "work":
        return work(Worker(study))
    if action == "status":
        return show_status(study)
    if study.definition["kind"] != "sweep":
        raise UserError(f"{study.folder} is an ablation: chromafill ablate report")
    return print_report(study)


def search(words, arguments):
    """Makes a study, or goes on with it, and works on it."""
    if arguments.study is not None:
        raise UserError("--study is for work, status and report; a new study is named with name=...")
    if arguments.grace < 2:
        raise UserError(f"--grace must be at least 2 seconds, got {arguments.grace}")
    given, found, config, overrides = asked(words)
    usual = f"{Path(str(given['sweep'])).stem}-{config['experiment']}"
    folder = STUDIES / plain_name("name", given.get("name", usual))
    entered = specs(found, given.get("trials"))
    workers = count(given, "workers", 1, least=0)
    require_answering(arguments.storage)
    study = Study.create(
        folder,
        definition(found, config, overrides),
        arguments.storage,
        entered,
        grace=arguments.grace,
    )
    if arguments.retry_failed:
        study.retry_failed()
    code = run_workers(study, workers) if workers else 0
    print_end(study)
    return code


def asked(words):
    """(settings typed, search space, composed training, overrides of the training)."""
    given = settings_given(words)
    overrides = [word for word in words if word.split("=")[0] not in OWN]
    if "sweep" not in given:
        raise UserError("sweep=... is missing: a file of configs/sweep, or a path")
    found = read_space(given["sweep"])
    return given, found, check_space(found, overrides), overrides


def export_wandb(words):
    """Prints the file for `wandb sweep`."""
    given, found, _, overrides = asked(words)
    print(sweep_yaml(found | {"trials": given.get("trials", found["trials"])}, overrides), end="")


def definition(found, config, overrides):
    """What study.json holds of a sweep. Lengths are what pruning compares trials at."""
    lengths = {"iterations": config["iterations"], "validate_every": config["validate_every"]}
    kept = {key: value for key, value in found.items() if key != "trials"}
    return {"kind": "sweep", "experiment": config["experiment"], "overrides": overrides} | kept | lengths


def specs(found, trials):
    """The trials to enter: all points of a grid, or so many to be sampled."""
    if found["method"] == "grid":
        if trials is not None:
            raise UserError(f"a grid has its own number of trials, {len(grid(found['space']))}; leave trials= away")
        return [spec(number, params) for number, params in enumerate(grid(found["space"]))]
    given = {"trials": found["trials"] if trials is None else trials}
    if given["trials"] is None:
        raise UserError("trials=... is missing, here and in the sweep's file")
    return [spec(number, {}) for number in range(count(given, "trials", None, least=1))]


def spec(number, params):
    return TrialSpec(name=f"trial-{number:04}", overrides=[], attrs={}, params=params)


def count(given, key, default, least):
    value = given.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{key} must be a whole number from {least} on, got {value}")
    return value


def print_end(study):
    """The report where something has finished, and how to go on where something has not."""
    states = study.states()
    if any(state.status == "finished" for state in states):
        print_report(study)
    failed = sum(state.status == "failed" for state in states)
    if failed:
        print(f"{failed} trials failed; --retry-failed trains them again")
    left = sum(state.status in ("waiting", "running") for state in states)
    if left:
        command = ["chromafill", "sweep", "work", "--study", str(study.folder)]
        print(f"{left} trials are left; go on with: {shlex.join(command)}")


def print_report(study):
    for what, path in write_report(study).items():
        print(f"{what:<8}{path}")
