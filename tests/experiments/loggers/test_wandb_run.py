import json
import sys

import pytest
import torch
from toys import Flat, fit, synthetic
from wandb_files import config, finished_records, history, of_kind, summary

from datamodules.masks.centre import Centre
from experiments.loggers.identity import of_training
from experiments.loggers.wandb_run import Wandb, WandbEnding, attempts, errors_of_its_process, wandb_mode
from lightning_modules.base import NonFiniteError
from lightning_modules.callbacks.checkpoint_by_iteration import CheckpointByIteration
from lightning_modules.callbacks.record import Record
from lightning_modules.callbacks.sample_grid import SampleGrid, Samples
from lightning_modules.callbacks.stop_when_pruned import StopWhenPruned

CONFIG = {
    "experiment": "toy",
    "model": {"_target_": "lightning_modules.colorization.flat.Flat", "lr": 0.5},
    "data": {"_target_": "datamodules.synthetic.Synthetic"},
}


def logger(folder, data=None):
    folder.mkdir(parents=True, exist_ok=True)
    return Wandb(folder, CONFIG, of_training(CONFIG, folder), data or synthetic(4))


class Diverging(Flat):
    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)
        self.update("g", self.optimizers(), self.ab.sum() * float("inf"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(run folder, records) of a training of eight iterations that validates at four and eight."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        folder = tmp_path_factory.mktemp("wandb") / "runs" / "toy" / "one"
        (folder / "samples").mkdir(parents=True)
        (folder / "checkpoints").mkdir()
        torch.save({}, folder / "checkpoints" / "last.ckpt")
        data = synthetic(8, masks=Centre())
        wandb = logger(folder, data)
        callbacks = [Record(2), SampleGrid(folder / "samples", rows=2), WandbEnding(wandb)]
        fit(Flat(lr=12.0), data, callbacks, logger=wandb)
        yield folder, finished_records(folder)


def test_the_run_is_named_by_the_rule_and_holds_the_configuration(trained):
    folder, found = trained
    run = of_kind(found, "run")[0]
    assert (run.project, run.run_group, run.job_type, run.display_name) == ("chromafill", "toy", "train", "toy/one")
    assert sorted(run.tags) == ["colorization", "flat", "synthetic"]
    assert run.run_id == (folder / "wandb_id").read_text()
    assert config(found)["model"]["lr"] == 0.5


def test_every_row_has_its_iteration_and_that_is_the_axis(trained):
    rows = history(trained[1])
    assert {"train/g/total", "train/g/l2", "lr", "iterations_per_second"} <= rows[0].keys()
    assert all("iteration" in row for row in rows)
    assert [row["iteration"] for row in rows if "train/g/total" in row] == [2, 4, 6, 8]
    assert [row["iteration"] for row in rows if "val/psnr" in row] == [4, 8]
    axes = {metric.name or metric.glob_name: metric.step_metric for metric in of_kind(trained[1], "metric")}
    assert axes["*"] == axes["val/*"] == "iteration"


def test_the_summary_has_the_best_and_the_last_validation(trained):
    rows = [row["val/psnr"] for row in history(trained[1]) if "val/psnr" in row]
    assert rows[0] > rows[1]  # such a learning rate overshoots
    assert summary(trained[1])["val/psnr"] == {"max": rows[0], "last": rows[1]}


def test_samples_are_single_pictures_with_names_and_the_hole_over_the_first_panel(trained):
    folder, found = trained
    pictures = [row for row in history(found) if any(key.startswith("samples/") for key in row)]
    assert [row["iteration"] for row in pictures] == [4, 8]
    titles = {key.split(".")[0] for key in pictures[0] if key.startswith("samples/")}
    assert titles == {"samples/grey input", "samples/prediction", "samples/truth"}
    captions = [name for key, name in pictures[0].items() if key.endswith("truth.captions")]
    source = synthetic(8).dataset("val").source
    assert captions == [[source.name(0), source.name(1)]]
    media = next(folder.glob("wandb/offline-run-*/files/media"))
    assert len(list(media.glob("images/samples/*.png"))) == 2 * 2 * 3
    assert (
        len(list(media.glob("images/mask/samples/*.png"))) == 2
    )  # of a square at the same place: one file for both images


def test_the_checkpoint_and_what_it_learnt_from_are_artifacts(trained):
    folder, found = trained
    data, checkpoint = of_kind(found, "artifact")
    assert (data.type, data.name) == ("dataset", "data-synthetic")
    assert json.loads(data.metadata)["splits"]["val"]["count"] == 5
    assert data.use_after_commit and not checkpoint.use_after_commit  # an input of the run, and an output
    assert json.loads(checkpoint.metadata)["data"] == {"artifact": "data-synthetic", "digest": data.digest}
    assert (checkpoint.type, checkpoint.name) == ("model", "toy-one") and "last" in checkpoint.aliases
    (content,) = checkpoint.manifest.contents
    assert content.local_path == str((folder / "checkpoints" / "last.ckpt").resolve())  # not a copy


def test_a_training_that_diverges_sends_an_alert_with_the_reason_and_fails_the_run(tmp_path):
    wandb = logger(tmp_path / "run")
    with pytest.raises(NonFiniteError):
        fit(Diverging(), synthetic(4), [WandbEnding(wandb)], logger=wandb)
    found = finished_records(tmp_path / "run")
    (alert,) = of_kind(found, "alert")
    assert (alert.title, alert.level) == ("Training diverged", "ERROR")
    assert "toy/run: iteration 1: train/g/total is not finite" in alert.text
    assert found[-1].exit.exit_code == 1 and [each.type for each in of_kind(found, "artifact")] == ["dataset"]


def test_a_training_that_is_stopped_from_outside_is_marked_as_preempted(tmp_path):
    class Stopping(Flat):
        def training_step(self, batch, batch_idx):
            raise SystemExit(75)

    wandb = logger(tmp_path / "run")
    with pytest.raises(SystemExit):
        fit(Stopping(), synthetic(4), [WandbEnding(wandb)], logger=wandb)
    found = finished_records(tmp_path / "run")
    assert of_kind(found, "preempting") and found[-1].exit.exit_code == 1


def test_a_training_that_is_pruned_is_a_run_that_has_ended_well(tmp_path):
    wandb = logger(tmp_path / "run")
    (tmp_path / "run" / "prune").touch()
    saver = CheckpointByIteration(tmp_path / "run", {}, every=8, validate_every=8, iterations=8)
    pruning = StopWhenPruned(tmp_path / "run", saver)
    fit(Flat(), synthetic(8), [Record(1), saver, WandbEnding(wandb), pruning], logger=wandb, validate_every=8)
    found = finished_records(tmp_path / "run")
    assert pruning.pruned and not of_kind(found, "preempting") and found[-1].exit.exit_code == 0


def test_a_resumed_training_goes_on_with_its_run(tmp_path):
    ids = []
    for _ in range(2):
        wandb = logger(tmp_path / "run")
        wandb.log_metrics({"loss": 1.0}, 1)
        ids.append(wandb.run.id)
        wandb.finalize("success")
    assert ids[0] == ids[1] == (tmp_path / "run" / "wandb_id").read_text()


def test_under_an_agent_the_run_is_the_one_that_the_agent_says(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "ofagent1")
    monkeypatch.setenv("WANDB_PROJECT", "elsewhere")
    wandb = logger(tmp_path / "run")
    wandb.log_metrics({"loss": 1.0}, 1)
    assert (wandb.run.id, wandb.run.project) == ("ofagent1", "elsewhere")
    wandb.finalize("success")


def test_wandb_that_cannot_start_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    import wandb

    def fail(**settings):
        raise wandb.Error("no room")

    monkeypatch.setattr(wandb, "init", fail)
    log = logger(tmp_path / "run")
    log.log_metrics({"loss": 1.0}, 1)
    log.log_samples(Samples({"truth": torch.zeros(1, 3, 4, 4, dtype=torch.uint8)}, [0]), 1)
    log.keep_checkpoints({})
    log.finalize("success")
    assert [r.getMessage() for r in caplog.records] == ["wandb: no room; going on without it"]


def test_wandb_is_offline_without_an_account(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode() == "disabled"


@pytest.mark.parametrize("error", [ConnectionResetError, *errors_of_its_process()])
def test_a_wandb_process_that_is_gone_does_not_stop_the_run(error, caplog):
    def fail():
        raise error("gone")

    attempts()(fail)
    assert [r.getMessage() for r in caplog.records] == ["wandb: gone; going on without it"]


def test_the_errors_of_wandbs_process_are_known_and_not_needed(monkeypatch):
    assert len(errors_of_its_process()) == 3
    monkeypatch.setitem(sys.modules, "wandb.sdk.mailbox", None)
    assert errors_of_its_process() == ()
