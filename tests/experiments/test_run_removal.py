import pytest
from run_folders import made

from experiments.processes import this_process
from experiments.run_index import Run, read_runs
from experiments.run_removal import delete, planned


def plan(folder):
    return planned(read_runs([folder])[0])


def test_a_plan_counts_files_and_bytes_and_a_link_as_itself(tmp_path):
    folder = made(tmp_path / "runs" / "run")
    before = plan(tmp_path / "runs")
    (tmp_path / "large").write_bytes(b"x" * 10**6)
    (folder / "samples" / "link.png").symlink_to(tmp_path / "large")
    after = plan(tmp_path / "runs")
    assert before.refused is None and after.files == before.files + 1 == 5
    assert 1000 < before.size < after.size < 10_000


def test_a_run_is_deleted_with_the_links_in_it_and_not_with_what_they_lead_to(tmp_path):
    folder = made(tmp_path / "runs" / "run")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    (folder / "samples" / "elsewhere").symlink_to(tmp_path / "precious")
    delete(folder)
    assert list((tmp_path / "runs").iterdir()) == [] and (tmp_path / "precious" / "file").read_text() == "kept"


def test_a_link_a_running_run_and_a_folder_with_anything_else_in_it_are_refused(tmp_path):
    folder = made(tmp_path / "runs" / "run")
    (tmp_path / "link").symlink_to(folder)
    assert planned(Run(folder=tmp_path / "link", record={})).refused == "a link, not a folder"
    (tmp_path / "plain").mkdir()
    assert planned(Run(folder=tmp_path / "plain", record={})).refused == "not a run folder: it has no run.json"
    made(tmp_path / "live" / "run", "running", process=this_process())
    assert plan(tmp_path / "live").refused == "still running"
    (folder / "thesis.tex").write_text("")
    assert plan(tmp_path / "runs").refused == "holds thesis.tex, which no run wrote"


@pytest.mark.parametrize(
    "name", ["evaluation", "wandb", "tensorboard", "train.log", "logs", "nonfinite_rank0.pt", "run.json.tmp"]
)
def test_what_runs_and_evaluations_write_belongs_to_a_run(name, tmp_path):
    (made(tmp_path / "run") / name).touch()
    assert plan(tmp_path).refused is None
