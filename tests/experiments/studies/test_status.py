"""The table of a study's trials."""

import re
from io import StringIO

import optuna
from rich.console import Console

from experiments.studies import status as module
from experiments.studies.status import iteration, show_status
from experiments.studies.study import Study, TrialSpec

DEFINITION = {"kind": "ablation", "overrides": [], "objective": {"score": "val/psnr", "direction": "maximize"}}


def test_it_says_where_each_trial_stands(tmp_path, capsys):
    specs = [TrialSpec(name=name, overrides=[], attrs={}) for name in ("done", "broken", "later")]
    study = Study.create(tmp_path / "s", DEFINITION, specs=specs)
    study.finish(study.take({}), 21.25)
    study.fail(study.take({}), "no such file")
    study.run_dir("done").mkdir()
    (study.run_dir("done") / "metrics.csv").write_text("iteration,val/psnr\n1,\n20,21.25\n")
    show_status(study)
    lines = capsys.readouterr().out.splitlines()
    head = " ".join(" ".join(line for line in lines if "│" not in line and "┃" not in line).split())
    assert "1 finished, 1 failed, 1 waiting" in head
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert cells[0][:4] == ["done", "finished", "20", "21.25"]
    assert cells[1][1] == "failed" and cells[1][-1] == "no such file" and cells[2][:3] == ["later", "waiting", ""]


def test_an_iteration_is_read_from_the_last_whole_line(tmp_path):
    path = tmp_path / "metrics.csv"
    assert iteration(path) == ""
    path.write_text("iteration,a\n")
    assert iteration(path) == ""
    path.write_text("iteration,a\n" + "".join(f"{n},{'7' * 60}\n" for n in range(1, 3000)) + "3000,1")
    assert iteration(path) == "2999"


def test_in_a_terminal_it_is_live_until_nothing_waits_or_runs(tmp_path, monkeypatch):
    study = Study.create(tmp_path / "s", DEFINITION, specs=[TrialSpec(name="only", overrides=[], attrs={})])
    terminal = Console(file=StringIO(), force_terminal=True, width=160)
    monkeypatch.setattr(module, "Console", lambda: terminal)
    titles = []

    def look(seconds):
        """What is shown so far; between two looks the trial goes on."""
        assert seconds == module.EVERY
        titles.append(re.findall(r"\d (?:waiting|running|finished)", terminal.file.getvalue())[-1])
        if titles[-1] == "1 waiting":
            study.take({})
        else:
            study.finish(optuna.Trial(study.optuna, study.trials()[0]._trial_id), 21.25)

    monkeypatch.setattr(module.time, "sleep", look)
    show_status(study)
    assert titles == ["1 waiting", "1 running"]
    last = terminal.file.getvalue().rpartition("1 finished")[2]
    assert "21.25" in last and "only" in last
