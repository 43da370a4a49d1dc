"""Another paper's network, from its checkpoint, as a source of features. No paper is named here: the checkpoint does.

B batch, H W image, D features.
"""

import importlib
from functools import partial

import torch

from lightning_modules.ops.layer_maps import layer_maps, layers_up_to, pooled
from lightning_modules.pretrained.checkpoint import CheckpointError, read_checkpoint
from lightning_modules.pretrained.settings import model_settings, require_fit
from lightning_modules.tasks import InpaintingModule, TaskModule

OF_TRAINING = ("init_from", "prior")  # settings that name files which only a training reads
HELD = ("parser",)  # settings that name files of fixed networks, which the checkpoint holds as well


def paper_of(settings):
    """The class that the `config["model"]` of a checkpoint names; CheckpointError where it is no paper of ours."""
    path, _, name = settings["_target_"].rpartition(".")
    found = None
    if path.startswith("lightning_modules."):
        try:
            found = vars(importlib.import_module(path)).get(name)
        except ModuleNotFoundError:
            pass
    if not (isinstance(found, type) and issubclass(found, TaskModule) and found.Config is not None):
        raise CheckpointError(f"there is no paper {settings['_target_']} here to take features from")
    return found


def build_encoder(settings, seed=0):
    """That paper's module with random weights of `seed`, frozen and in eval mode."""
    cls = paper_of(settings)
    values = {key: value for key, value in settings.items() if key != "_target_"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = cls(**values)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # the last two: of absurd sizes
            raise CheckpointError(f"its settings do not fit this version of {cls.__name__}: {error}") from None
    return module.requires_grad_(False).eval()


def trained_encoder(path, layers, batch):
    """(module with the weights of a checkpoint, its settings).

    The checkpoint may hold a part of the network, as a published encoder does, where `layers` need no more; `batch` is
    any to find that out with. CheckpointError or ValueError with one line where something does not fit.
    """
    checkpoint = read_checkpoint(path)
    settings = model_settings(checkpoint, path)
    require_fit(partial(build_encoder, settings), checkpoint, path)
    module = build_encoder(settings)
    missing = module.load_state_dict(checkpoint["state_dict"], strict="part" not in checkpoint).missing_keys
    if missing:
        require_loaded(module, missing, layers, batch, f"{path} holds {checkpoint['part']}")
    return module, settings


def require_loaded(module, missing, layers, batch, what):
    """CheckpointError where a layer needs weights that are `missing`."""
    lacking = {key.rpartition(".")[0] for key in missing}
    for layer in layers:
        needed = lacking.intersection(order_of_layers(module, layer, batch))
        if needed:
            raise CheckpointError(f"{what}; layer '{layer}' needs {min(needed)}, which is not in it")


def untrained_encoder(path, seed, batches):
    """(the module of a checkpoint as a training would begin with it, its settings): weights of `seed`, scaled on
    `batches` where the paper does so. What its training would have begun with from a file is random, too; networks that
    it does not train are those of the checkpoint."""
    checkpoint = read_checkpoint(path)
    settings = model_settings(checkpoint, path)
    require_fit(partial(build_encoder, settings), checkpoint, path)
    files = {key: None for key in OF_TRAINING} | {key: str(path) for key in HELD}
    module = build_encoder(settings | {key: file for key, file in files.items() if settings.get(key) is not None}, seed)
    module.seed = seed
    module.initialise(batches)
    return module.eval(), settings


def seen_by(encoder, batch):
    """The batch as `encoder.answer` takes it. An inpainter works where there is a hole: images without one get a hole
    of one pixel, in the middle. One with a fixed size of input sees the window of that size around it."""
    if not isinstance(encoder, InpaintingModule) or "mask" in batch:
        return batch
    mask = torch.zeros_like(batch["image"][:, :1])
    mask[..., mask.shape[2] // 2, mask.shape[3] // 2] = 1
    return batch | {"mask": mask}


def features(encoder, layers, batch, most):
    """{layer: (B,D)}: averages of what layers give while the encoder answers a batch, D at most `most` where the
    channels allow it. Colorizers see grey, in their own unit; inpainters RGB, with the batch's holes."""
    seen = seen_by(encoder, batch)
    return layer_maps(
        encoder,
        layers,
        run=lambda: encoder.answer(seen),
        rows=len(batch["image"]),
        reduce=lambda plane: pooled(plane, most),
    )


def order_of_layers(encoder, last, batch):
    """Names of the innermost layers in the order in which they run for an answer, up to the end of layer `last`."""
    seen = seen_by(encoder, batch)
    return layers_up_to(encoder, last, run=lambda: encoder.answer(seen), rows=len(batch["image"]))
