"""Weights shared out between two processes over gloo. Statistics of batch norm are frozen, as in test_strategy.py."""

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from trained_ranks import trained

from experiments import sharded
from experiments.errors import UserError
from experiments.sharded import Sharded, strategy_for, trained_networks
from experiments.strategy import AveragedGradients


def leaves(state, place=()):
    """{place: tensor or value} of nested containers."""
    if isinstance(state, dict | list):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        return {k: v for key, value in items for k, v in leaves(value, (*place, key)).items()}
    return {place: state}


def shapes(checkpoint):
    found = leaves({key: checkpoint[key] for key in ("state_dict", "optimizer_states")})
    return {place: getattr(value, "shape", value) for place, value in found.items()}


def assert_close(state, expected):
    for key, value in expected.items():
        assert torch.allclose(state[key].float(), value.float(), rtol=1e-4, atol=1e-5), key


@pytest.mark.parametrize("paper", ["colorful", "context_encoder"])
def test_two_ranks_with_half_of_each_weight_take_the_steps_of_one_and_leave_its_checkpoint(paper, tmp_path):
    (one,) = trained(tmp_path, paper, 1, "frozen", accumulate=2)
    first, second = trained(tmp_path, paper, 2, "frozen", accumulate=2, strategy="sharded")
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert_close(first, one)
    ours, plain = (torch.load(tmp_path / f"{count}.ckpt", weights_only=True) for count in (2, 1))
    assert shapes(ours) == shapes(plain) and ours.keys() == plain.keys()


def test_a_run_goes_on_with_shared_weights_or_without(tmp_path):
    (one,) = trained(tmp_path, "context_encoder", 1, "frozen")
    first, _ = trained(tmp_path, "context_encoder", 2, "frozen", strategy="sharded", resume=tmp_path / "1.ckpt")
    (alone,) = trained(tmp_path, "context_encoder", 1, "frozen", resume=tmp_path / "1.ckpt")
    assert_close(first, alone)
    assert any((alone[key] != one[key]).any() for key in one)
    (after,) = trained(tmp_path, "context_encoder", 1, "frozen", resume=tmp_path / "2.ckpt")
    assert torch.load(tmp_path / "1.ckpt", weights_only=True)["iteration"] == 9
    assert any((after[key] != first[key]).any() for key in first)


def test_networks_in_lists_and_in_papers_are_shared_out_one_by_one_and_frozen_ones_are_not():
    class Paper(LightningModule):
        def __init__(self):
            super().__init__()
            self.network = nn.Linear(1, 1)

    module = Paper()
    module.list, module.encoder = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)]), Paper()
    module.judge = nn.Linear(1, 1).requires_grad_(False)
    expected = [module.network, module.list[0], module.list[1], module.encoder.network]
    assert [id(network) for network in trained_networks(module)] == [id(network) for network in expected]


def config(strategy, devices=2, **changes):
    trainer = {"devices": devices, "accelerator": "cpu", "num_nodes": 1, "precision": "32-true", "strategy": strategy}
    return {"ema_decay": None, "trainer": trainer | changes.pop("trainer", {})} | changes


def test_weights_are_shared_out_where_the_user_asks_and_averaged_elsewhere(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(sharded, "end_with_first_process", lambda: None)
    assert strategy_for(config("auto", devices=1)) == "auto"
    assert type(strategy_for(config("auto"))) is AveragedGradients
    assert type(strategy_for(config("fsdp"))) is Sharded


@pytest.mark.parametrize(
    "settings, message",
    [
        (config("fsdp", devices=1), "trainer.strategy=fsdp shares weights out among processes; give trainer.devices=2"),
        (config("fsdp", ema_decay=0.9), "trainer.strategy=fsdp keeps no average of the weights; give ema_decay=null"),
        (config("fsdp", trainer={"precision": "16-mixed"}), "no loss scale of its own; give trainer.precision=bf16"),
        (config("fdsp"), "trainer.strategy must be auto or fsdp; got fdsp"),
    ],
)
def test_what_cannot_be_shared_out_is_one_line(settings, message, monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    with pytest.raises(UserError, match=message):
        strategy_for(settings)
