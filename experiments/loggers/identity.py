"""What a run is called in wandb and MLflow: one rule, so that dashboards find runs without knowing how they started.

project    chromafill; WANDB_PROJECT and MLFLOW_EXPERIMENT_NAME choose another, as these tools have it
group      the study that the run is a trial of, else the experiment: runs to be compared with each other
job type   train or evaluate
name       <experiment>/<run folder>, or <study>/<trial>; an evaluation adds its own folder
tags       paper, task and data set, and of a trial the kind of its study (ablation or sweep)
"""

import json
import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Identity:
    group: str
    job_type: str
    name: str
    tags: tuple[str, ...]
    study: dict | None = None  # what `study_of` gives: kept in the run's configuration, to group and filter by


def of_training(config, folder):
    """From the composed configuration and the run's folder."""
    study = study_of(folder)
    return Identity(
        group=study["name"] if study else config["experiment"],
        job_type="train",
        name=run_name(config["experiment"], folder, study),
        tags=tags(config["model"], config["data"], study),
        study=study,
    )


def of_evaluation(record, folder):
    """From what scores.json holds and the evaluation's folder. The run that it belongs to is that of the first
    checkpoint; where baselines alone are scored, the protocol stands for it."""
    protocol = record["protocol"]
    trained = [row["checkpoint"] for row in record["rows"] if row["checkpoint"] is not None]
    if not trained:
        known = (protocol["task"], protocol["data"])
        return Identity(group=protocol["name"], job_type="evaluate", name=folder.name, tags=known)
    run = folder.parent.parent if folder.parent.name == "evaluation" else folder
    study, experiment = study_of(run), trained[0]["experiment"]
    own = "" if run == folder else f"/{folder.name}"
    return Identity(
        group=study["name"] if study else experiment,
        job_type="evaluate",
        name=run_name(experiment, run, study) + own,
        tags=(paper_of(trained[0]["model"]), protocol["task"], protocol["data"], *kind_of(study)),
        study=study,
    )


def study_of(folder):
    """Of a run in <study>/runs/<trial>, where <study> holds a study.json: {name, kind, trial, row}; None of others.

    row: the trial's name without its seed, the same for all seeds of an ablation's row.
    """
    folder = folder.resolve()
    path = folder.parent.parent / "study.json"
    if folder.parent.name != "runs" or not path.is_file():
        return None
    return {
        "name": path.parent.name,
        "kind": json.loads(path.read_text())["kind"],
        "trial": folder.name,
        "row": re.sub(r"-seed\d+$", "", folder.name),
    }


def run_name(experiment, folder, study):
    return f"{study['name']}/{study['trial']}" if study else f"{experiment}/{folder.resolve().name}"


def tags(model, data, study):
    """A `_target_` is lightning_modules.<task>.<paper>.<class>, that of data datamodules.<data set>.<class>."""
    task = model["_target_"].split(".")[1]
    return (paper_of(model), task, data["_target_"].split(".")[-2], *kind_of(study))


def paper_of(model):
    return model["_target_"].split(".")[-2]


def kind_of(study):
    return (study["kind"],) if study else ()
