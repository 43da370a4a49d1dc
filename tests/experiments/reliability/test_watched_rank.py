from types import SimpleNamespace

import pytest
import torch
from torch import nn

from datamodules.base import ImageDataset
from experiments.reliability.watched_rank import Planted, before_each_step


def module(**places):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.BatchNorm2d(1, track_running_stats=False))
    for name, value in ({"iteration": 0, "global_rank": 0} | places).items():
        setattr(network, name, value)
    return network


def counted(network):
    """A step, as PaperModule counts them."""
    return lambda: setattr(network, "iteration", network.iteration + 1)


def test_the_first_rank_leaves_the_state_before_the_first_step(tmp_path):
    for rank, there in ((1, False), (0, True)):
        network = module(global_rank=rank)
        before_each_step(network, counted(network), weights=str(tmp_path))
        assert (tmp_path / "before.pt").exists() == there
    (tmp_path / "before.pt").unlink()
    before_each_step(network, counted(network), weights=str(tmp_path))
    assert not (tmp_path / "before.pt").exists()


def test_frozen_norms_use_their_running_statistics_and_those_without_any_are_left_alone():
    network = module()
    before_each_step(network, counted(network), frozen=True)
    assert [layer.training for layer in network] == [True, False, True]


@pytest.mark.parametrize("rank, iteration", [(0, 2), (1, 3)])
def test_a_fault_strikes_its_rank_at_its_iteration_alone(tmp_path, rank, iteration):
    mark = tmp_path / "mark"
    network = module(global_rank=1, iteration=1)
    before_each_step(network, counted(network), fault=["raise", rank, iteration, str(mark)])
    assert not mark.exists()
    with pytest.raises(Planted, match=r"planted by a test of faults \(raise\)"):
        before_each_step(network, counted(network), fault=["raise", 1, 3, str(mark)])
    assert mark.exists()


def test_a_fault_of_the_data_strikes_at_the_next_image(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageDataset, "__getitem__", ImageDataset.__getitem__)
    network = module()
    before_each_step(network, counted(network), fault=["data", 0, 1, str(tmp_path / "mark")])
    config = SimpleNamespace(limit=None)
    with pytest.raises(Planted, match="data"):
        ImageDataset(torch.zeros(3), config, seed=0, train=True)[0, 0]
