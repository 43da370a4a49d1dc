"""A wandb run of a training: curves, pictures, an alarm where it diverges, its checkpoints and what they learnt from.

experiments/loggers/identity.py says what it is called. In its dashboard
  iteration                 the only axis; wandb's own step counts calls and means nothing
  train/..., lr, iterations_per_second    as metrics.csv has them
  val/...                   with their highest and their last value as val/....max and val/....last in the summary
  samples/<panel>           the same validation images each time, one picture an image, captioned with its name; the
                            hole of an inpainting is a mask to switch on over the first panel
"""

import os
import secrets
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from experiments.loggers import wandb_artifacts
from experiments.loggers.attempts import Attempts
from lightning_modules.base import NonFiniteError

PROJECT = "chromafill"
START_WITHIN, END_WITHIN = 30, 600  # seconds; what is not uploaded by then stays on disk for `wandb sync`


def wandb_mode():
    """`online` when the user is logged in and the server answers, `offline` otherwise; WANDB_MODE has the last word."""
    import wandb

    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except wandb.Error:  # a key that the server does not confirm, or no server
        return "offline"


def start(identity, folder, config, run_id=None):
    """wandb's run. Under a sweep's agent wandb says which run it is, whatever `run_id` says."""
    import wandb

    return wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        group=identity.group,
        job_type=identity.job_type,
        name=identity.name,
        tags=list(identity.tags),
        id=os.environ.get("WANDB_RUN_ID", run_id),
        resume="allow",
        dir=folder.resolve(),  # the wandb process may be one that another process started elsewhere
        mode=wandb_mode(),
        config=config | ({"study": identity.study} if identity.study else {}),
        settings=wandb.Settings(silent=True, init_timeout=START_WITHIN, finish_timeout=END_WITHIN),
    )


def attempts():
    """For calls of wandb."""
    import wandb

    return Attempts("wandb", wandb.Error, *errors_of_its_process())


def errors_of_its_process():
    """What wandb raises while it waits for its own process and that is gone; private names, which may change."""
    try:
        from wandb.sdk.lib.service.service_token import WandbServiceConnectionError
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError
    except ImportError:
        return ()
    return WandbServiceConnectionError, HandleAbandonedError, MailboxClosedError


class Wandb(Logger):
    """The run begins with the first number. data: the data module, whose names the pictures bear."""

    name = version = None

    def __init__(self, folder, config, identity, data):
        super().__init__()
        self.folder, self.config, self.identity, self.data = Path(folder), config, identity, data
        self.run, self.attempt, self.learnt_from = None, attempts(), None

    def begun(self):
        """The run, started where it is not yet; a resumed training goes on with the run that it had."""
        if self.run is None:
            kept = self.folder / "wandb_id"
            if not kept.exists():
                kept.write_text(secrets.token_hex(4))
            self.run = start(self.identity, self.folder, self.config, kept.read_text())
            self.run.define_metric("iteration", hidden=True)
            self.run.define_metric("val/*", step_metric="iteration", summary="max,last")
            self.run.define_metric("*", step_metric="iteration")
            self.learnt_from = wandb_artifacts.use_data(self.run, self.config["data"], self.data)
        return self.run

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        self.attempt(lambda: self.begun().log({**metrics, "iteration": step}))

    @rank_zero_only
    def log_samples(self, samples, step):
        """samples: a `Samples` of lightning_modules/callbacks/sample_grid.py."""
        self.attempt(lambda: self.begun().log({**self.pictures(samples), "iteration": step}))

    def pictures(self, samples):
        import wandb

        dataset = self.data.dataset("val")
        first, pictures = next(iter(samples.panels)), {}
        for title, images in samples.panels.items():
            pictures[f"samples/{title}"] = [
                wandb.Image(
                    image.permute(1, 2, 0).numpy(),
                    caption=dataset.name(index),
                    masks=hole(samples.mask[row]) if title == first and samples.mask is not None else None,
                )
                for row, (index, image) in enumerate(zip(samples.index, images, strict=True))
            ]
        return pictures

    @rank_zero_only
    def alert(self, title, text):
        """A message by mail or Slack, as the user has set wandb up."""
        import wandb

        self.attempt(lambda: self.begun().alert(title=title, text=text, level=wandb.AlertLevel.ERROR))

    @rank_zero_only
    def keep_checkpoints(self, scores):
        """scores: {name: value} of the last validation."""

        def keep():
            wandb_artifacts.keep_checkpoints(self.begun(), self.identity, self.folder, scores, self.learnt_from)

        self.attempt(keep)

    @rank_zero_only
    def mark_preempting(self):
        """The server puts a run of a sweep back to its agents."""
        self.attempt(lambda: self.begun().mark_preempting())

    def log_hyperparams(self, *args, **kwargs):
        """The run starts with the composed configuration."""

    @rank_zero_only
    def finalize(self, status):
        if self.run is not None:
            self.attempt(lambda: self.run.finish(exit_code=0 if status == "success" else 1))


def hole(mask):
    """bool (H,W), True in the hole -> wandb's mask over a picture."""
    return {"hole": {"mask_data": mask.numpy().astype("uint8"), "class_labels": {0: "known", 1: "hole"}}}


class WandbEnding(pl.Callback):
    """How a training ended, for wandb: its checkpoints, an alert, or that it was stopped from outside.

    Comes after the callbacks that write checkpoints and that add to an error's text.
    """

    def __init__(self, logger):
        self.logger = logger

    def on_train_end(self, trainer, module):
        if trainer.is_global_zero and trainer.state.status != "interrupted":
            scores = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
            self.logger.keep_checkpoints(scores)

    def on_exception(self, trainer, module, exception):
        if isinstance(exception, NonFiniteError):
            self.logger.alert("Training diverged", f"{self.logger.identity.name}: {exception}")
        elif isinstance(exception, KeyboardInterrupt | SystemExit):  # Lightning's of SIGTERM is a SystemExit
            self.logger.mark_preempting()
