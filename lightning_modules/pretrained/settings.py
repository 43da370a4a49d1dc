"""What a checkpoint says about its model, which may have been written by anybody."""

import os
from itertools import chain, count, islice
from textwrap import shorten

import torch
from torch.nn.modules.module import register_module_parameter_registration_hook

from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.pth import require_plain

MOST_PARTS = 10_000  # of a configuration, which has hundreds: each as often as it is referred to
MOST_LEVELS = 30
SPARE = 1000  # parameters that a network may have more than its file, until the first missing one is named
MOST_LEFT_OUT = 10  # numbers of a network that a file of a part of it leaves out, for each that it has


def model_settings(checkpoint, path):
    """The settings of the model in the content of a checkpoint, `_target_` with the import path of its class among
    them; CheckpointError where it has none, or more than any model has. `path` names the file."""
    config = checkpoint["config"]
    model = config.get("model") if isinstance(config, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("_target_"), str):
        raise CheckpointError(f"{path} holds no settings of a model: config.model with a _target_ is expected")
    if not is_small(config):
        raise CheckpointError(f"{path} holds a configuration of more than {MOST_PARTS:,} parts or {MOST_LEVELS} levels")
    return model


def is_small(config):
    """Whether a nested configuration is within the limits. Lists that hold one list twice, and so on for thirty levels,
    are a file of some kilobytes and a billion parts."""
    level, found = [config], 0
    for _ in range(MOST_LEVELS):
        found += len(level)
        if found > MOST_PARTS:
            return False
        level = list(islice(chain.from_iterable(map(parts_of, level)), MOST_PARTS + 1))
    return not level


def parts_of(config):
    """What is right inside a dict, keys included, or a list."""
    if isinstance(config, dict):
        return chain(config, config.values())
    return config if isinstance(config, list | tuple | set | frozenset) else ()


def named_state(checkpoint, path):
    """The state of the model in the content of a checkpoint: a dict of plain arrays whose keys are str, no larger than
    its file. CheckpointError for others."""
    state = checkpoint["state_dict"]
    named = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not named or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds no weights under names")
    require_plain(state, path)
    if sum(value.numel() * value.element_size() for value in state.values()) > os.path.getsize(path):
        raise CheckpointError(f"{path} holds weights that stand for more numbers than it has bytes")
    return state


def require_fit(make, checkpoint, path):
    """CheckpointError unless the weights in the content of a checkpoint are those of the module that `make` gives.

    The module is made without its numbers, since the settings in a file of a few kilobytes may ask for gigabytes of
    them. A file of a part of a network may leave weights out, but not nearly all.
    """
    state = named_state(checkpoint, path)
    made, most = count(1), 2 * len(state) + SPARE  # they are counted when they are made and when they are assigned

    def stop(module, name, parameter):
        if next(made) > most:
            raise CheckpointError(f"a network of more than {most:,} weights does not fit {len(state)} in the file")

    hook = register_module_parameter_registration_hook(stop)
    try:
        with torch.device("meta"):
            module = make()
            missing = assigned(module, state, path, strict="part" not in checkpoint)
    finally:
        hook.remove()
    own = module.state_dict()
    if sum(own[key].numel() for key in missing) > MOST_LEFT_OUT * sum(value.numel() for value in state.values()):
        raise CheckpointError(f"{path} holds next to nothing of a {type(module).__name__} of these settings")


def assigned(module, state, path, strict):
    """Puts a state in place of a module's. -> names of what the state lacks; CheckpointError where that is refused."""
    try:
        return module.load_state_dict(state, strict=strict, assign=True).missing_keys
    except RuntimeError as error:
        mismatch = shorten(str(error).splitlines()[1], 200)
        raise CheckpointError(f"{path} does not hold the weights of {type(module).__name__}: {mismatch}") from None
