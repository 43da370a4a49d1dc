import pytest
import tiny_checkpoints
import torch
from toys import Flat

from experiments.checkpoints import load_module
from experiments.config_store import TASKS
from experiments.dashboards import SAMPLES, headlines, specification, workspace
from experiments.evaluation.metrics import METRICS

pytest.importorskip("wandb_workspaces", reason="pip install chromafill[dashboards]")


def sections(task):
    """{section: panels} of what would be sent."""
    bank = specification(workspace(task, "me", "chromafill"))["section"]["panelBankConfig"]
    return {section["name"]: section["panels"] for section in bank["sections"]}


def test_every_task_has_a_dashboard():
    assert SAMPLES.keys() == TASKS.keys()


@pytest.mark.parametrize("task", SAMPLES)
def test_curves_stand_against_the_iteration(task):
    panels = [panel for each in sections(task).values() for panel in each]
    lines = [panel for panel in panels if panel["viewType"] == "Run History Line Plot"]
    assert len(lines) >= 7 and {panel["config"]["xAxis"] for panel in lines} == {"iteration"}


@pytest.mark.parametrize(
    ("task", "own", "trivial"),
    [
        ("colorization", "val/psnr", "val/psnr_grey"),
        ("inpainting", "val/psnr_hole", "val/psnr_hole_mean_fill"),
        ("segmentation", "val/accuracy", "val/accuracy_trivial"),
        ("representation", "val/top1", "val/accuracy_trivial"),
    ],
)
def test_the_headline_stands_beside_the_trivial_answer(task, own, trivial):
    assert [own, trivial] in [panel["config"]["metrics"] for panel in sections(task)["Validation"]]


def test_samples_are_the_panels_that_the_modules_draw(tmp_path):
    batch = {"image": torch.rand(1, 3, 64, 64), "mask": torch.zeros(1, 1, 64, 64)}
    batch["mask"][..., 16:48, 16:48] = 1
    inpainter, _ = load_module(str(tiny_checkpoints.inpainter(tmp_path / "inpainter.ckpt")))
    with torch.no_grad():
        drawn = {"colorization": Flat().panels(batch), "inpainting": inpainter.panels(batch)}
    for task, panels in drawn.items():
        assert tuple(panels) == SAMPLES[task]
        (shown,) = sections(task)["Samples"]
        assert shown["config"]["mediaKeys"] == [f"samples/{title}" for title in panels]


def test_only_runs_of_the_task_are_shown():
    (runs,) = specification(workspace("inpainting", "me", "chromafill"))["section"]["runSets"]
    (chosen,) = runs["filters"]["filters"]
    assert (chosen["key"], chosen["op"], chosen["value"]) == (
        {"section": "run", "name": "tags"},
        "IN",
        ["inpainting"],
    )


def test_rows_of_a_study_are_averaged_over_seeds():
    curve, best, importance, _ = sections("colorization")["Study"]
    assert curve["config"]["groupBy"] == best["config"]["groupBy"] == "study.value.row"
    assert (curve["config"]["groupAgg"], curve["config"]["groupArea"]) == ("mean", "minmax")
    assert best["config"]["metrics"] == ["val/psnr.max"] and importance["config"]["targetKey"] == "val/psnr.max"


def test_every_metric_of_the_evaluation_has_a_panel_and_tasks_without_one_no_section():
    shown = [panel["config"].get("metrics") for panel in sections("colorization")["Evaluations"]]
    assert [f"score/{name}" for name in METRICS["colorization"]] == [keys[0] for keys in shown if keys]
    assert "Evaluations" not in sections("segmentation")


def test_papers_that_share_a_headline_show_it_once():
    assert [headline.score for headline in headlines("inpainting")] == ["psnr_hole"]
