import time

import pytest
import torch

from experiments.checkpoints import load_module
from experiments.compose import compose_config
from experiments.errors import UserError
from experiments.reliability.peak import peak_mib
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.pretrained.checkpoint import CheckpointError


@pytest.fixture
def checkpoint(tmp_path):
    config = compose_config(["model=colorful", "data=synthetic", "model.width=4"])
    module = Colorful(width=4)
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": module.state_dict(), "config": config, "iteration": 3, "class_names": ["sea"]}, path)
    return path, module


def test_a_checkpoint_gives_the_papers_module_with_its_weights(checkpoint):
    path, module = checkpoint
    loaded, content = load_module(path, "colorization")
    assert type(loaded) is Colorful and not loaded.training and content["iteration"] == 3
    assert loaded.class_names == ["sea"]
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in module.state_dict().items())


def test_a_checkpoint_of_another_task_is_refused(checkpoint):
    with pytest.raises(
        UserError, match="holds a model for colorization .Colorful.; this verb needs one for inpainting"
    ):
        load_module(checkpoint[0], "inpainting")


def test_weights_that_do_not_fit_their_configuration_are_one_line(checkpoint):
    path, _ = checkpoint
    content = torch.load(path, weights_only=True)
    content["config"]["model"]["width"] = 8
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="does not hold the weights of Colorful: size mismatch"):
        load_module(path)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("config", None, "holds no settings of a model"),
        ("config", {"model": {"_target_": "os.system", "command": "true"}}, "'os.system' is none of the project's"),
        ("config", {"model": {"_target_": "datamodules.synthetic.Synthetic"}}, "no model of a paper but a Synthetic"),
        ("state_dict", [1], "holds no weights under names"),
    ],
)
def test_a_strangers_checkpoint_runs_nothing_and_is_refused_in_one_line(checkpoint, part, value, message):
    path, _ = checkpoint
    content = torch.load(path, weights_only=True)
    torch.save(content | {part: value}, path)
    with pytest.raises((UserError, CheckpointError), match=message) as error:
        load_module(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("key", "value"), [("width", "x"), ("width", [1]), ("lr", {}), ("loss", 10**12), ("new", 1)])
def test_settings_of_another_type_than_the_papers_are_refused_in_one_line(checkpoint, key, value):
    path, _ = checkpoint
    content = torch.load(path, weights_only=True)
    content["config"]["model"][key] = value
    torch.save(content, path)
    with pytest.raises(UserError, match=f"model: .*{key}|model: .*Value") as error:
        load_module(path)
    assert "\n" not in str(error.value)


def nested(levels):
    value = 8
    for _ in range(levels):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    ("width", "message"),
    [
        (256, "does not hold the weights of Colorful: size mismatch"),
        (10**4, "does not hold the weights of Colorful: size mismatch"),
        (10**12, "model: "),
        (nested(14), "holds a configuration of more than 10,000 parts"),
        (nested(29), "holds a configuration of more than 10,000 parts"),
    ],
)
def test_a_small_file_that_asks_for_much_is_refused_in_little_time_and_memory(checkpoint, width, message):
    path, _ = checkpoint
    content = torch.load(path, weights_only=True)
    content["config"]["model"]["width"] = width
    torch.save(content, path)
    memory, began = peak_mib(), time.process_time()
    with pytest.raises((UserError, CheckpointError), match=message) as error:
        load_module(path)
    assert "\n" not in str(error.value)
    assert time.process_time() - began < 2 and peak_mib() - memory < 100


def test_what_the_file_does_not_decide_is_made_as_without_it(checkpoint):
    path, module = checkpoint
    loaded, _ = load_module(path)
    assert {name for name, _ in loaded.named_buffers()} == {name for name, _ in module.named_buffers()}
    assert all(value.device.type == "cpu" for value in (*loaded.parameters(), *loaded.buffers()))
    assert loaded.network.model1[0].weight.dtype == torch.float32 and not loaded.network.model_out.weight.requires_grad
