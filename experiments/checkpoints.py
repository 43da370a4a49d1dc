"""From a checkpoint file to the paper's module, ready for use."""

from functools import partial

from experiments.compose import build
from experiments.errors import UserError
from lightning_modules.base import PaperModule
from lightning_modules.pretrained.checkpoint import read_checkpoint
from lightning_modules.pretrained.settings import model_settings, require_fit


def task_of(module):
    """The folder of lightning_modules that a paper's file is in, such as 'inpainting'."""
    return type(module).__module__.split(".")[1]


def load_module(path, task=None):
    """(module in eval mode on the CPU, checkpoint). `task`: what `task_of` must give, where one is required."""
    checkpoint = read_checkpoint(path)
    make = partial(paper_of, model_settings(checkpoint, path), path, task)
    if "part" in checkpoint:
        raise UserError(f"{path} holds {checkpoint['part']}")
    require_fit(make, checkpoint, path)
    module = make()
    module.load_state_dict(checkpoint["state_dict"])
    module.class_names = checkpoint.get("class_names")
    return module.eval(), checkpoint


def paper_of(settings, path, task):
    """The module of the settings in a checkpoint, with random weights. UserError where it is none for the task."""
    module = build(settings, f"{path}: model")
    if not isinstance(module, PaperModule):
        raise UserError(f"{path} holds no model of a paper but a {type(module).__name__}")
    found = task_of(module)
    if task is not None and found != task:
        raise UserError(f"{path} holds a model for {found} ({type(module).__name__}); this verb needs one for {task}")
    return module
