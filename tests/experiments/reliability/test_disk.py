import shutil
import time

import pytest

from experiments.reliability import disk
from experiments.reliability.disk import (
    SETTINGS,
    cost,
    damaged,
    flip,
    flipped_bits,
    full_disks,
    largest_file,
    read_only,
    why_not_continued,
    why_not_refused,
)
from experiments.reliability.killed_training import run
from lightning_modules.pretrained.checkpoint import read_checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a whole run in it."""
    folder = tmp_path_factory.mktemp("disk")
    assert run(SETTINGS, folder / "whole") == 0
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_run_that_reaches_the_largest_file_goes_on_later(folder):
    finding = largest_file(folder)
    assert (finding.tried, finding.held) == (1, 1), finding.note


def test_a_full_disk_ends_a_run_in_one_line_and_loses_nothing(folder, monkeypatch):
    monkeypatch.setattr(disk, "SIZES", (1_000_000,))
    finding = full_disks(folder)
    assert finding.held == finding.tried and ("1 of them" in finding.note or "can be made here" in finding.note)


def test_flipped_bits_are_refused_or_harmless(folder):
    finding = flipped_bits(folder, flips=20)
    assert (finding.tried, finding.held) == (20, 20), finding.note


def test_flips_count_as_not_held_where_they_are_loaded(folder, monkeypatch):
    def unchecked(path):
        return disk.torch.load(path, map_location="cpu", weights_only=True)

    monkeypatch.setattr(disk, "read_checkpoint", unchecked)
    monkeypatch.setattr(disk, "CheckpointError", Exception)
    assert flipped_bits(folder, flips=20).held < 20


def test_a_traceback_a_file_left_and_a_damaged_checkpoint_are_told(folder):
    run_folder, output = folder / "whole", folder / "whole.output.txt"
    output.write_text("chromafill train: no room\n")
    assert why_not_refused(2, run_folder) is None
    assert why_not_refused(1, run_folder).startswith("exit code 1")
    (run_folder / "run.json.tmp").touch()
    assert why_not_refused(2, run_folder) == "left lying: ['run.json.tmp']"
    (run_folder / "run.json.tmp").unlink()
    flip(run_folder / "checkpoints" / "last.ckpt")
    assert "last.ckpt is not a readable checkpoint" in why_not_refused(2, run_folder)
    output.write_text("Traceback (most recent call last):\n")
    assert "Traceback" in why_not_refused(2, run_folder)


def test_a_run_that_does_not_go_on_or_ends_otherwise_is_told(folder):
    assert why_not_continued(folder / "whole", folder / "whole").startswith("exit code 2 when it went on")
    shutil.copytree(folder / "whole", folder / "other")
    (folder / "other" / "metrics.csv").unlink()
    flip(folder / "other" / "checkpoints" / "last.ckpt")  # so that it has something to do
    assert "metrics.csv" in why_not_continued(folder / "whole", folder / "other")


def test_the_cost_is_measured(tmp_path):
    finding = cost(tmp_path, size=4_000_000)
    assert "CRC-32 alone" in finding.note and finding.held == 1 and not list(tmp_path.iterdir())


def test_a_slow_check_and_another_content_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "damaged_part", lambda path: time.sleep(1))
    assert cost(tmp_path, size=40_000).held == 0
    monkeypatch.setattr(disk, "damaged_part", lambda path: None)
    assert cost(tmp_path, size=40_000).held == 1
    monkeypatch.setattr(disk, "read_checkpoint", lambda path: read_checkpoint(path) | {"iteration": 2})
    assert cost(tmp_path, size=40_000).held == 0


@pytest.mark.slow
@pytest.mark.parametrize("section", [full_disks, read_only, damaged])
def test_disk_faults_lose_nothing(section, folder):
    finding = section(folder)
    assert finding.held == finding.tried, finding
