"""What a checkpoint says about its model, which may have been written by anybody."""

import torch

from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.pth import require_plain


def model_settings(checkpoint, path):
    """The settings of the model in the content of a checkpoint, `_target_` with the import path of its class among
    them; CheckpointError where it has none. `path` names the file."""
    config = checkpoint["config"]
    model = config.get("model") if isinstance(config, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("_target_"), str):
        raise CheckpointError(f"{path} holds no settings of a model: config.model with a _target_ is expected")
    return model


def named_state(checkpoint, path):
    """The state of the model in the content of a checkpoint: a dict whose keys are str and whose tensors are plain
    arrays. CheckpointError for others."""
    state = checkpoint["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise CheckpointError(f"{path} holds no weights under names")
    require_plain({key: value for key, value in state.items() if isinstance(value, torch.Tensor)}, path)
    return state
