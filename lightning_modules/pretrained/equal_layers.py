"""Starting a network from the layers of another one that are alike."""

import logging
from pathlib import Path
from textwrap import shorten

from lightning.pytorch.utilities import rank_zero_only

from lightning_modules.pretrained.pth import plain_content, state

log = logging.getLogger(__name__)


def load_equal_layers_(network, path):
    """Copies tensors of equal name and shape from a checkpoint of the paper or a .pth. -> keys left as they were.

    Names may begin with `network.` in the file or here alone. ValueError where no trained weight is among them:
    counters and constants are alike in networks of any width.
    """
    if not Path(path).is_file():
        raise ValueError(f"model.init_from: no file at {path}; it must be a checkpoint or a .pth of this network")
    own = network.state_dict()
    equal, beyond = {}, []
    for key, value in state(plain_content(path), path).items():
        names = [name for name in (key, key.removeprefix("network."), f"network.{key}") if name in own]
        if names and own[names[0]].shape == value.shape:
            equal[names[0]] = value
        else:
            beyond.append(key)
    trained = {name for name, p in network.named_parameters() if p.requires_grad and p.dim() > 1}
    if not trained & equal.keys():
        raise ValueError(f"model.init_from: no layer of {path} has the name and shape of one here; compare model.width")
    network.load_state_dict(equal, strict=False)
    left = [key for key in own if key not in equal]
    report(path, len(equal), left, beyond)
    return set(left)


@rank_zero_only
def report(path, taken, left, beyond):
    """Logs how much of a file was taken, what here stays as it was, and what of the file is not used."""
    parts = [f"{taken} tensors taken from {path}"]
    for what, keys in (("left here", left), ("unused there", beyond)):
        if keys:
            parts.append(f"{len(keys)} {what} ({shorten(', '.join(keys), 100, placeholder=' ...')})")
    log.info("model.init_from: %s", "; ".join(parts))
