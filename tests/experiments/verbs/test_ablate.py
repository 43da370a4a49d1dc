"""`chromafill ablate` from the words of the command line to the report, on tiny trainings in this process."""

import json
import os
import shutil

import pytest
from ablation_studies import TINY, work_here
from browser import opened

from experiments.errors import UserError
from experiments.studies import ablation_record, ablation_scores
from experiments.studies.study import Study, TrialSpec
from experiments.verbs import ablate

ROWS = "rows=[l2,temperature_0,robustness]"


def words(*more):
    return ["ablation=colorful", "seeds=2", ROWS, "name=tiny", *TINY, *more]


def call(*words):
    return ablate.run(ablate.parser().parse_args(list(words)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the study `tiny`, trained and reported."""
    folder = tmp_path_factory.mktemp("ablate")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(ablate, "run_workers", work_here)
        call(*words())
        call("report", "tiny")
    return folder


@pytest.fixture
def trained(folder, monkeypatch):
    """The same as working folder, where trainings are counted instead of run."""
    monkeypatch.chdir(folder)
    counted = []
    monkeypatch.setattr(ablate, "run_workers", lambda study, count: counted.append(waiting(study)))
    return counted


def waiting(study):
    return [state.name for state in study.states() if state.status == "waiting"]


def report_json(folder):
    return json.loads((folder / "studies/tiny/report/report.json").read_text())


def test_every_row_is_trained_with_every_seed_in_its_own_run_folder(folder):
    runs = folder / "studies/tiny/runs"
    assert sorted(path.name for path in runs.iterdir()) == ["full-seed0", "full-seed1", "l2-seed0", "l2-seed1"]
    assert json.loads((runs / "l2-seed1/run.json").read_text())["seed"] == 1
    definition = json.loads((folder / "studies/tiny/study.json").read_text())
    assert definition["kind"] == "ablation" and definition["objective"]["score"] == "val/psnr"


def test_the_same_line_again_trains_nothing(trained, capsys):
    call(*words())
    assert trained == [[]]
    assert "4 of 4 trainings finished" in capsys.readouterr().out


def test_the_report_compares_each_row_with_the_base_row_seed_by_seed(folder):
    record = report_json(folder)
    rows = {row["name"]: row for row in record["rows"]}
    scores = {name: [rows[name]["seeds"][seed]["means"]["psnr"] for seed in "01"] for name in ("full", "l2")}
    difference = rows["l2"]["difference"]["psnr"]
    expected = [second - first for first, second in zip(scores["full"], scores["l2"], strict=True)]
    assert list(difference["of_seeds"].values()) == pytest.approx(expected)
    assert difference["low"] < difference["mean"] < difference["high"]
    assert record["protocol"]["count"] == 6 and record["protocol"]["name"] == "colorization_default"


def test_a_row_that_is_decoded_otherwise_has_the_base_rows_checkpoints_and_other_scores(folder):
    rows = {row["name"]: row for row in report_json(folder)["rows"]}
    for seed in "01":
        full, cold = (rows[name]["seeds"][seed] for name in ("full", "temperature_0"))
        assert full["sha256"] == cold["sha256"] and full["means"]["psnr"] != cold["means"]["psnr"]
    assert rows["temperature_0"]["seconds"] is None


def test_rows_that_cannot_run_are_in_the_tables_with_the_reason(folder):
    text = (folder / "studies/tiny/report/report.md").read_text()
    assert "| robustness [1] |" in text and "- [1] **robustness**: a colour chart" in text
    assert "Row full departs from the paper's model settings (in brackets) in model.width=2 (64), " in text
    assert "full recipe colorful_imagenet in data=synthetic (imagenet), " in text and "iterations=4 (450000)" in text


def test_the_report_says_which_command_made_it(folder):
    text = (folder / "studies/tiny/report/report.md").read_text()
    assert text.splitlines()[2].startswith("Made by: chromafill ")
    assert text.splitlines()[2].endswith("Not to be edited by hand.")


def test_a_second_report_measures_nothing_and_says_the_same(folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = report_json(folder)
    monkeypatch.setattr(ablation_scores, "scores_of", None)  # would fail where it is called
    call("report", "studies/tiny")
    after = report_json(folder)
    assert before["rows"] == after["rows"] and before["curves"] == after["curves"]


def test_the_page_opens_with_a_picture_of_every_row(folder):
    with opened(folder / "studies/tiny/report/index.html") as page:
        # Four images: the input, the truth, and an answer of each row that has scores.
        rows = sum(bool(row["seeds"]) for row in report_json(folder)["rows"])
        assert page.locator("#images img").count() == 4 * (2 + rows)
        assert page.locator("#curves polyline").count() == 2


def test_more_seeds_are_added_to_what_is_there(trained, folder, tmp_path):
    asked = ablate.read_request(words("seeds=[0,1,5]"))
    assert [spec.name for spec in ablate.specs(asked)][-1] == "l2-seed5"
    call(*words("seeds=[0,1,5]"))
    assert trained == [["full-seed5", "l2-seed5"]]


def test_a_failed_run_is_in_the_report_with_its_reason(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    study = Study.open("tiny")
    for trial in iter(lambda: study.take({}), None):  # seed 5 of the test above
        study.fail(trial, "no space left")
    call("report", "tiny", "rows=[l2]")
    rows = {row["name"]: row for row in report_json(folder)["rows"]}
    assert list(rows) == ["full", "l2"]
    assert rows["l2"]["problems"] == ["seed 5: failed, no space left"] and len(rows["l2"]["seeds"]) == 2
    assert "l2: seed 5: failed, no space left" in capsys.readouterr().out


def test_a_report_of_rows_without_a_run_says_so_though_another_row_has_one(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "studies/tiny", tmp_path / "studies/tiny")
    monkeypatch.chdir(tmp_path)
    for seed in "01":
        shutil.rmtree(f"studies/tiny/runs/full-seed{seed}")
    with pytest.raises(UserError, match="nothing to report: .*full-seed1/checkpoints/last.ckpt"):
        call("report", "tiny", "rows=[class]")


def test_a_run_that_is_gone_is_a_problem_of_its_row_and_the_report_is_written(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(folder / "studies/tiny", tmp_path / "studies/tiny")
    monkeypatch.chdir(tmp_path)
    shutil.rmtree("studies/tiny/runs/full-seed0")
    call("report", "tiny")
    rows = {row["name"]: row for row in report_json(tmp_path)["rows"]}
    assert rows["full"]["problems"][-1].startswith("seed 0: its checkpoint studies/tiny/runs/full-seed0/checkpoints/")
    assert list(rows["full"]["seeds"]) == ["1"] and list(rows["l2"]["difference"]["psnr"]["of_seeds"]) == ["1"]
    assert "seed 0: its checkpoint studies/tiny/runs/full-seed0" in capsys.readouterr().out


def test_a_dry_run_lists_the_commands_and_makes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    call("ablation=glcic", "data=photos", "seeds=[3]", "rows=[none,postprocessed,faces]", "iterations=9", "--dry-run")
    assert capsys.readouterr().out.splitlines() == [
        "chromafill train experiment=glcic_photos iterations=9 seed=3"
        " run_dir=studies/glcic_photos/runs/both-seed3 resume=auto",
        "chromafill train experiment=glcic_photos iterations=9 model.discriminators=none seed=3"
        " run_dir=studies/glcic_photos/runs/none-seed3 resume=auto",
        "# postprocessed: no training; the report decodes both with {'postprocess': True}",
        "# faces: not run: other images than the table's; chromafill train experiment=glcic_faces (published, a study"
        " with people)",
    ]
    assert os.listdir(tmp_path) == []


def test_a_dry_run_says_which_trainings_are_done(trained, capsys):
    call(*words("--dry-run"))
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("# finished") for line in lines) == 4


def test_a_row_that_starts_from_another_is_trained_after_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stages = []

    def work(study, count):
        stages.append(waiting(study))
        for name in stages[-1]:
            checkpoint = study.run_dir(name) / "checkpoints" / "last.ckpt"
            checkpoint.parent.mkdir(parents=True)
            checkpoint.touch()
            study.finish(study.take({}), 0.0)

    monkeypatch.setattr(ablate, "run_workers", work)
    call("ablation=colorful", "rows=[l2_ft]", "seeds=2", "name=staged", *TINY)
    assert stages == [["full-seed0", "full-seed1"], ["l2_ft-seed0", "l2_ft-seed1"]]


def test_settings_that_are_not_those_of_the_study_are_refused(trained):
    with pytest.raises(UserError, match="holds another study; differing: overrides"):
        call(*words("model.width=4"))


def test_a_row_whose_settings_changed_since_is_refused(trained, tmp_path):
    study = Study.open("tiny")
    changed = [TrialSpec(name="l2-seed0", overrides=["model.loss=l1", "seed=0"], attrs={})]
    with pytest.raises(
        UserError, match="l2-seed0 of .*tiny was entered with model.loss=l2 seed=0, and the ablation file"
    ):
        ablate.require_same_rows(study, changed)


@pytest.mark.parametrize(
    "given, message",
    [
        (["data=photos"], "give ablation=NAME"),
        (["ablation=colorful", "seeds=0"], "seeds must be a whole number, at least 1; got 0"),
        (["ablation=colorful", "seeds=[1,1]"], "a list of different ones"),
        (["ablation=colorful", "workers=none"], "workers must be a whole number"),
        (["ablation=colorful", "name=a/b"], "name must be a name of letters, .*; got 'a/b'"),
        (["ablation=colorful", "name=.."], "name must be a name of letters, .*; got '..'"),
        (["ablation=colorful", "name=null"], "name must be a name of letters, .*; got 'None'"),
        (["ablation=colorful", "name="], "name must be a name of letters, .*; got ''"),
        (
            ["ablation=colorful", "data=synthetic", "--storage", "sqlite:////no/where.db"],
            "no/where.db cannot be written",
        ),
        (["ablation=colorful", "rows=l3"], "has no row 'l3'; nearest: l2"),
        (["ablation=colorful", "data=photos", "model.widht=3"], "no setting 'model.widht'; nearest: width"),
        (["ablation=glcic", "experiment=colorful_photos"], "colorful_photos trains another paper than glcic_places"),
        (["report"], "report which study"),
        (["report", "nothing"], "no study in nothing"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablate, "run_workers", None)  # would fail where it is called
    with pytest.raises(UserError, match=message):
        call(*given)
    assert os.listdir(tmp_path) == []


def test_a_study_without_a_finished_run_has_nothing_to_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablate, "run_workers", lambda study, count: None)
    call("ablation=colorful", "rows=[l2]", "name=waiting", *TINY)
    with pytest.raises(UserError, match="nothing to report: no run of .*waiting that these rows need is finished"):
        call("report", "waiting")


@pytest.mark.slow
def test_workers_train_two_rows_with_two_seeds_and_go_on_where_they_were_stopped(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        call("ablation=colorful", "rows=[l2]", "seeds=2", "workers=2", "name=real", *TINY)
    call("report", "real")
    runs = ablation_record.runs_by_row(Study.open("real"))
    assert {row: ablation_record.finished(of) for row, of in runs.items()} == {"full": [0, 1], "l2": [0, 1]}
    assert all(state.attempts == 1 for of in runs.values() for state in of.values())
    assert (tmp_path / "studies/real/report/index.html").stat().st_size > 10_000
