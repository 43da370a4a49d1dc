import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from run_folders import GONE, aged, made

from experiments import run_index
from experiments.errors import UserError
from experiments.processes import this_process
from experiments.run_index import default_folders, find, is_run, read_runs

ELSEWHERE = GONE | {"host": "another machine"}


@pytest.fixture
def opened():
    """Paths of all files that this process opens, whoever does it. Such a hook stays; it is made to look away."""
    paths, looking = [], [True]
    sys.addaudithook(lambda event, args: paths.append(str(args[0])) if looking and event == "open" else None)
    yield paths
    looking.clear()


def statuses(folder, **more):
    return {run.folder.name: run.status for run in read_runs([folder], **more)}


def test_runs_are_found_at_any_depth_but_not_through_links_or_inside_other_runs(tmp_path):
    made(tmp_path / "runs" / "a" / "1")
    made(tmp_path / "runs" / "deep" / "er" / "2")
    made(tmp_path / "runs" / "a" / "1" / "evaluation" / "not_one")
    made(tmp_path / "elsewhere" / "3")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "elsewhere")
    assert [Path(folder).name for folder in find([tmp_path / "runs"])] == ["1", "2"]
    assert is_run(tmp_path / "runs" / "a" / "1") and not is_run(tmp_path / "runs" / "a")


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no folder .*nowhere to look for runs in"):
        list(find([tmp_path / "nowhere"]))


def test_runs_and_the_runs_of_studies_are_looked_at_by_themselves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("runs/x/1", "studies/a/runs/t1", "studies/b/runs/t2", "other/y"):
        made(tmp_path / place)
    assert [str(folder) for folder in default_folders()] == ["runs", "studies/a/runs", "studies/b/runs"]


def test_a_run_is_running_only_while_its_process_lives_or_a_far_one_gives_signs(tmp_path):
    made(tmp_path / "here", "running", process=this_process(), old=10**6)
    made(tmp_path / "dead", "running", process=GONE)
    made(tmp_path / "far", "running", process=ELSEWHERE, old=3000)
    made(tmp_path / "far_and_quiet", "running", process=ELSEWHERE, old=4000)
    made(tmp_path / "done", "finished", process=GONE)
    expected = {"here": "running", "dead": "stale", "far": "running", "far_and_quiet": "stale", "done": "finished"}
    assert statuses(tmp_path) == expected
    assert statuses(tmp_path, quiet=2000)["far"] == "stale"
    (tmp_path / "far_and_quiet" / "metrics.csv").write_text("iteration\n1\n")
    assert statuses(tmp_path)["far_and_quiet"] == "running"


def test_a_record_from_before_processes_were_recorded_goes_by_its_signs_of_life(tmp_path):
    made(tmp_path / "old", "running", old=4000)
    record = json.loads((tmp_path / "old" / "run.json").read_text())
    del record["process"]
    (tmp_path / "old" / "run.json").write_text(json.dumps(record))
    assert statuses(tmp_path) == {"old": "running"}
    aged(tmp_path / "old", 4000)
    assert statuses(tmp_path) == {"old": "stale"}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"status": 3}', "\x00", "null", b"\xff\xfe", "[" * 10**5])
def test_a_damaged_run_json_is_listed_as_damaged(content, tmp_path):
    made(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    (run,) = read_runs([tmp_path])
    assert run.status == "damaged" and run.damage.startswith("run.json: ")


@pytest.mark.parametrize(
    "odd", [{"process": 3}, {"process": {}}, {"process": None}, {"scores": [1]}, {"versions": "2"}]
)
def test_a_run_json_of_another_shape_is_damaged(odd, tmp_path):
    made(tmp_path / "run", "running", **odd)
    (run,) = read_runs([tmp_path])
    assert run.status == "damaged" and run.damage.startswith(f"run.json: {next(iter(odd))}")


def test_a_run_that_never_began_is_empty(tmp_path):
    made(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    assert statuses(tmp_path) == {"run": "empty"}


@pytest.mark.parametrize("content", ["[", "- 1", "a: !!python/object:os.system {}"])
def test_a_damaged_config_says_nothing(content, tmp_path):
    made(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(content)
    assert read_runs([tmp_path], configs=True)[0].config == {}


def test_settings_have_dotted_keys_and_a_part_that_names_a_class_its_modules_name(tmp_path):
    made(tmp_path / "run")
    (run,) = read_runs([tmp_path], configs=True)
    assert (run.config["model.width"], run.config["model"], run.config["data"]) == (8, "colorful", "synthetic")
    assert "model._target_" not in run.config


def test_files_are_read_once_and_again_when_they_change(tmp_path, monkeypatch):
    made(tmp_path / "run", iteration=1)
    reads = []
    monkeypatch.setattr(run_index, "read_record", lambda path: reads.append(path) or json.loads(Path(path).read_text()))
    assert [read_runs([tmp_path])[0].record["iteration"] for _ in range(3)] == [1, 1, 1] and len(reads) == 1
    record = tmp_path / "run" / "run.json"
    record.write_text(record.read_text().replace('"iteration": 1', '"iteration": 2'))
    os.utime(record, (0, 1_000_000))
    assert [read_runs([tmp_path])[0].record["iteration"] for _ in range(2)] == [2, 2] and len(reads) == 2


def test_a_second_listing_opens_no_file_of_a_run_that_did_not_change(tmp_path, opened):
    for number in range(50):
        made(tmp_path / "runs" / str(number), config={"seed": number})
    first = read_runs([tmp_path / "runs"], configs=True)
    assert sum(path.startswith(str(tmp_path / "runs")) for path in opened) >= 100  # run.json and config.yaml of each
    opened.clear()
    assert read_runs([tmp_path / "runs"], configs=True) == first
    assert [path for path in opened if path.startswith(str(tmp_path / "runs"))] == []
    aged(tmp_path / "runs" / "7", 5)
    read_runs([tmp_path / "runs"], configs=True)
    assert {Path(path).name for path in opened if "/runs/7/" in path} == {"run.json", "config.yaml"}
    assert not any(path.startswith(str(tmp_path / "runs")) and "/runs/7/" not in path for path in opened)


def test_a_file_that_changed_just_now_is_not_remembered(tmp_path):
    made(tmp_path / "run", iteration=1, old=0)
    record = tmp_path / "run" / "run.json"
    stamp = record.stat()
    assert read_runs([tmp_path])[0].record["iteration"] == 1
    record.write_text(record.read_text().replace('"iteration": 1', '"iteration": 2'))
    os.utime(record, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert read_runs([tmp_path])[0].record["iteration"] == 2


@pytest.mark.parametrize("harm", ["damaged", "a folder in its place", "no place for it"])
def test_without_a_usable_cache_the_files_are_read(harm, tmp_path, monkeypatch):
    made(tmp_path / "runs" / "run")
    cache = tmp_path / "cache"
    monkeypatch.setenv("CHROMAFILL_CACHE", str(cache))
    if harm == "damaged":
        cache.mkdir()
        (cache / "runs.sqlite").write_bytes(b"no database" * 100)
    elif harm == "a folder in its place":
        (cache / "runs.sqlite").mkdir(parents=True)
    else:
        cache.write_text("")
    for _ in range(2):
        assert statuses(tmp_path / "runs") == {"run": "finished"}


def test_looking_at_runs_does_not_wait_for_torch():
    program = "import sys, experiments.verbs.runs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
