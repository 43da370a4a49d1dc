import subprocess
import sys
from pathlib import Path

import pytest
import torch

from experiments.errors import UserError
from experiments.strategy import process_count


def trained(folder, paper, processes, statistics):
    """The weights of each rank after a few steps: [state dict of rank 0, ...]."""
    program = Path(__file__).with_name("ranks.py")
    command = [sys.executable, program, folder, paper, str(processes), statistics]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{processes}_rank{rank}.pt", weights_only=True) for rank in range(processes)]


@pytest.mark.parametrize("paper", ["colorful", "context_encoder"])
def test_ranks_keep_identical_weights_and_running_statistics(paper, tmp_path):
    first, second = trained(tmp_path, paper, 2, "own")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("paper", ["colorful", "context_encoder"])
def test_two_ranks_of_batch_2_take_the_steps_of_one_rank_of_batch_4(paper, tmp_path):
    """With batch norm's statistics frozen. In training each rank normalises by its own half of the batch, so that
    two ranks of 2 equal one of 4 only with trainer.sync_batchnorm, which PyTorch has on GPUs alone."""
    (two, _), (one,) = trained(tmp_path, paper, 2, "frozen"), trained(tmp_path, paper, 1, "frozen")
    moved = 0
    for key, value in one.items():
        assert torch.allclose(two[key].float(), value.float(), rtol=1e-4, atol=1e-5), key
        moved += value.numel()
    assert moved > 1000


def settings(**changes):
    return {"devices": "auto", "accelerator": "cpu", "num_nodes": 1} | changes


def test_processes_are_counted_from_numbers_lists_and_auto(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert process_count(settings()) == 1
    assert process_count(settings(devices=3)) == 3
    assert process_count(settings(devices=[0, 2])) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert process_count(settings()) == 4


def test_a_device_setting_that_is_no_count_is_refused(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    with pytest.raises(UserError, match="trainer.devices must be a count, a list of GPU numbers or auto; got two"):
        process_count(settings(devices="two"))
