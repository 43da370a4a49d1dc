"""The bookkeeping of PaperModule on a network small enough to follow by hand."""

from dataclasses import dataclass

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
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
    with pytest.raises(
        NonFiniteError, match="the gradient of train/g/total in weight is not finite; this step of 'g' was not taken"
    ):
        fit(module, [1.0])
    assert module.weight.item() == 1.0


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_weight_that_is_not_finite_stops_the_run_even_where_loss_and_gradient_are(value):
    class Absorbed(Line):
        def __init__(self):
            super().__init__()
            self.gate = nn.Parameter(torch.tensor(value))

        def training_step(self, batch, batch_idx):
            open_ = torch.nan_to_num(torch.sigmoid(self.gate), nan=1.0)
            self.update("g", self.optimizers(), open_ * self.weight * batch["image"].mean())

    module = Absorbed()
    with pytest.raises(NonFiniteError, match="iteration 1: weight gate is not finite"):
        fit(module, [1.0])
    assert module.weight.item() == 1.0


def test_between_the_steps_of_an_accumulation_a_bad_loss_is_found_at_once():
    module = Line()
    module.accumulate = 4
    with pytest.raises(NonFiniteError, match="iteration 2: train/g/mean, train/g/total is not finite"):
        fit(module, [1.0, float("nan"), 1.0, 1.0])


def test_a_process_whose_own_loss_is_sound_says_that_it_is_another_ones():
    module = Line()
    module.iteration, module.terms = 3, {"train/g/total": torch.tensor(1.0)}
    with pytest.raises(NonFiniteError, match="iteration 3: train/g/total of another process is not finite"):
        module.require_finite("g", torch.tensor(float("nan")))


def test_of_many_bad_weights_three_are_named():
    module = Line()
    module.more = nn.ParameterList(torch.tensor([float("nan")]) for _ in range(5))
    with pytest.raises(NonFiniteError, match="weight more.0, weight more.1, weight more.2, and 2 more is not finite"):
        module.require_finite("g", torch.tensor(float("nan")))


def test_a_gradient_whose_norm_alone_overflows_is_called_that():
    module = Line()
    with pytest.raises(NonFiniteError, match="the norm of the gradient of train/g/total is not finite"):
        module.require_finite("g", torch.tensor(1.0), torch.tensor(float("inf")))


def test_no_checkpoint_is_written_of_weights_that_are_not_finite():
    module = Line()
    state = {"weight": torch.tensor([1.0, float("nan")]), "count": torch.tensor(3)}
    with pytest.raises(NonFiniteError, match="iteration 0: weight is not finite; no checkpoint is written"):
        module.on_save_checkpoint({"state_dict": state})


class Pair(PaperModule):
    """Two weights with an optimiser each, d first, in float16 with a loss scale. d's gradient is `steep` times that of
    g, the mean of the batch."""

    def __init__(self, steep):
        super().__init__(LineConfig())
        self.g, self.d = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(1.0))
        self.steep, self.seen = steep, []

    def training_step(self, batch, batch_idx):
        opt_g, opt_d = self.optimizers()
        mean = batch["image"].mean()
        with self.toggled_optimizer(opt_d):
            self.update("d", opt_d, self.steep * mean * self.d)
        with self.toggled_optimizer(opt_g):
            self.update("g", opt_g, mean * self.g)
        self.seen.append((self.g.item(), self.d.item(), self.loss_scale()))

    def configure_optimizers(self):
        return torch.optim.SGD([self.g], lr=0.5), torch.optim.SGD([self.d], lr=0.5 / self.steep)


class Float16(pl.Callback):
    def setup(self, trainer, module, stage):
        scaler = torch.amp.GradScaler("cpu", growth_interval=4)
        trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler)


def fit_in_float16(module, values):
    one_step_each(module, [{"image": torch.full((2, 3, 4, 4), value)} for value in values], [Float16()])
    return module


OVERFLOWS = 1e34  # times a loss scale of 65536, and not times one of 32768


def test_in_float16_an_optimiser_whose_gradient_overflows_waits_and_the_other_moves_as_in_float32():
    module = fit_in_float16(Pair(OVERFLOWS), [1.0, 1.0])
    assert module.seen == [(0.5, 1.0, 32768.0), (0.0, pytest.approx(0.5), 32768.0)]


def test_in_float16_accumulated_gradients_keep_their_share_when_the_other_optimiser_changes_the_scale():
    module = Pair(OVERFLOWS)
    module.accumulate = 2
    fit_in_float16(module, [1.0, 3.0])
    assert module.seen[-1] == (1 - 0.5 * (1 + 3) / 2, 1.0, 32768.0)


def test_in_float16_the_scale_grows_after_steps_without_overflow_and_the_weights_do_not_notice():
    module = fit_in_float16(Pair(1.0), [1.0] * 4)
    assert [scale for _, _, scale in module.seen] == [65536.0, 131072.0, 131072.0, 262144.0]
    assert [g for g, _, _ in module.seen] == [0.5, 0.0, -0.5, -1.0]


def test_in_float16_clipping_limits_the_norm_of_the_unscaled_gradient():
    module = Pair(1.0)
    module.clip_norm = 0.1
    fit_in_float16(module, [4.0])
    assert module.g.item() == pytest.approx(1 - 0.5 * 0.1)


def test_in_float16_a_gradient_that_is_bad_at_every_scale_ends_the_run_before_a_weight_moves():
    module = Pair(1.0)
    module.g.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(NonFiniteError, match="the gradient of train/g/total in g is not finite"):
        fit_in_float16(module, [1.0] * 60)
    assert module.g.item() == 1.0 and module.loss_scale() == 1.0


def test_counters_travel_with_the_checkpoint():
    module, checkpoint = fit(Line(), [1.0, 1.0]), {}
    module.on_save_checkpoint(checkpoint)
    other = Line()
    other.on_load_checkpoint(checkpoint)
    assert (other.iteration, other.samples_seen) == (2, 4)
