"""TensorBoard event files in <run folder>/tensorboard, against `iteration`: `tensorboard --logdir runs` shows all."""

from pathlib import Path

import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from experiments.loggers.attempts import Attempts


class TensorBoard(TensorBoardLogger):
    """start: the iteration that a resumed training goes on from; what an earlier one wrote after it is not shown."""

    def __init__(self, folder, config, start=0):
        super().__init__(Path(folder), name="", version="tensorboard", purge_step=start + 1, flush_secs=10)
        self.config, self.fresh = config, start == 0
        self.attempt = Attempts("tensorboard")

    @rank_zero_only
    def log_metrics(self, metrics, step=None):
        def write():
            if self.fresh:
                text = yaml.safe_dump(self.config, sort_keys=False)
                self.experiment.add_text("config", f"```yaml\n{text}```", 0)
                self.fresh = False
            for name, value in metrics.items():
                self.experiment.add_scalar(name, value, step)

        self.attempt(write)

    @rank_zero_only
    def log_samples(self, samples, step):
        """samples: a `Samples` of lightning_modules/callbacks/sample_grid.py."""

        def write():
            for title, images in samples.panels.items():
                self.experiment.add_images(f"samples/{title}", images, step)

        self.attempt(write)

    def log_hyperparams(self, *args, **kwargs):
        """The composed configuration is written as text."""

    def save(self):
        """config.yaml takes the place of Lightning's hparams.yaml."""
