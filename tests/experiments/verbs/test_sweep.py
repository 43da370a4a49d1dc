"""`chromafill sweep` from its words to a study and its report."""

import json

import pytest

from experiments import cli
from experiments.cli import main
from experiments.studies.study import Study
from experiments.verbs import sweep

TINY = (
    "experiment=colorful_synthetic model.width=4 data.crop=32 data.batch_size=4 data.workers=0 data.train_count=40"
    " data.val_count=6 logger=none trainer.accelerator=cpu trainer.devices=1 log_every=1 validate_every=2"
    " checkpoint_every=2 iterations=4"
).split()

NO_NAMES = ("../../outside", "a/b", "..", "null", "", ".hidden", "true", "'a b'", "x" * 101)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(cli.VERBS, "sweep", ("experiments.verbs.sweep", "search settings"))


def test_a_study_is_made_without_working_on_it_and_more_trials_are_added_later(capsys):
    words = ["sweep", "sweep=colorful", *TINY, "workers=0", "name=first"]
    assert main([*words, "trials=2"]) == 0
    assert "2 trials are left; go on with: chromafill sweep work --study studies/first" in capsys.readouterr().out
    assert main([*words, "trials=3"]) == 0
    study = Study.open("first")
    assert [state.status for state in study.states()] == ["waiting"] * 3
    kept = json.loads((study.folder / "study.json").read_text())
    assert kept["overrides"] == TINY and kept["created"]["command"][0] == "chromafill"
    assert (kept["validate_every"], kept["iterations"], kept["pruning"]["warmup"]) == (2, 4, 400)


def test_a_grid_enters_all_of_its_points(capsys):
    assert main(["sweep", "run", "sweep=glcic", "experiment=glcic_synthetic", "workers=0"]) == 0
    assert "9 trials are left" in capsys.readouterr().out
    study = Study.open("glcic-glcic_synthetic")
    fixed = [trial.system_attrs["fixed_params"] for trial in study.trials()]
    assert len(fixed) == 9 and fixed[1] == {"model.lr": 0.1, "model.alpha": 4e-4}
    assert main(["sweep", "status", "--study", str(study.folder)]) == 0
    assert "9 waiting" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stats"], "expected run, work, status, report or export-wandb, got 'stats'"),
        (["report"], "report needs --study FOLDER_OR_NAME"),
        (["report", "trials=3", "--study", "x"], "report takes no settings, got trials=3"),
        (["status", "--study", "x"], "no study in x or studies/x; give the folder of one, or --storage"),
        (["experiment=glcic_synthetic"], "sweep=... is missing: a file of configs/sweep, or a path"),
        (["sweep=colorfull", *TINY], "sweep 'colorfull' not found; nearest: colorful"),
        (["sweep=colorful", *TINY, "trials=0"], "trials must be a whole number from 1 on, got 0"),
        (["sweep=colorful", *TINY, "workers=two"], "workers must be a whole number from 0 on, got two"),
        (["sweep=colorful", *TINY, "iteration=5"], "no setting 'iteration'; nearest: iterations"),
        (["sweep=colorful", *TINY, "--study", "x"], "--study is for work, status and report"),
        (["sweep=colorful", *TINY, "--grace", "1"], "--grace must be at least 2 seconds, got 1"),
        (["sweep=glcic", "experiment=glcic_synthetic", "trials=3"], "a grid has its own number of trials, 9"),
        *((["sweep=colorful", *TINY, f"name={name}"], "name must be a name of letters") for name in NO_NAMES),
        (
            ["sweep=colorful", *TINY, "--storage", "sqlite:////no/where.db"],
            "no/where.db cannot be written: No such file",
        ),
        (
            ["sweep=colorful", *TINY, "--storage", "mysql://me@host/db"],
            "storage must be sqlite:///FILE or postgresql://",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_and_makes_no_study(words, message, tmp_path, capsys):
    assert main(["sweep", *words]) == 2
    assert list(tmp_path.iterdir()) == []
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("chromafill sweep: ") and message in lines[0]


def test_trials_must_be_said_somewhere(tmp_path, capsys):
    objective, space = "{score: val/psnr, direction: maximize}", "{model.lr: {low: 1e-5, high: 1e-3}}"
    (tmp_path / "own.yaml").write_text(f"method: random\nobjective: {objective}\nspace: {space}\n")
    assert main(["sweep", "sweep=own.yaml", *TINY]) == 2
    assert "trials=... is missing, here and in the sweep's file" in capsys.readouterr().err


def test_a_report_of_an_ablation_is_another_verbs(tmp_path, capsys):
    definition = {"kind": "ablation", "overrides": [], "objective": {"score": "val/psnr", "direction": "maximize"}}
    Study.create(tmp_path / "a", definition)
    assert main(["sweep", "report", "--study", "a"]) == 2
    assert "a is an ablation: chromafill ablate report" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_runs_reports_and_has_nothing_left_to_do_the_second_time(capsys):
    words = ["sweep", "sweep=colorful", *TINY, "workers=1", "trials=2", "name=real"]
    assert main(words) == 0
    assert "page    studies/real/report/index.html" in capsys.readouterr().out
    study = Study.open("real")
    assert [(state.status, state.attempts) for state in study.states()] == [("finished", 1)] * 2
    assert main(words) == 0
    assert len(Study.open("real").trials()) == 2


def test_the_number_of_workers_is_passed_on_and_their_exit_code_back(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(sweep, "run_workers", lambda study, count: asked.append((study.name, count)) or 1)
    assert main(["sweep", "sweep=colorful", *TINY, "workers=3", "trials=1", "name=n"]) == 1
    assert asked == [("n", 3)]
