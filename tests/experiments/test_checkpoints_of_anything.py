"""Whatever plain content a checkpoint file has: the paper's module with its weights, or one line."""

from copy import deepcopy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.checkpoints import load_module
from experiments.compose import compose_config
from experiments.errors import UserError
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.pretrained.checkpoint import CheckpointError

RANDOM = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool)
DTYPES += (torch.complex64, torch.float8_e4m3fn)
tensors = st.builds(torch.zeros, st.lists(st.integers(0, 3), max_size=4), dtype=st.sampled_from(DTYPES))
spread = st.builds(lambda sides: torch.zeros(1).expand(sides), st.lists(st.integers(1, 10**5), min_size=1, max_size=2))
numbers = st.one_of(st.integers(), st.integers(-3, 300), st.floats())
leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), st.binary(max_size=5), tensors, spread)
plain = st.recursive(
    leaves,
    lambda inside: st.one_of(
        st.lists(inside, max_size=4),
        st.tuples(inside, inside),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inside, max_size=4),
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def whole():
    """The content of a checkpoint as training leaves it."""
    config = compose_config(["model=colorful", "data=synthetic", "model.width=2"])
    return {"state_dict": dict(Colorful(width=2).state_dict()), "config": config, "iteration": 1, "class_names": None}


def loads_or_says_why(content, path):
    torch.save(content, path)
    try:
        module, _ = load_module(path)
    except (UserError, CheckpointError) as error:
        assert str(error) and "\n" not in str(error)
        return
    assert type(module) is Colorful and all(value.device.type == "cpu" for value in module.state_dict().values())


@RANDOM
@given(content=plain)
def test_any_content_is_refused_in_one_line(content, tmp_path):
    torch.save(content, tmp_path / "any.ckpt")
    with pytest.raises((UserError, CheckpointError)) as error:
        load_module(tmp_path / "any.ckpt")
    assert "\n" not in str(error.value)


@RANDOM
@given(data=st.data(), value=plain)
def test_a_checkpoint_with_anything_in_one_place_is_loaded_or_refused_in_one_line(whole, data, value, tmp_path):
    content = whole | {"state_dict": dict(whole["state_dict"]), "config": deepcopy(whole["config"])}
    parts = {
        "content": content,
        "weights": content["state_dict"],
        "settings": content["config"]["model"],
        "config": content["config"],
    }
    part = parts[data.draw(st.sampled_from(sorted(parts)))]
    part[data.draw(st.sampled_from(sorted(part)))] = value
    loads_or_says_why(content, tmp_path / "any.ckpt")


@RANDOM
@given(
    settings=st.fixed_dictionaries(
        {},
        optional={key: st.one_of(numbers, plain) for key in ("width", "neighbours", "lr", "rebalance_lambda", "loss")},
    )
)
def test_a_checkpoint_with_any_settings_is_loaded_or_refused_in_one_line(whole, settings, tmp_path):
    model = whole["config"]["model"] | settings
    loads_or_says_why(whole | {"config": whole["config"] | {"model": model}}, tmp_path / "any.ckpt")
