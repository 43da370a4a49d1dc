"""Where numbers go: metrics.csv always, wandb when it is asked for."""

import csv
import logging
import os
import secrets
from pathlib import Path

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

log = logging.getLogger(__name__)


class MetricsCSV(Logger):
    """metrics.csv: one row an iteration, one column a metric, empty where it was not measured.

    A resumed run drops the rows after the iteration it starts from, so that the file equals that of a run which was
    never stopped (but for `iterations_per_second`).
    """

    name = version = None

    def __init__(self, path, start=0):
        super().__init__()
        self.path, self.start = Path(path), start
        self.rows = None

    def read(self):
        """{iteration: {column: text}} of the rows that are kept from before."""
        if not self.path.exists():
            return {}
        with self.path.open(newline="") as file:
            rows = {int(row["iteration"]): row for row in csv.DictReader(file)}
        return {iteration: row for iteration, row in rows.items() if iteration <= self.start}

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        first = self.rows is None
        if first:
            self.rows = self.read()
            self.columns = list(next(iter(self.rows.values()), {"iteration": ""}))
        new = [name for name in metrics if name not in self.columns]
        revisited = step in self.rows
        self.columns += new
        self.rows[step] = self.rows.get(step, {"iteration": step}) | {k: repr(v) for k, v in metrics.items()}
        if first or new or revisited:
            self.rewrite()
        else:
            with self.path.open("a", newline="") as file:
                csv.DictWriter(file, self.columns, restval="").writerow(self.rows[step])

    def rewrite(self):
        temporary = self.path.with_suffix(".csv.tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows.values())
        os.replace(temporary, self.path)

    def log_hyperparams(self, *args, **kwargs):
        """config.yaml has them."""


def wandb_mode():
    """`online` when the user is logged in and the server answers, `offline` otherwise; WANDB_MODE has the last word."""
    import wandb

    if "WANDB_MODE" in os.environ:
        return os.environ["WANDB_MODE"]
    try:
        return "online" if wandb.login(prompt=False) else "offline"
    except wandb.Error:  # a key that the server does not confirm, or no server
        return "offline"


class Wandb(Logger):
    """A wandb run in the run's folder: group is the paper, name the experiment and run id, axis the iteration.

    Training never waits for wandb or fails with it: where a call fails, it says so once and goes on without.
    """

    name = version = None

    def __init__(self, folder, config, paper):
        super().__init__()
        self.folder, self.config, self.paper = Path(folder), config, paper
        self.run, self.failed = None, False

    def attempt(self, action):
        """Runs `action(run)`, starting the run before the first."""
        import wandb

        if self.failed:
            return
        try:
            if self.run is None:
                self.start(wandb)
            action(self.run)
        except (wandb.Error, OSError) as error:
            self.failed = True
            log.warning("wandb: %s; training goes on without it", error)

    def start(self, wandb):
        identity = self.folder / "wandb_id"
        if not identity.exists():
            identity.write_text(secrets.token_hex(4))
        self.run = wandb.init(
            project="chromafill",
            group=self.paper,
            job_type="train",
            name=f"{self.folder.parent.name}/{self.folder.name}",
            id=identity.read_text(),
            resume="allow",
            dir=self.folder,
            mode=wandb_mode(),
            config=self.config,
            settings=wandb.Settings(silent=True, init_timeout=30),
        )
        self.run.define_metric("iteration")
        self.run.define_metric("*", step_metric="iteration")

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        self.attempt(lambda run: run.log({**metrics, "iteration": step}))

    @rank_zero_only
    def log_image(self, key, path, caption, step):
        """A picture file under `key`."""
        import wandb

        self.attempt(lambda run: run.log({key: wandb.Image(str(path), caption=caption), "iteration": step}))

    def log_hyperparams(self, *args, **kwargs):
        """The run starts with the composed configuration."""

    @rank_zero_only
    def finalize(self, status):
        if self.run is not None and not self.failed:
            self.attempt(lambda run: run.finish(exit_code=0 if status == "success" else 1))
