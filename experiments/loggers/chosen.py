"""`logger=wandb`, `logger=none`, `logger=[wandb,tensorboard]`: from names to loggers. metrics.csv is always written."""

import importlib.util

from experiments.errors import UserError, nearest
from experiments.loggers.identity import of_training
from experiments.loggers.metrics_csv import MetricsCSV

PACKAGES = {"wandb": "wandb", "tensorboard": "tensorboard", "mlflow": "mlflow"}  # {logger: what it needs}


def logger_names(value, known=tuple(PACKAGES)):
    """The loggers that a `logger` setting names: one name, or a list of them. UserError for one that cannot be.

    known: those that the verb has.
    """
    names = [value] if isinstance(value, str) else list(value)
    if names == ["none"]:
        return []
    for name in names:
        if name not in known:
            raise UserError(f"logger: no logger '{name}' here{nearest(str(name), [*known, 'none'])}")
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise UserError(f"logger={name} needs a package: pip install chromafill[{name}]")
    return list(dict.fromkeys(names))


def make_loggers(config, folder, data, start):
    """(loggers, callbacks that belong to them) of a training. start: the iteration that it goes on from."""
    identity = of_training(config, folder)
    loggers, callbacks = [MetricsCSV(folder / "metrics.csv", start=start)], []
    for name in logger_names(config["logger"]):
        if name == "wandb":
            from experiments.loggers.wandb_run import Wandb, WandbEnding

            loggers.append(Wandb(folder, config, identity, data))
            callbacks.append(WandbEnding(loggers[-1]))
        elif name == "tensorboard":
            from experiments.loggers.tensorboard import TensorBoard

            loggers.append(TensorBoard(folder, config, start))
        else:
            from experiments.loggers.mlflow import MLflow

            loggers.append(MLflow(folder, config, identity))
    return loggers, callbacks
