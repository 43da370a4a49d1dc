"""An MLflow run of a training, against `iteration`: settings as parameters, numbers as metrics, pictures as images.

MLFLOW_TRACKING_URI says where; without it mlflow.db in the working directory, where `mlflow server` looks too. The
experiment is `chromafill` (or MLFLOW_EXPERIMENT_NAME), name and tags of the run are those of
experiments/loggers/identity.py. A server that does not answer is given up after some seconds, once.
"""

import logging
import os
from pathlib import Path

from lightning.pytorch.loggers import Logger, MLFlowLogger
from lightning.pytorch.utilities import rank_zero_only

from experiments.compose import flat
from experiments.loggers.attempts import Attempts

EXPERIMENT, DATABASE = "chromafill", "sqlite:///mlflow.db"
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}  # MLflow's own: minutes


class MLflow(Logger):
    """The run begins with the first number. A resumed training goes on with the run named in the file mlflow_id."""

    name = version = None

    def __init__(self, folder, config, identity):
        from mlflow.exceptions import MlflowException

        super().__init__()
        self.folder, self.config, self.identity = Path(folder), config, identity
        self.run, self.attempt = None, Attempts("mlflow", MlflowException)

    def begun(self):
        """Lightning's logger of the run, started where it is not yet."""
        if self.run is None:
            for name, value in PATIENCE.items():
                os.environ.setdefault(name, value)
            for name in ("alembic", "mlflow", "lightning.pytorch.loggers.mlflow"):  # which tables are made, and so on
                logging.getLogger(name).setLevel(logging.ERROR)
            kept = self.folder / "mlflow_id"
            run = MLFlowLogger(
                experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT),
                run_name=self.identity.name,
                tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", DATABASE),
                tags=self.tags(),
                run_id=kept.read_text() if kept.exists() else None,
            )
            if not kept.exists():
                run.log_hyperparams(dict(flat(self.config)))
                kept.write_text(run.run_id)
            self.run = run
        return self.run

    def tags(self):
        study = {f"study.{key}": value for key, value in (self.identity.study or {}).items()}
        named = dict.fromkeys(self.identity.tags, "true")
        return {"group": self.identity.group, "job_type": self.identity.job_type} | named | study

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        self.attempt(lambda: self.begun().log_metrics(metrics, step))

    @rank_zero_only
    def log_samples(self, samples, step):
        """samples: a `Samples` of lightning_modules/callbacks/sample_grid.py."""

        def send():
            run = self.begun()
            for title, images in samples.panels.items():
                for index, image in zip(samples.index, images, strict=True):
                    pixels = image.permute(1, 2, 0).numpy()
                    run.experiment.log_image(run.run_id, pixels, key=f"{title} {index}", step=step)

        self.attempt(send)

    def log_hyperparams(self, *args, **kwargs):
        """The composed configuration goes with the run's start."""

    @rank_zero_only
    def finalize(self, status):
        if self.run is not None:
            self.attempt(lambda: self.run.finalize(status))
