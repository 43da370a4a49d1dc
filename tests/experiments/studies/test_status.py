"""The table of a study's trials."""

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
