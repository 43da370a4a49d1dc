import pytest
import torch

from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.settings import model_settings, named_state

MODEL = {"_target_": "lightning_modules.colorization.colorful.Colorful", "width": 2}


def test_the_settings_are_those_of_the_model():
    assert model_settings({"config": {"model": MODEL, "data": {}}}, "a.ckpt") is MODEL


@pytest.mark.parametrize(
    "config", [None, 3, [], {}, {"model": None}, {"model": []}, {"model": {}}, {"model": {"_target_": 3}}]
)
def test_settings_of_another_shape_are_refused(config):
    with pytest.raises(CheckpointError, match="a.ckpt holds no settings of a model: config.model with a _target_"):
        model_settings({"config": config}, "a.ckpt")


@pytest.mark.parametrize("state", [None, [], "x", {1: None}])
def test_weights_without_names_are_refused(state):
    with pytest.raises(CheckpointError, match="a.ckpt holds no weights under names"):
        named_state({"state_dict": state}, "a.ckpt")
    assert named_state({"state_dict": {"a": 1}}, "a.ckpt") == {"a": 1}


def test_weights_that_are_no_plain_arrays_are_refused():
    with pytest.raises(CheckpointError, match="a.ckpt: 'a' is no plain array of real numbers but complex64"):
        named_state({"state_dict": {"a": torch.ones(2, dtype=torch.complex64)}}, "a.ckpt")
