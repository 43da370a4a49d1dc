"""Dashboards as code: the wandb workspace of a task, with panels for what every run of it logs.

Of all runs that bear the task's tag. In its sections
  Validation    the headline of each of the task's papers beside the trivial answer that it must beat
  Samples       the same validation images over the iterations, a picture a panel
  Losses        every term of the generator and of the discriminator, before weighting
  Speed         iterations a second, learning rates, the GPU
  Study         rows of an ablation or trials of a sweep: mean over seeds with the extremes, which settings matter
  Evaluations   scores of `chromafill evaluate logger=wandb`, and its table of images
Needs the package wandb-workspaces (pip install chromafill[dashboards]).
"""

import json

from experiments.config_store import papers
from experiments.evaluation.metrics import METRICS

SAMPLES = {  # {task: titles of the panels, as the task's modules name them}
    "colorization": ("grey input", "prediction", "truth"),
    "inpainting": ("input", "completed", "truth"),
    "segmentation": ("grey input", "prediction", "truth"),
    "representation": ("input", "class", "truth"),
}
ROW = "study.row"  # in a run's configuration: experiments/loggers/identity.py


def workspace(task, entity, project):
    """wandb's object; `.save()` sends it."""
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces.expr import And, Tags

    sections = {
        "Validation": [versus(headline) for headline in headlines(task)],
        "Samples": samples(task),
        "Losses": [line("Generator, bare terms", regex="train/g/.*"), line("Discriminator", regex="train/d/.*")],
        "Speed": speed(),
        "Study": [panel for headline in headlines(task) for panel in study(headline)],
        "Evaluations": evaluations(task),
    }
    return ws.Workspace(
        entity=entity,
        project=project,
        name=f"chromafill: {task}",
        sections=[
            ws.Section(name=name, panels=panels, is_open=name in ("Validation", "Samples", "Losses"))
            for name, panels in sections.items()
            if panels
        ],
        settings=ws.WorkspaceSettings(x_axis="iteration"),
        runset_settings=ws.RunsetSettings(filters=And(Tags().isin([task]))),
    )


def specification(made):
    """What `.save()` would send, as a dict."""
    return json.loads(made._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def headlines(task):
    """Of the task's papers, each once."""
    found = {cls.headline.score: cls.headline for of, cls in papers().values() if of == task}
    return list(found.values())


def line(title, *keys, regex=None, **more):
    import wandb_workspaces.reports.v2 as wr

    return wr.LinePlot(title=title, x="iteration", y=list(keys), metric_regex=regex, **more)


def versus(headline):
    title = f"{headline.title} against {headline.trivial_answer}"
    return line(title, f"val/{headline.score}", f"val/{headline.trivial}")


def samples(task):
    import wandb_workspaces.reports.v2 as wr

    keys = [f"samples/{title}" for title in SAMPLES[task]]
    return [wr.MediaBrowser(title="Samples", media_keys=keys, num_columns=len(keys), gallery_axis="step")]


def speed():
    return [
        line("Iterations a second", "iterations_per_second"),
        line("Learning rates", regex="lr.*"),
        line("GPU in use, %", regex="system/gpu.*gpu$"),
        line("GPU memory, %", regex="system/gpu.*memoryAllocated$"),
    ]


def study(headline):
    """Rows side by side: curves with the extremes of the seeds, best values, and how much each setting explains."""
    import wandb_workspaces.reports.v2 as wr

    score, best = f"val/{headline.score}", f"val/{headline.score}.max"
    rows = {"groupby": wr.Config(ROW), "groupby_aggfunc": "mean", "groupby_rangefunc": "minmax", "aggregate": True}
    return [
        line(f"{headline.title} by row", score, **rows),
        wr.BarPlot(title=f"Best {headline.title} by row", metrics=[best], **rows),
        wr.ParameterImportancePlot(with_respect_to=best),
        wr.RunComparer(diff_only=True),
    ]


def evaluations(task):
    import wandb_workspaces.reports.v2 as wr

    if task not in METRICS:
        return []
    bars = [wr.BarPlot(title=metric.title, metrics=[f"score/{name}"]) for name, metric in METRICS[task].items()]
    return [*bars, wr.WeavePanelSummaryTable(table_name="per_image")]
