"""PaperModule: the bookkeeping that every paper shares and no maths of any of them."""

from dataclasses import asdict

import lightning.pytorch as pl
import torch

from lightning_modules.ops.distributed import average_over_ranks_, is_shared_out, own_part, total_norm, world_size

NAMED = 3  # weights that an error names


class NonFiniteError(RuntimeError):
    """A loss, a gradient or a weight is inf or NaN. Raised on every rank before the optimiser moves; between the steps
    of an accumulation by the rank that has the bad loss alone."""


class PaperModule(pl.LightningModule):
    """One paper: `cfg` (its Config), `iteration` (the number of the current training step, from 1) and `update`.

    Every paper optimises by hand, so that accumulation, clipping, averaging over ranks, mixed precision and the guard
    against bad numbers are the same code for one optimiser and for a generator with a discriminator.

    accumulate   steps whose gradients are added up before an optimiser moves
    clip_norm    largest total norm of an optimiser's gradient; None leaves it alone
    terms        the latest value of every logged loss term, by name
    """

    Config = None  # dataclass of the paper's settings, with the paper's values as defaults
    monitor = "val/psnr"  # the validation score, higher is better, that picks best.ckpt

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.automatic_optimization = False
        self.save_hyperparameters(asdict(cfg))
        self.seed = 0
        self.iteration = 0
        self.samples_seen = 0  # of all ranks
        self.accumulate, self.clip_norm = 1, None
        self.terms = {}
        self.scales = {}  # of fp16: the loss scale of the gradients that wait, by the name of their optimiser

    def lr_factor(self, iteration):
        """What the learning rates are multiplied with at this iteration (from 1): a schedule is a pure function."""
        return 1.0

    def check(self, batch):
        """ValueError where the network is not made for such batches. Called once, before training."""

    def initialise(self, batches):
        """Sets initial weights that depend on data or files, on a fresh run only; ValueError where these are wrong.

        batches: an endless iterator of batches as `training_step` gets them, of up to 8 samples; take what is needed.
        """

    def on_train_batch_start(self, batch, batch_idx):
        self.iteration += 1
        self.samples_seen += len(batch["image"]) * world_size()
        # What a network draws itself (noise, dropout) depends on nothing but the seed, the iteration and the rank.
        torch.manual_seed((self.seed * 1_000_003 + self.iteration) * 4096 + self.global_rank)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * self.lr_factor(self.iteration)

    def update(self, name, optimizer, loss, **terms):
        """Backward, average over ranks, guard, clip and step of one optimiser; logs `terms` bare and `loss` as total.

        loss: scalar, the weighted sum that is minimised. terms: its scalars before weighting.
        Only parameters of `optimizer` may carry a gradient here: use `toggled_optimizer` where there are several.
        """
        self.terms |= {f"train/{name}/{term}": value.detach() for term, value in {**terms, "total": loss}.items()}
        scale = self.at_one_scale(name, optimizer)
        self.manual_backward(loss / self.accumulate)
        if self.iteration % self.accumulate:
            self.require_finite(name, loss.detach())
            return
        moving = parameters_with_gradient(optimizer)
        gradients, mean_loss = [p.grad for p in moving], loss.detach().float().clone()
        average_over_ranks_([*(gradient for gradient in gradients if not is_shared_out(gradient)), mean_loss])
        norm = total_norm(gradients)
        # A gradient that overflows under a loss scale is the scaler's business: it skips the step and halves the scale.
        guarded = [norm] if scale <= 1 else []
        self.require_finite(name, mean_loss, total_norm(moving), *guarded)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(moving, self.clip_norm * scale, norm)
        optimizer.step()
        optimizer.zero_grad()

    def require_finite(self, name, loss, *norms):
        """Raises NonFiniteError with the terms, weights or gradients that are inf or NaN. One wait for the device."""
        if torch.stack([value.float() for value in (loss, *norms)]).isfinite().all():
            return
        bad = [term for term, value in self.terms.items() if not value.isfinite()]
        bad += self.named(f"weight {key}" for key, p in self.named_parameters() if not own_part(p).isfinite().all())
        if not bad and not loss.isfinite():
            bad = [f"train/{name}/total of another process"]
        if not bad:
            where = [
                key
                for key, p in self.named_parameters()
                if p.grad is not None and not own_part(p.grad).isfinite().all()
            ]
            bad = self.named(f"the gradient of train/{name}/total in {key}" for key in where)
        what = ", ".join(bad) or f"the norm of the gradient of train/{name}/total"
        raise NonFiniteError(f"iteration {self.iteration}: {what} is not finite; this step of '{name}' was not taken")

    def named(self, places):
        """The first few of `places`, and how many there are more."""
        places = list(places)
        return places[:NAMED] + ([f"and {len(places) - NAMED} more"] if len(places) > NAMED else [])

    def at_one_scale(self, name, optimizer):
        """The loss scale, to which gradients that wait for their step are brought: the step of another optimiser may
        have changed it since they were computed."""
        before, scale = self.scales.get(name), self.loss_scale()
        if before not in (None, scale):
            for parameter in parameters_with_gradient(optimizer):
                parameter.grad.mul_(scale / before)
        self.scales[name] = scale
        return scale

    def loss_scale(self):
        """The factor that fp16 training multiplies losses with; 1 in every other precision."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return 1.0 if scaler is None else scaler.get_scale()

    def on_save_checkpoint(self, checkpoint):
        """Adds the counters. NonFiniteError where the weights are of no use: the checkpoints before this one stay."""
        state = checkpoint.get("state_dict", {})
        bad = self.named(key for key, value in state.items() if not value.isfinite().all())
        if bad:
            raise NonFiniteError(
                f"iteration {self.iteration}: {', '.join(bad)} is not finite; no checkpoint is written"
            )
        checkpoint["iteration"], checkpoint["samples_seen"] = self.iteration, self.samples_seen

    def on_load_checkpoint(self, checkpoint):
        self.iteration, self.samples_seen = checkpoint["iteration"], checkpoint["samples_seen"]


def parameters_with_gradient(optimizer):
    """The parameters that the next step of an optimiser moves."""
    return [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
