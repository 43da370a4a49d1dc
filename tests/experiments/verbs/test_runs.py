"""`chromafill runs` on folders as trainings leave them."""

import csv
import io
import json

import pytest
from run_folders import made

from experiments.errors import UserError
from experiments.processes import this_process
from experiments.verbs import runs


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def chromafill_runs(capsys, *words):
    """(exit code, standard output)."""
    code = runs.run(runs.parser().parse_args(list(words)))
    return code or 0, capsys.readouterr().out


def listed(capsys, *words):
    """The paths of the runs that are listed, in their order."""
    return [row["run"] for row in json.loads(chromafill_runs(capsys, "list", *words, "--json")[1])]


def test_the_table_shows_status_and_scores_and_counts_them(place, capsys):
    made(place / "toy" / "a", scores={"val/psnr": 23.45678})
    made(place / "toy" / "[b]", "running")
    (place / "toy" / "c").mkdir()
    made(place / "toy" / "d")
    (place / "toy" / "d" / "run.json").write_text("{")
    out = chromafill_runs(capsys)[1]
    row = next(line for line in out.splitlines() if "runs/toy/a" in line)
    assert "finished" in row and "23.4568" in row and "1a2b3c4d1 " in row
    assert "runs/toy/[b]" in out and "stale" in out and "damaged" in out
    assert out.splitlines()[-1] == "3 runs: 1 damaged, 1 finished, 1 stale"


def test_filters_folders_and_order_choose_what_is_listed(place, tmp_path, capsys):
    made(place / "x" / "a", scores={"val/psnr": 22.0}, started="2026-01-01")
    made(place / "x" / "b", scores={"val/psnr": 24.0}, started="2026-01-03", config={"model": {"width": 16}})
    made(place / "x" / "c", "failed", started="2026-01-02")
    made(tmp_path / "studies" / "s" / "runs" / "t", scores={"val/psnr": 23.0}, started="2026-01-04")
    everything = ["studies/s/runs/t", "runs/x/b", "runs/x/c", "runs/x/a"]  # newest first
    assert listed(capsys) == everything
    assert listed(capsys, "-r") == everything[::-1]
    assert listed(capsys, "runs") == everything[1:]
    assert listed(capsys, "status=finished", "--sort", "val/psnr", "-r") == ["runs/x/b", "studies/s/runs/t", "runs/x/a"]
    assert listed(capsys, "model.width=16") == ["runs/x/b"]
    assert listed(capsys, "data=synthetic", "val/psnr<24", "runs") == ["runs/x/a"]


def test_columns_are_chosen_and_csv_has_them_all(place, capsys):
    for number in range(60):
        made(place / f"{number:02d}", config={"seed": number}, scores={"val/psnr": number / 3})
    out = chromafill_runs(capsys, "--csv", "-c", "run,seed,val/psnr,model.width", "--sort", "seed")[1]
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 60 and rows[2] == {"run": "runs/02", "seed": "2", "val/psnr": str(2 / 3), "model.width": "8"}
    assert "60 runs: 60 finished (the first 50 are shown; -n 0 shows all)" in chromafill_runs(capsys)[1]
    assert "runs/59" in chromafill_runs(capsys, "-n", "0", "--sort", "seed")[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lits"], "'lits' is no folder, no filter such as status=finished, no list, diff, stale, delete"),
        (["val/psnt>3"], "no run has a 'val/psnt'; nearest: val/psnr"),
        (["--sort", "sede"], "no run has a 'sede'; nearest: seed"),
        (["-n", "-1"], "-n must be a number of rows, or 0 for all; got -1"),
        (["diff", "runs/a"], "runs diff compares two runs; got 1"),
        (["diff", "runs/a", "b"], "no run 'b'"),
        (["delete"], "runs delete needs folders of runs or filters"),
        (
            ["delete", "runs", "--yes"],
            "runs is not the folder of a run; a filter beside it chooses among the runs below",
        ),
        (["delete", "--yes"], "runs delete needs folders of runs or filters"),
    ],
)
def test_a_mistake_is_one_line(words, message, place, capsys):
    made(place / "a", scores={"val/psnr": 1.0})
    with pytest.raises(UserError, match="^[^\n]+$") as error:
        chromafill_runs(capsys, *words)
    assert message in str(error.value)


def test_without_any_run_the_table_is_empty(capsys):
    assert chromafill_runs(capsys, "status=finished")[1].endswith("0 runs: \n")


