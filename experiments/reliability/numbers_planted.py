"""inf and NaN put into a training, to see that it ends before they reach a weight, says where they are, and leaves the
batch on disk."""

from pathlib import Path

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from datamodules.base import draws_of
from experiments.compose import build, compose_config
from experiments.reliability.small_runs import small
from experiments.verbs.train import build_both, make_trainer
from lightning_modules.base import NonFiniteError
from lightning_modules.pretrained.checkpoint import newest_valid

PLACES = ("weight", "batch", "gradient")
AT = 5  # iteration; in the small GLCIC the first in which both networks learn


class Plant(pl.Callback):
    """Puts `value` into a place in front of iteration `at`: the first weight of an optimiser, by its number, the first
    image of the batch, or the gradient of that weight while the step is computed."""

    def __init__(self, place, value, number, at=AT):
        self.place, self.value, self.number, self.at = place, value, number, at

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if module.iteration + 1 != self.at:
            return
        weights = weights_of(trainer.optimizers[self.number])
        if self.place == "weight":
            weights[0].data.view(-1)[0] = self.value
        elif self.place == "batch":
            batch["image"][0] = self.value
        else:
            weights[0].register_hook(lambda gradient: gradient * self.value)
        self.before = bits(weights)

    def on_exception(self, trainer, module, exception):
        self.unmoved = torch.equal(bits(weights_of(trainer.optimizers[self.number])), self.before)


def optimizers_of(paper):
    """The names of a paper's optimisers, in their order."""
    module = build(compose_config(small(paper))["model"], "model")
    return "g" if getattr(module, "discriminator", None) is None else "gd"


def weights_of(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def bits(weights):
    """Their bits, by which a NaN equals itself."""
    return torch.cat([weight.detach().flatten().view(torch.int32) for weight in weights])


def planted(paper, place, value, number, folder):
    """What went wrong where `value` was planted into a small run of the paper; None where all went as promised."""
    config = compose_config([*small(paper), f"run_dir={folder}"])
    plant = Plant(place, value, number)
    message = failure(fit, config, plant)
    name = optimizers_of(paper)[number]
    expected = {"weight": "weight ", "batch": "train/", "gradient": f"the gradient of train/{name}/total in "}[place]
    if message is None:
        return "the run went on"
    if not message.startswith(f"iteration {AT}: ") or expected not in message:
        return f"it said: {message}"
    if not plant.unmoved:
        return "a weight moved"
    if not sound(newest_valid(folder / "checkpoints")[1]):
        return "there is no sound checkpoint to go on from"
    left = folder / "nonfinite_rank0.pt"
    if not left.is_file():
        return "the batch was not left on disk"
    again = failure(replay, config, left, [plant] if place == "gradient" else [])
    if again is None or again.split("; ")[0] not in message:
        return f"replayed, it said: {again}"
    return None


def sound(checkpoint):
    """Whether there is content of a checkpoint, and all its weights are finite."""
    return checkpoint is not None and all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def fit(config, *callbacks):
    """One training as `chromafill train` has it, in this process, with more callbacks in front of its own."""
    folder = Path(config["run_dir"])
    for part in ("checkpoints", "samples"):
        (folder / part).mkdir(parents=True)
    data, module = build_both(config)
    trainer = make_trainer(config, folder, data, module, None)
    trainer.callbacks[:0] = callbacks
    trainer.fit(module, data)


def failure(work, *arguments):
    """The message of the NonFiniteError that a call ends with, or None."""
    try:
        work(*arguments)
    except NonFiniteError as error:
        return str(error)
    return None


def replay(config, path, callbacks=()):
    """The one step that nonfinite_rank0.pt holds once more: its weights, its batch and its random numbers."""
    content = torch.load(path, weights_only=True)
    content["draws"] = draws_of(content, config["seed"])
    module = build(config["model"], "model")
    module.load_state_dict(content.pop("state_dict"))
    module.seed, module.iteration = config["seed"], content.pop("iteration") - 1
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    trainer.fit(module, DataLoader([content], batch_size=None))
