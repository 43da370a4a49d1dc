import importlib.util

import pytest
from toys import synthetic

from experiments.errors import UserError
from experiments.loggers.chosen import logger_names, make_loggers

CONFIG = {
    "experiment": "toy",
    "model": {"_target_": "lightning_modules.colorization.flat.Flat"},
    "data": {"_target_": "datamodules.synthetic.Synthetic"},
}


@pytest.mark.parametrize(
    ("value", "names"),
    [("none", []), ([], []), ("wandb", ["wandb"]), (["wandb", "wandb"], ["wandb"])],
)
def test_loggers_are_named_alone_or_in_a_list(value, names):
    assert logger_names(value) == names


@pytest.mark.parametrize("value", ["tensorbord", ["wandb", "tensorbord"]])
def test_a_misspelt_logger_is_an_error_with_the_nearest(value):
    with pytest.raises(UserError, match="no logger 'tensorbord' here; nearest: tensorboard"):
        logger_names(value)


def test_none_beside_another_logger_is_an_error():
    with pytest.raises(UserError, match="no logger 'none'"):
        logger_names(["wandb", "none"])


def test_a_verb_may_have_fewer_loggers():
    assert logger_names("wandb", known=("wandb",)) == ["wandb"]
    with pytest.raises(UserError, match="no logger 'mlflow' here; there are: none, wandb"):
        logger_names("mlflow", known=("wandb",))


def test_a_package_that_is_missing_is_one_line_with_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^logger=mlflow needs a package: pip install chromafill\[mlflow\]$"):
        logger_names("mlflow")


def test_metrics_csv_comes_first_and_wandb_brings_the_callback_of_its_end(tmp_path):
    loggers, callbacks = make_loggers(CONFIG | {"logger": "wandb"}, tmp_path, synthetic(4), start=0)
    assert [type(logger).__name__ for logger in loggers] == ["MetricsCSV", "Wandb"]
    assert [callback.logger for callback in callbacks] == [loggers[1]]
    loggers, callbacks = make_loggers(CONFIG | {"logger": "none"}, tmp_path, synthetic(4), start=7)
    assert [logger.upto for logger in loggers] == [7] and callbacks == []


def test_tensorboard_and_mlflow_are_made_by_name(tmp_path):
    pytest.importorskip("tensorboard", reason="pip install chromafill[tensorboard]")
    pytest.importorskip("mlflow", reason="pip install chromafill[mlflow]")
    loggers, _ = make_loggers(CONFIG | {"logger": ["tensorboard", "mlflow"]}, tmp_path, synthetic(4), start=0)
    assert [type(logger).__name__ for logger in loggers] == ["MetricsCSV", "TensorBoard", "MLflow"]
