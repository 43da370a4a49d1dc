import csv
import tracemalloc

import pytest

from experiments.loggers.metrics_csv import MetricsCSV


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


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_row_that_was_cut_off_is_left_out(cut, tmp_path):
    path = tmp_path / "metrics.csv"
    killed = MetricsCSV(path)
    for step in range(1, 13):
        killed.log_metrics({"loss": 0.5}, step)
    whole = path.read_text()
    path.write_bytes(path.read_bytes()[:-cut])  # of the row "12,0.5", whose beginning reads as iteration 1
    resumed = MetricsCSV(path, start=11)
    resumed.log_metrics({"loss": 0.5}, 12)
    assert path.read_text() == whole


def test_a_run_that_goes_on_with_a_validation_adds_to_the_row_of_its_checkpoint(tmp_path):
    whole, resumed = tmp_path / "whole.csv", tmp_path / "resumed.csv"
    first = MetricsCSV(whole), MetricsCSV(resumed)
    for log in first:
        for step in range(1, 5):
            log.log_metrics({"loss": 1 / step}, step)
    for log in (first[0], MetricsCSV(resumed, start=4)):
        log.log_metrics({"val/psnr": 20.0}, 4)
        log.log_metrics({"loss": 0.2}, 5)
    assert resumed.read_text() == whole.read_text() and rows(whole)[3]["val/psnr"] == "20.0"


def test_memory_does_not_grow_with_the_rows(tmp_path):
    log = MetricsCSV(tmp_path / "metrics.csv")
    log.log_metrics({"loss": 0.5}, 1)
    tracemalloc.start()
    for step in range(2, 2000):
        log.log_metrics({"loss": 1 / step}, step)
    assert tracemalloc.get_traced_memory()[0] < 20_000
    tracemalloc.stop()


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
