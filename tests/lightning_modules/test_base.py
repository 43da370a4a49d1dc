"""The bookkeeping of PaperModule on a network small enough to follow by hand."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from toys import one_step_each

from lightning_modules.base import NonFiniteError, PaperModule


@dataclass(kw_only=True)
class LineConfig:
    lr: float = 0.5


class Line(PaperModule):
    """Minimises w * mean(image) by plain gradient descent: the gradient of w is the mean of the batch."""

    Config = LineConfig

    def __init__(self, **overrides):
        super().__init__(LineConfig(**overrides))
        self.weight = nn.Parameter(torch.tensor(1.0))
        self.factors = None
        self.noise = []

    def lr_factor(self, iteration):
        return self.factors[iteration - 1] if self.factors else 1.0

    def training_step(self, batch, batch_idx):
        self.noise.append(torch.rand(()).item())
        loss = self.weight * batch["image"].mean()
        self.update("g", self.optimizers(), loss, mean=batch["image"].mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.cfg.lr)


def fit(module, values):
    """One training step for each value; a batch holds two images filled with it."""
    batches = [{"image": torch.full((2, 3, 4, 4), value)} for value in values]
    one_step_each(module, batches)
    return module


def test_a_step_moves_the_weight_by_lr_times_the_gradient_and_counts_from_one():
    module = fit(Line(), [1.0, 3.0])
    assert module.weight.item() == pytest.approx(1 - 0.5 * 1 - 0.5 * 3)
    assert (module.iteration, module.samples_seen) == (2, 4)
    assert module.terms["train/g/mean"].item() == 3.0
    assert module.terms["train/g/total"].item() == pytest.approx(3.0 * 0.5)


def test_accumulation_steps_every_so_many_iterations_with_the_mean_gradient():
    module = Line()
    module.accumulate = 2
    assert fit(module, [1.0, 3.0, 8.0]).weight.item() == pytest.approx(1 - 0.5 * 2)


def test_clipping_limits_the_gradients_norm():
    module = Line()
    module.clip_norm = 0.1
    assert fit(module, [4.0]).weight.item() == pytest.approx(1 - 0.5 * 0.1)


def test_the_schedule_multiplies_the_learning_rate_of_each_iteration():
    module = Line()
    module.factors = [1.0, 0.0, 2.0]
    assert fit(module, [1.0, 1.0, 1.0]).weight.item() == pytest.approx(1 - 0.5 - 0 - 1.0)


def test_what_a_network_draws_depends_on_seed_and_iteration_alone():
    first, again, other = Line(), Line(), Line()
    other.seed = 1
    torch.manual_seed(123)
    fit(first, [1.0, 1.0])
    fit(again, [1.0, 1.0])
    fit(other, [1.0, 1.0])
    assert first.noise == again.noise != other.noise
    assert first.noise[0] != first.noise[1]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_loss_that_is_not_finite_stops_before_the_weight_moves_and_names_the_term(value):
    module = Line()
    with pytest.raises(NonFiniteError, match="iteration 2: train/g/mean, train/g/total is not finite"):
        fit(module, [1.0, value])
    assert module.weight.item() == 0.5


def test_a_gradient_that_is_not_finite_stops_before_the_weight_moves():
    module = Line()
    module.weight.register_hook(lambda grad: grad / 0)
    with pytest.raises(NonFiniteError, match="the gradient of train/g/total is not finite; no weight was changed"):
        fit(module, [1.0])
    assert module.weight.item() == 1.0


def test_counters_travel_with_the_checkpoint():
    module, checkpoint = fit(Line(), [1.0, 1.0]), {}
    module.on_save_checkpoint(checkpoint)
    other = Line()
    other.on_load_checkpoint(checkpoint)
    assert (other.iteration, other.samples_seen) == (2, 4)
