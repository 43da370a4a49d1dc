import fcntl
import shutil

import pytest
from run_folders import made

from experiments.errors import UserError
from experiments.processes import this_process
from experiments.run_index import Run, read_runs
from experiments.run_removal import delete, planned


def plan(folder, **more):
    return planned(read_runs([folder])[0], **more)


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


def test_a_run_that_a_worker_holds_is_neither_planned_nor_deleted_before_its_record_says_running(tmp_path):
    folder = made(tmp_path / "run", "interrupted")
    with (folder / "train.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert plan(tmp_path).refused == "held by a worker of a study, whose training is about to go on"
        with pytest.raises(UserError, match="run is not deleted: a worker of a study has begun to train in it"):
            delete(folder)
    assert plan(tmp_path).refused is None
    delete(folder)
    assert not folder.exists()


def test_a_trial_of_a_study_goes_only_where_that_is_said(tmp_path, monkeypatch):
    made(tmp_path / "studies" / "alpha" / "runs" / "full-seed0")
    assert plan(tmp_path).refused is None  # a folder called runs is no study yet
    (tmp_path / "studies" / "alpha" / "study.json").write_text("{}")
    for place in (tmp_path, tmp_path / "studies" / "alpha" / "runs"):
        monkeypatch.chdir(place)
        assert plan(".").refused == "a trial of the study alpha, whose report needs it; --trials deletes it too"
    assert plan(tmp_path, trials=True).refused is None


def test_what_cannot_be_deleted_is_told_in_one_line_and_is_no_run_any_more(tmp_path, monkeypatch):
    def full(folder):
        raise OSError(39, "Directory not empty", str(folder))

    folder = made(tmp_path / "run")
    monkeypatch.setattr(shutil, "rmtree", full)
    with pytest.raises(UserError, match=r"run cannot be deleted, .*\.deleted-run-\w+ is left: Directory not empty"):
        delete(folder)
    assert len(list(tmp_path.iterdir())) == 1 and read_runs([tmp_path]) == []


@pytest.mark.parametrize(
    "name", ["evaluation", "wandb", "tensorboard", "train.log", "logs", "nonfinite_rank0.pt", "run.json.tmp"]
)
def test_what_runs_and_evaluations_write_belongs_to_a_run(name, tmp_path):
    (made(tmp_path / "run") / name).touch()
    assert plan(tmp_path).refused is None
