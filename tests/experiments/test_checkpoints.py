import pytest
import torch

from experiments.checkpoints import load_module
from experiments.compose import compose_config
from experiments.errors import UserError
from lightning_modules.colorization.colorful import Colorful


@pytest.fixture
def checkpoint(tmp_path):
    config = compose_config(["model=colorful", "data=synthetic", "model.width=4"])
    module = Colorful(width=4)
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": module.state_dict(), "config": config, "iteration": 3}, path)
    return path, module


def test_a_checkpoint_gives_the_papers_module_with_its_weights(checkpoint):
    path, module = checkpoint
    loaded, content = load_module(path, "colorization")
    assert type(loaded) is Colorful and not loaded.training and content["iteration"] == 3
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
    with pytest.raises(UserError, match="does not hold the weights of Colorful: size mismatch"):
        load_module(path)
