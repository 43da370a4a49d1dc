"""A wandb run of an evaluation (job type evaluate): its scores in the summary, a table of candidates, one of images."""

import csv

from experiments.loggers.identity import of_evaluation
from experiments.loggers.wandb_artifacts import artifact_name
from experiments.loggers.wandb_run import attempts, start

FILES = ("scores.json", "per_image.csv", "index.html")


def send_scores(record, folder):
    """record: what scores.json in `folder` holds. Where wandb fails it says so, and the files are what there is."""
    attempts()(lambda: send(record, folder))


def send(record, folder):
    import wandb

    identity = of_evaluation(record, folder)
    checkpoints = {row["name"]: row["checkpoint"] for row in record["rows"] if row["checkpoint"] is not None}
    with start(identity, folder, {"protocol": record["protocol"], "checkpoints": checkpoints}) as run:
        first = record["rows"][0]["means"]
        run.summary.update({f"score/{metric}": mean["value"] for metric, mean in first.items()})
        images = per_image(folder / "per_image.csv")
        run.log({"scores": candidates(record), "per_image": images})
        artifact = wandb.Artifact(artifact_name(f"scores-{identity.name}"), type="evaluation")
        artifact.add(images, "per_image")
        for name in FILES:
            if (folder / name).exists():
                artifact.add_file(str(folder / name))
        run.log_artifact(artifact)


def candidates(record):
    """A row a candidate and metric: the mean with its interval (None of a set's score)."""
    import wandb

    rows = [
        [row["name"], metric, record["metrics"][metric]["unit"], mean["value"], mean["low"], mean["high"]]
        for row in record["rows"]
        for metric, mean in row["means"].items()
    ]
    return wandb.Table(columns=["candidate", "metric", "unit", "value", "low", "high"], data=rows)


def per_image(path):
    """A row an image, as per_image.csv has it: all but the name are numbers."""
    import wandb

    with path.open(newline="") as file:
        names, *lines = csv.reader(file)
    rows = [
        [text if name == "name" else number(text) for name, text in zip(names, line, strict=True)] for line in lines
    ]
    return wandb.Table(columns=names, data=rows)


def number(text):
    """None where there is none."""
    return float(text) if text else None
