import csv
import struct
import time

import torch

from experiments.loggers import MetricsCSV, Wandb, wandb_mode
from lightning_modules.ops.png import write_png


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_row_an_iteration_with_columns_that_grow(tmp_path):
    log = MetricsCSV(tmp_path / "metrics.csv")
    log.log_metrics({"loss": 0.5}, 1)
    log.log_metrics({"loss": 0.25}, 2)
    log.log_metrics({"val/psnr": 20.0}, 2)
    log.log_metrics({"loss": 0.1}, 3)
    assert rows(tmp_path / "metrics.csv") == [
        {"iteration": "1", "loss": "0.5", "val/psnr": ""},
        {"iteration": "2", "loss": "0.25", "val/psnr": "20.0"},
        {"iteration": "3", "loss": "0.1", "val/psnr": ""},
    ]


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    path = tmp_path / "metrics.csv"
    whole, killed = MetricsCSV(tmp_path / "whole.csv"), MetricsCSV(path)
    for step in range(1, 7):
        whole.log_metrics({"loss": 1 / step}, step)
        if step < 5:
            killed.log_metrics({"loss": 1 / step}, step)
    resumed = MetricsCSV(path, start=3)
    for step in range(4, 7):
        resumed.log_metrics({"loss": 1 / step}, step)
    assert path.read_text() == (tmp_path / "whole.csv").read_text()


def records(folder):
    """Every record of the one offline run below `folder`.

    The file is a LevelDB log: a header of 7 bytes, then blocks of 32 KiB with chunks of (checksum, length, type, data),
    type 1 whole, 2 first, 3 middle, 4 last part of a record.
    """
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record, parts = wandb_internal_pb2.Record.FromString(parts), b""
            yield record


def finished_records(folder):
    """The records once the file holds the last one: wandb's own process may flush it a moment after `finish`."""
    for _ in range(100):
        found = list(records(folder))
        if found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise AssertionError("the wandb file has no exit record after 10 seconds")


def test_an_offline_wandb_run_holds_keys_images_and_config(tmp_path):
    folder = tmp_path / "runs" / "toy" / "one"
    folder.mkdir(parents=True)
    write_png(folder / "grid.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    log = Wandb(folder, {"model": {"lr": 0.125}}, paper="Flat")
    log.log_metrics({"train/g/total": 0.5}, 10)
    log.log_image("samples", folder / "grid.png", "grey | prediction", 10)
    log.finalize("success")
    history, config, names = [], {}, set()
    for record in finished_records(folder):
        history += [{item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}]
        config |= {item.key: item.value_json for item in record.config.update}
        config |= {item.key: item.value_json for item in record.run.config.update}
        names |= {(record.run.run_group, record.run.display_name)} if record.run.run_id else set()
    row = next(row for row in history if "train/g/total" in row)
    assert (row["train/g/total"], row["iteration"]) == ("0.5", "10")
    assert any("image-file" in h.get("samples", "") or "samples/_type" in h for h in history)
    assert '"lr":0.125' in config["model"].replace(" ", "")
    assert names == {("Flat", "toy/one")}
    assert list(folder.glob("wandb/offline-run-*/files/media/images/*.png"))


def test_wandb_that_cannot_start_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
    import wandb

    def fail(**settings):
        raise wandb.Error("no room")

    monkeypatch.setattr(wandb, "init", fail)
    log = Wandb(tmp_path, {}, paper="Flat")
    log.log_metrics({"loss": 1.0}, 1)
    log.log_metrics({"loss": 1.0}, 2)
    assert [r.getMessage() for r in caplog.records] == ["wandb: no room; training goes on without it"]


def test_wandb_is_offline_without_an_account(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode() == "disabled"
