"""The report of a sweep whose objective is a formula."""

import csv
import math

import pytest
from browser import opened

from experiments.compose import compose_config
from experiments.errors import UserError
from experiments.studies.space import PRUNING, distributions_of
from experiments.studies.study import Study, TrialSpec
from experiments.studies.sweep_report import best_of, importances, write_report

SPACE = {
    "model.lr": {"low": 1e-5, "high": 1e-3, "log": True},
    "model.neighbours": {"choices": [1, 5, 10]},
    "data.masks.side": {"low": 8, "high": 16},
}
DEFINITION = {
    "kind": "sweep",
    "experiment": "colorful_photos",
    "overrides": ["experiment=colorful_photos", "masks@data.masks=centre", "logger=none"],
    "method": "random",
    "seed": 0,
    "objective": {"score": "val/psnr", "direction": "maximize"},
    "pruning": PRUNING,
    "space": SPACE,
}


@pytest.fixture
def study(tmp_path):
    """20 trials; only the learning rate matters. One is pruned, one failed, and one waits."""
    specs = [TrialSpec(name=f"trial-{number:04}", overrides=[], attrs={}) for number in range(23)]
    made = Study.create(tmp_path / "studies" / "s", DEFINITION, specs=specs)
    for number in range(22):
        trial = made.take(distributions_of(DEFINITION))
        if number == 20:
            trial.report(14.0, 100)
            made.prune(trial)
        elif number == 21:
            made.fail(trial, "<script>document.title = 'bad'</script>")
        else:
            made.finish(trial, 20 - abs(math.log10(trial.params["model.lr"]) + 4))
    return made


def test_the_best_experiment_file_composes_to_the_configuration_of_the_best_trial(study):
    best = best_of(study, study.states())
    assert best.value == max(state.value for state in study.states() if state.status == "finished")
    path = write_report(study)["best"]
    found = compose_config([f"experiment={path}"])
    chosen = [f"{key}={value!r}" for key, value in best.params.items()]
    expected = compose_config([*DEFINITION["overrides"], *chosen])
    assert found == expected | {"experiment": "s_best"}
    assert f"# The best of 23 trials of the sweep s, {best.name}: val/psnr" in path.read_text()


def test_the_parameter_that_matters_is_the_most_important(study):
    shares = importances(study)
    assert next(iter(shares)) == "model.lr" and sum(shares.values()) == pytest.approx(1)


def test_importances_are_not_told_of_too_few_or_equal_trials(tmp_path):
    study = Study.create(
        tmp_path / "s", DEFINITION, specs=[TrialSpec(name=f"t{n}", overrides=[], attrs={}) for n in range(4)]
    )
    for _ in range(3):
        study.finish(study.take(distributions_of(DEFINITION)), 1.0)
    assert importances(study) == {}
    study.finish(study.take(distributions_of(DEFINITION)), 1.0)
    assert importances(study) == {}
    assert "Told from 4 finished trials" in write_report(study)["page"].read_text()


def test_the_best_is_the_lowest_where_the_score_is_minimised(tmp_path):
    lowest = DEFINITION | {"objective": {"score": "val/loss", "direction": "minimize"}}
    study = Study.create(
        tmp_path / "s", lowest, specs=[TrialSpec(name=f"t{n}", overrides=[], attrs={}) for n in range(2)]
    )
    for value in (3.0, 2.0):
        study.finish(study.take({}), value)
    assert best_of(study, study.states()).name == "t1"


def test_the_table_has_every_trial(study):
    with write_report(study)["trials"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 23 and rows[0]["model.lr"] and float(rows[0]["val/psnr"]) <= 20
    assert [row["status"] for row in rows[-3:]] == ["pruned", "failed", "waiting"]


def test_a_study_without_a_finished_trial_has_no_report(tmp_path):
    with pytest.raises(UserError, match="no trial of .* has finished"):
        write_report(Study.create(tmp_path / "s", DEFINITION))


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_from_a_disk_and_fits_a_phone(study, width):
    with opened(write_report(study)["page"], width=width) as page:
        assert page.title() == "Sweep s"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("polyline.trial").count() == 20 and page.locator("circle").count() == 21
        assert page.locator("tbody tr").count() == 23 and page.locator("tr.best").count() == 1
        assert page.locator(".bars span").first.inner_text() == "model.lr"
