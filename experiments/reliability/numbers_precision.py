"""What a training's losses are in 16 bits beside those in 32, and whether two runs of it are the same."""

from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins import MixedPrecision

from experiments.compose import compose_config
from experiments.reliability.numbers_planted import fit
from experiments.reliability.small_runs import small
from lightning_modules.pretrained.checkpoint import read_checkpoint


class Losses(pl.Callback):
    """Records {name of a total: [value in each iteration that has it]}. `frozen`: no weight moves, so that rounding
    cannot add up over the iterations."""

    def __init__(self, frozen):
        self.frozen, self.totals = frozen, {}

    def on_fit_start(self, trainer, module):
        if self.frozen:
            module.lr_factor = lambda iteration: 0.0

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        for name in [name for name in module.terms if name.endswith("/total")]:
            self.totals.setdefault(name, []).append(module.terms.pop(name).item())


class Float16(pl.Callback):
    """Trains in float16 with a loss scale on a CPU, where Lightning itself takes bfloat16 instead."""

    def setup(self, trainer, module, stage):
        scaler = torch.amp.GradScaler("cpu")
        trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler)


def losses(paper, iterations, folder, precision="32-true", frozen=False):
    """{name of a total: (N,) float64} of a small run. precision: also 16-mixed."""
    lengths = [f"{key}={iterations}" for key in ("iterations", "validate_every", "checkpoint_every")]
    in_float16 = precision == "16-mixed"
    chosen = f"trainer.precision={'32-true' if in_float16 else precision}"
    recorded = Losses(frozen)
    config = compose_config([*small(paper), *lengths, chosen, f"run_dir={folder}"])
    fit(config, recorded, *([Float16()] if in_float16 else []))
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in recorded.totals.items()}


def rounding(paper, precision, iterations, folder):
    """The largest relative difference of a loss from that in float32 of the same weights and batch."""
    exact, rounded = (losses(paper, iterations, folder / name, name, frozen=True) for name in ("32-true", precision))
    return max(((rounded[name] - value).abs() / value.abs()).max().item() for name, value in exact.items())


def drift(paper, precision, iterations, folder):
    """The largest relative difference of a loss, the mean of a training's second half, from that in float32."""
    exact, rounded = (losses(paper, iterations, folder / name, name) for name in ("32-true", precision))
    return max(abs(second_half(rounded[name]) / second_half(value) - 1).item() for name, value in exact.items())


def second_half(values):
    return values[len(values) // 2 :].mean()


def differing(paper, deterministic, folder):
    """The tensors in which the last checkpoints of two equal small runs differ by a bit: [key]."""
    states = []
    for number in range(2):
        overrides = [f"trainer.deterministic={deterministic}", f"run_dir={folder / str(number)}"]
        fit(compose_config([*small(paper), *overrides]))
        states.append(read_checkpoint(Path(folder, str(number), "checkpoints", "last.ckpt"))["state_dict"])
    torch.use_deterministic_algorithms(False)  # Lightning leaves it as the last run had it
    return [key for key, value in states[0].items() if not torch.equal(value, states[1][key])]
