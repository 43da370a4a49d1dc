import numpy as np
import pytest
import torch

from experiments.benchmarks.color import benchmark_color, numpy_peak_bytes, torch_peak_bytes


@pytest.fixture(scope="module")
def rows():
    return {(row["step"], row["method"]): row for row in benchmark_color(size=32, batch=2, rounds=3)}


def test_every_row_is_complete_and_ours_is_the_unit(rows):
    for row in rows.values():
        assert row["us_per_pixel"] > 0 and row["peak_bytes"] > 0
    for ours in (rows["encode", "soft_encode"], rows["loss", "class_loss"]):
        assert ours["time_ratio"] == ours["peak_ratio"] == 1


def test_the_encoder_is_smaller_than_the_dense_distances(rows):
    assert rows["encode", "cdist and topk"]["peak_ratio"] > 2
    assert rows["encode", "soft_encode"]["peak_over_logits"] < 0.5


def test_the_class_loss_allocates_no_more_than_the_gradient(rows):
    assert rows["loss", "class_loss"]["peak_over_logits"] < 1.1
    assert rows["loss", "dense target"]["peak_over_logits"] > 2.5


def test_the_number_of_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    benchmark_color(size=4, batch=1, rounds=1)
    assert torch.get_num_threads() == before


def test_nothing_is_printed(capsys):
    benchmark_color(size=4, batch=1, rounds=1)
    assert capsys.readouterr() == ("", "")


def test_peaks_are_those_of_known_allocations():
    held = torch.ones(1000)

    def step():
        first = torch.ones(50_000)  # 200 kB, freed before the next is made
        del first
        torch.ones(100_000).add(held.sum())  # 400 kB, and 400 kB for the sum

    assert torch_peak_bytes(step) == pytest.approx(800_000, rel=0.01)
    assert numpy_peak_bytes(lambda: np.ones(100_000)) == pytest.approx(800_000, rel=0.01)
    assert torch_peak_bytes(lambda: None) == 0
