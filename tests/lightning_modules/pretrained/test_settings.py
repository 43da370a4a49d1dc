import time
from functools import partial

import pytest
import torch
from torch import nn

from experiments.config_store import papers
from lightning_modules.color import ab_bins
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.colorization.deep_colorization import DeepColorization
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.settings import MOST_PARTS, model_settings, named_state, require_fit

MODEL = {"_target_": "lightning_modules.colorization.colorful.Colorful", "width": 2}
SMALL = {"width", "bottleneck", "parser_width"}  # settings that make a network small


@pytest.fixture
def path(tmp_path):
    """Of a file of 10 MB."""
    path = tmp_path / "a.ckpt"
    with path.open("wb") as file:
        file.truncate(10_000_000)
    return path


def test_the_settings_are_those_of_the_model():
    assert model_settings({"config": {"model": MODEL, "data": {}}}, "a.ckpt") is MODEL


@pytest.mark.parametrize(
    "config", [None, 3, [], {}, {"model": None}, {"model": []}, {"model": {}}, {"model": {"_target_": 3}}]
)
def test_settings_of_another_shape_are_refused(config):
    with pytest.raises(CheckpointError, match="a.ckpt holds no settings of a model: config.model with a _target_"):
        model_settings({"config": config}, "a.ckpt")


def nested(levels, copies):
    value = 1
    for _ in range(levels):
        value = [value] * copies
    return value


def in_itself():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [nested(14, 2), nested(29, 2), nested(1000, 2), nested(31, 1), nested(2, 10**4), [1] * 10**6, in_itself()]
)
def test_a_configuration_of_too_many_parts_is_refused_at_once(value):
    began = time.process_time()
    with pytest.raises(CheckpointError, match="a.ckpt holds a configuration of more than 10,000 parts or 30 levels"):
        model_settings({"config": {"model": MODEL | {"width": value}}}, "a.ckpt")
    assert time.process_time() - began < 0.5


def test_a_large_configuration_within_the_limits_is_taken():
    for value in (list(range(MOST_PARTS - 20)), {str(number): [number] for number in range(3000)}, nested(25, 1)):
        assert model_settings({"config": {"model": MODEL | {"layers": value}}}, "a.ckpt")["layers"] is value


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        "x",
        {1: torch.zeros(1)},
        {"a": 1},
    ],
)
def test_weights_without_names_or_numbers_are_refused(path, state):
    with pytest.raises(CheckpointError, match="a.ckpt holds no weights under names"):
        named_state({"state_dict": state}, path)


@pytest.mark.parametrize(
    "tensor",
    [torch.ones(2, dtype=torch.complex64), torch.zeros(3, device="meta"), torch.eye(3).to_sparse()],
)
def test_weights_that_are_no_plain_arrays_are_refused(path, tensor):
    with pytest.raises(CheckpointError, match="a.ckpt: 'a' is no plain array of real numbers but"):
        named_state({"state_dict": {"a": tensor}}, path)


def test_weights_are_no_more_than_their_file(path):
    state = {"a": torch.zeros(2_000_000), "b": torch.zeros(500_000)}  # as many bytes as the file
    assert named_state({"state_dict": state}, path) is state
    shared = torch.zeros(2_000_000)
    for more in ({"a": torch.zeros(1).expand(10**6, 10**6)}, {"a": shared, "b": shared}):
        with pytest.raises(CheckpointError, match="weights that stand for more numbers than it has bytes"):
            named_state({"state_dict": more}, path)


def checkpoint(module, **more):
    return {"state_dict": module.state_dict()} | more


@pytest.mark.parametrize("name", papers())
def test_every_paper_fits_its_own_weights_and_comes_out_as_without_the_question(name, path, monkeypatch):
    """Also where the question is the first to fill what is kept between calls, as the bins."""
    for kept in (ab_bins.gamut_nodes, ab_bins.shared_bins, ab_bins.candidates, ab_bins.lookup):
        kept.cache_clear()
    cls = papers()[name][1]
    make = partial(cls, **{key: 4 for key in SMALL & set(cls.Config.__dataclass_fields__)})
    state = make().state_dict()
    for kept in (ab_bins.gamut_nodes, ab_bins.shared_bins):
        kept.cache_clear()
    monkeypatch.setattr("os.path.getsize", lambda path: 10**9)
    require_fit(make, {"state_dict": state}, path)
    module = make()
    assert all(value.device.type == "cpu" for value in module.state_dict().values())
    fixed = [key for key, value in state.items() if not key.endswith(("weight", "bias"))]
    assert all(torch.equal(module.state_dict()[key], state[key]) for key in fixed)


@pytest.mark.parametrize("width", [256, 4096])
def test_a_small_file_makes_no_large_network(path, width):
    began = time.process_time()
    with pytest.raises(
        CheckpointError, match="a.ckpt does not hold the weights of Colorful: size mismatch for network"
    ):
        require_fit(partial(Colorful, width=width), checkpoint(Colorful(width=2)), path)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("setting", ["hidden_layers", "clusters"])
def test_a_small_file_makes_no_endless_network(path, setting):
    make = partial(DeepColorization, semantic="none", **{setting: 10**9})
    with pytest.raises(CheckpointError, match="a network of more than 1,016 weights does not fit 8 in the file"):
        require_fit(make, checkpoint(DeepColorization(semantic="none")), path)
    assert nn.Linear(10, 10).weight.device.type == "cpu"


def test_a_part_of_a_network_may_leave_out_some_but_not_nearly_all(path):
    whole = Colorful(width=2).state_dict()
    part = {key: value for key, value in whole.items() if "model8" not in key}
    require_fit(partial(Colorful, width=2), {"state_dict": part, "part": "an encoder"}, path)
    with pytest.raises(CheckpointError, match="does not hold the weights of Colorful: Missing key"):
        require_fit(partial(Colorful, width=2), {"state_dict": part}, path)
    first = {key: value for key, value in whole.items() if "model1" in key}
    with pytest.raises(CheckpointError, match="holds next to nothing of a Colorful of these settings"):
        require_fit(partial(Colorful, width=2), {"state_dict": first, "part": "an encoder"}, path)
