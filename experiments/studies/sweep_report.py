"""What a sweep found: importances, the best configuration as an experiment file, a table and a page."""

import csv
import io
import math
import shlex
import warnings

import optuna
import yaml
from optuna.importance import get_param_importances
from optuna.trial import TrialState as State

from experiments.compose import compose_config, compose_with_choices, flat
from experiments.errors import UserError
from experiments.pages.render import render
from experiments.run_record import write_text
from experiments.studies.space import override
from experiments.studies.sweep_plots import history, parallel

NOT_OF_THE_EXPERIMENT = ("experiment", "run_dir", "resume")  # settings of one run
FEWEST = 4  # finished trials from which importances are worth telling


def write_report(study):
    """{what: path} of the files written into report/. UserError where no trial has finished."""
    states = study.states()
    best = best_of(study, states)
    if best is None:
        raise UserError(f"no trial of {study.folder} has finished; chromafill sweep status --study {study.folder}")
    folder = study.folder / "report"
    folder.mkdir(exist_ok=True)
    texts = {
        best_file(study): best_experiment(study, best, len(states)),
        "trials.csv": trials_csv(study, states),
        "index.html": page(study, states, best),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return {"best": folder / best_file(study), "trials": folder / "trials.csv", "page": folder / "index.html"}


def best_file(study):
    """Name of the experiment file; the run of it is called after it."""
    return f"{study.name}_best.yaml"


def best_of(study, states):
    """The finished trial with the best value, the first of several; None where none has finished."""
    finished = [state for state in states if state.status == "finished"]
    sign = 1 if study.definition["objective"]["direction"] == "maximize" else -1
    return max(finished, key=lambda state: sign * state.value, default=None)


def importances(study):
    """{config key: share of 1}, most important first: PED-ANOVA (Watanabe 2023), Optuna's own default, of how far the
    values of the better trials are from the values of all. {} for too few trials, or none better than others."""
    finished = study.trials(State.COMPLETE)
    if len(finished) < FEWEST or len({trial.value for trial in finished}) == 1:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = get_param_importances(study.optuna)
    return {key: share for key, share in found.items() if math.isfinite(share)}


def command_of(study, state):
    """The overrides of a trial's training, without its run folder."""
    chosen = [override(key, value) for key, value in state.params.items()]
    return [*study.definition["overrides"], *state.attrs["overrides"], *chosen]


def best_experiment(study, best, count):
    """An experiment file that composes to the best trial's configuration: what it sets beside its groups."""
    config, choices = compose_with_choices(command_of(study, best), "train")
    groups = {group: choices[group] for group in ("model", "data", "masks@data.masks") if choices[group]}
    plain = compose_config([f"{group}={option}" for group, option in groups.items()])
    same = dict(flat(plain))
    departures = {}
    for key, value in flat(config):
        if key.split(".")[0] not in NOT_OF_THE_EXPERIMENT and (key not in same or same[key] != value):
            put(departures, key.split("."), value)
    score, name = study.definition["objective"]["score"], study.name
    lines = [
        "# @package _global_",
        f"# The best of {count} trials of the sweep {name}, {best.name}: {score} {best.value:.6g}.",
        f"#   chromafill train experiment={shlex.quote(str(study.folder / 'report' / best_file(study)))}",
        "defaults:",
        *(f"  - override /{group}: {option}" for group, option in groups.items()),
    ]
    return "\n".join(lines) + "\n" + yaml.safe_dump(departures, sort_keys=False)


def put(nested, keys, value):
    for key in keys[:-1]:
        nested = nested.setdefault(key, {})
    nested[keys[-1]] = value


def trials_csv(study, states):
    keys = list(study.definition["space"])
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", "status", study.definition["objective"]["score"], *keys, "attempts", "seconds", "reason"])
    for state in states:
        chosen = [state.params.get(key) for key in keys]
        writer.writerow([state.name, state.status, state.value, *chosen, state.attempts, state.seconds, state.reason])
    return file.getvalue()


def page(study, states, best):
    """report/index.html: one file, no network."""
    definition = study.definition
    maximize = definition["objective"]["direction"] == "maximize"
    return render(
        "sweep.html",
        name=study.name,
        definition=definition,
        keys=list(definition["space"]),
        states=states,
        best=best,
        best_file=best_file(study),
        command=shlex.join(["chromafill", "train", *command_of(study, best)]),
        counts={status: sum(s.status == status for s in states) for status in dict.fromkeys(s.status for s in states)},
        importances=importances(study),
        fewest=FEWEST,
        history=history(states, maximize),
        parallel=parallel(states, definition["space"], definition["objective"]["score"], maximize),
    )
