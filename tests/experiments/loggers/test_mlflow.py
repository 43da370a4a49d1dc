import pytest
import torch

from experiments.loggers.identity import Identity
from experiments.loggers.mlflow import MLflow
from lightning_modules.callbacks.sample_grid import Samples

pytest.importorskip("mlflow", reason="pip install chromafill[mlflow]")
pytest.importorskip("sqlalchemy", reason="pip install chromafill[mlflow]")

STUDY = {"name": "alpha", "kind": "sweep", "trial": "trial-3", "row": "trial-3"}
IDENTITY = Identity(group="alpha", job_type="train", name="alpha/trial-3", tags=("glcic", "inpainting"), study=STUDY)


def test_a_run_holds_settings_tags_numbers_and_pictures_and_goes_on_when_resumed(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    image = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    for step in (10, 20):
        log = MLflow(tmp_path, {"model": {"lr": 0.125}, "seed": 3}, IDENTITY)
        log.log_metrics({"train/g/total": step / 4}, step)
        log.log_samples(Samples({"truth": image}, [4, 7]), step)
        log.finalize("success")
    client = MlflowClient("sqlite:///mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("chromafill").experiment_id])
    assert run.info.run_id == (tmp_path / "mlflow_id").read_text() and run.info.status == "FINISHED"
    assert run.info.run_name == "alpha/trial-3"
    assert run.data.params == {"model.lr": "0.125", "seed": "3"}
    assert {"group": "alpha", "glcic": "true", "study.row": "trial-3"}.items() <= run.data.tags.items()
    history = client.get_metric_history(run.info.run_id, "train/g/total")
    assert [(metric.step, metric.value) for metric in history] == [(10, 2.5), (20, 5.0)]
    images = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    assert sum("truth" in path and path.endswith(".png") for path in images) == 4


def test_a_server_that_does_not_answer_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the port `discard`: nobody listens
    log = MLflow(tmp_path, {}, IDENTITY)
    log.log_metrics({"loss": 1.0}, 1)
    log.log_metrics({"loss": 1.0}, 2)
    log.finalize("success")
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("experiments")]
    assert line.startswith("mlflow: ") and line.endswith("; going on without it")
    assert not (tmp_path / "mlflow_id").exists()
