"""From a checkpoint file to the paper's module, ready for use."""

from experiments.compose import build
from experiments.errors import UserError
from lightning_modules.pretrained.checkpoint import read_checkpoint


def load_module(path, task=None):
    """(module in eval mode on the CPU, checkpoint). `task`: 'colorization' or 'inpainting', where one is required."""
    checkpoint = read_checkpoint(path)
    module = build(checkpoint["config"]["model"], f"{path}: model")
    found = type(module).__module__.split(".")[1]
    if task is not None and found != task:
        raise UserError(f"{path} holds a model for {found} ({type(module).__name__}); this verb needs one for {task}")
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        mismatch = str(error).splitlines()[1].strip()
        raise UserError(f"{path} does not hold the weights of {type(module).__name__}: {mismatch}") from None
    return module.eval(), checkpoint
