import pytest
import torch

from experiments.benchmarks.daisy import benchmark_daisy


@pytest.fixture(scope="module")
def rows():
    return {(row["settings"], row["method"]): row for row in benchmark_daisy(size=128, batch=2, rounds=2)}


def test_there_is_a_row_for_each_method_and_size_of_descriptor(rows):
    assert {key[1] for key in rows} == {"daisy", "scikit-image, float32", "scikit-image, float64"}
    assert {(key[0], row["numbers"]) for key, row in rows.items()} == {("paper", 32), ("default", 200)}


def test_the_descriptor_is_faster_than_scikit_image_and_within_a_millionth_of_it(rows):
    for settings in ("paper", "default"):
        assert rows[settings, "daisy"]["time_ratio"] == 1
        assert rows[settings, "daisy"]["largest_error"] < 1e-6
    assert rows["paper", "scikit-image, float64"]["time_ratio"] > 2  # 5 to 8 at 256 pixels, when nothing else runs


def test_the_number_of_threads_is_left_as_it_was_and_nothing_is_printed(capsys):
    before = torch.get_num_threads()
    benchmark_daisy(size=32, batch=1, rounds=1)
    assert torch.get_num_threads() == before
    assert capsys.readouterr() == ("", "")


@pytest.mark.gpu
def test_a_gpu_has_a_row_of_its_own():
    rows = {row["method"]: row for row in benchmark_daisy(size=128, batch=4, rounds=2, device="cuda")}
    assert rows["daisy, cuda"]["largest_error"] < 1e-5