def test_diff_names_runs_by_path_or_by_how_their_path_ends(place, capsys):
    made(place / "x" / "a", scores={"val/psnr": 22.0})
    made(place / "x" / "b", config={"seed": 3}, scores={"val/psnr": 24.0})
    made(place / "y" / "b")
    out = json.loads(chromafill_runs(capsys, "diff", "a", "runs/x/b", "--json")[1])
    assert {"kind": "config", "key": "seed", "runs/x/a": 0, "runs/x/b": 3} in out
    table = chromafill_runs(capsys, "diff", "a", "x/b")[1]
    assert "val/psnr" in table and "22.0000" in table and "24.0000" in table and "model.width" not in table
    with pytest.raises(UserError, match="several runs end with 'b': runs/x/b, runs/y/b"):
        chromafill_runs(capsys, "diff", "a", "b")


def test_stale_says_what_is_wrong_with_each(place, capsys):
    made(place / "good", started="2026-01-02")
    made(place / "twin", started="2026-01-01")
    made(place / "other_seed", config={"seed": 1})
    made(place / "dead", "running")
    made(place / "dead_early", "running", checkpoint=False)
    made(place / "stopped", "interrupted")
    made(place / "broken", "failed", reason="no memory", checkpoint=False)
    made(place / "bare", config={"seed": 2}, checkpoint=False)
    made(place / "live", "running", process=this_process())
    found = json.loads(chromafill_runs(capsys, "stale", "--json")[1])
    assert {row["run"].removeprefix("runs/"): row["fault"] for row in found} == {
        "twin": "same settings and seed as runs/good, which is newer",
        "dead": "says running, but nothing runs there; goes on with resume=auto",
        "dead_early": "says running, but nothing runs there; without a checkpoint: starts anew",
        "stopped": "unfinished; goes on with resume=auto",
        "broken": "no memory; without a checkpoint: starts anew",
        "bare": "finished, but its checkpoints are gone",
    }
    assert chromafill_runs(capsys, "stale")[1].splitlines()[-1] == "6 of 9 runs"


def test_odd_values_in_run_json_are_shown_as_they_are(place, capsys):
    odd = {"started": 3, "commit": None, "seed": "x", "iteration": [1], "scores": {"val/psnr": "high", "val/x": None}}
    made(place / "odd", **odd)
    made(place / "other", **odd | {"commit": 7, "started": None})
    for words in ([], ["--csv"], ["--json"], ["stale"], ["commit=7", "seed=x"], ["diff", "odd", "other"]):
        assert chromafill_runs(capsys, *words)[0] == 0
    assert listed(capsys, "--sort", "val/psnr", "commit=7") == ["runs/other"]


def test_nothing_is_deleted_until_somebody_says_yes(place, capsys):
    made(place / "bad", "failed")
    made(place / "good")
    code, out = chromafill_runs(capsys, "delete", "status=failed")
    assert code == 0 and "nothing deleted; --yes deletes 1 runs, 0.0 MB for good" in out and "runs/bad" in out
    assert (place / "bad").is_dir()
    code, out = chromafill_runs(capsys, "delete", "status=failed", "--yes")
    assert code == 0 and "deleted 1 runs" in out
    assert not (place / "bad").exists() and (place / "good").is_dir()


def test_a_running_run_and_a_link_are_refused_and_the_exit_code_says_so(place, tmp_path, capsys):
    made(place / "live", "running", process=this_process())
    made(tmp_path / "elsewhere" / "run")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "run")
    code, out = chromafill_runs(capsys, "delete", "runs/live", "--yes")
    assert code == 1 and "still running" in out and (place / "live" / "run.json").exists()
    code, out = chromafill_runs(capsys, "delete", "link", "--yes")
    assert code == 1 and "a link, not a folder" in out and (tmp_path / "elsewhere" / "run" / "run.json").exists()


def test_a_finished_trial_of_a_study_is_deleted_only_with_trials(place, tmp_path, capsys):
    folder = made(tmp_path / "studies" / "alpha" / "runs" / "full-seed0")
    (tmp_path / "studies" / "alpha" / "study.json").write_text("{}")
    code, out = chromafill_runs(capsys, "delete", "status=finished", "--yes")
    assert code == 1 and "a trial of" in out and folder.is_dir()
    code, out = chromafill_runs(capsys, "delete", "status=finished", "--yes", "--trials")
    assert code == 0 and "deleted 1 runs" in out and not folder.exists()
