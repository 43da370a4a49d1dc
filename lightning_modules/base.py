"""PaperModule: the bookkeeping that every paper shares and no maths of any of them."""

from dataclasses import asdict

import lightning.pytorch as pl
import torch

from lightning_modules.ops.distributed import average_over_ranks_, world_size


class NonFiniteError(RuntimeError):
    """A loss or a gradient is inf or NaN. Raised on every rank before the optimiser moves."""


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

    def lr_factor(self, iteration):
        """What the learning rates are multiplied with at this iteration (from 1): a schedule is a pure function."""
        return 1.0

    def check(self, batch):
        """ValueError where the network is not made for such batches. Called once, before training."""

    def initialise(self, batches):
        """Sets initial weights that depend on data or files, on a fresh run only; ValueError where these are wrong.

        batches: as `training_step` gets them.
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
        self.manual_backward(loss / self.accumulate)
        if self.iteration % self.accumulate:
            self.require_finite(name, loss.detach())
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        mean_loss = loss.detach().float().clone()
        average_over_ranks_([p.grad for p in parameters] + [mean_loss])
        scale = self.loss_scale()
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        # A gradient that overflows under a loss scale is the scaler's business: it skips the step and halves the scale.
        self.require_finite(name, mean_loss, norm if scale == 1 else mean_loss)
        if self.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.clip_norm * scale, norm)
        optimizer.step()
        optimizer.zero_grad()

    def require_finite(self, name, *values):
        """Raises NonFiniteError with the terms that are inf or NaN. One wait for the device."""
        if torch.stack([value.float() for value in values]).isfinite().all():
            return
        bad = [term for term, value in self.terms.items() if not value.isfinite()]
        what = ", ".join(bad) if bad else f"the gradient of train/{name}/total"
        raise NonFiniteError(f"iteration {self.iteration}: {what} is not finite; no weight was changed by this step")

    def loss_scale(self):
        """The factor that fp16 training multiplies losses with; 1 in every other precision."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return 1.0 if scaler is None else scaler.get_scale()

    def on_save_checkpoint(self, checkpoint):
        checkpoint["iteration"], checkpoint["samples_seen"] = self.iteration, self.samples_seen

    def on_load_checkpoint(self, checkpoint):
        self.iteration, self.samples_seen = checkpoint["iteration"], checkpoint["samples_seen"]
