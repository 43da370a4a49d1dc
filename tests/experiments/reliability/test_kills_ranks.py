import pytest
import torch

from experiments.reliability.kills_ranks import (
    launched,
    noted,
    one_of_two,
    other_number,
    planned,
    relative_distance,
    wait_until,
)


def test_two_processes_after_one_see_the_same_samples_and_masks(tmp_path):
    finding = other_number(tmp_path)
    assert (finding.tried, finding.held) == (1, 1), finding.note


@pytest.mark.slow
def test_a_process_of_two_that_is_killed_takes_the_other_along_and_nothing_is_lost(tmp_path):
    finding = one_of_two(tmp_path, planned())
    assert (finding.tried, finding.held) == (9, 9), finding.note


@pytest.mark.slow
def test_neither_process_outlives_the_other(tmp_path):
    finding = launched(tmp_path)
    assert (finding.tried, finding.held) == (2, 2), finding.note


def test_what_ranks_noted_is_put_together_in_their_order(tmp_path):
    for name, given in {"3_0": [[0, 5, 1]], "3_1": [[0, 6, 2]], "12_0": [[1, 7, 3]]}.items():
        (tmp_path / f"{name}.json").write_text(str(given))
    assert noted(tmp_path) == {3: [[0, 5, 1], [0, 6, 2]], 12: [[1, 7, 3]]}


def test_the_distance_is_relative_and_over_all_weights(tmp_path):
    for name, shift in {"first": 0.0, "second": 1.0}.items():
        weights = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([4.0 + shift])}
        torch.save({"state_dict": weights, "config": {}, "iteration": 1}, tmp_path / name)
    assert relative_distance(tmp_path / "first", tmp_path / "second") == 0.2


def test_waiting_has_an_end():
    with pytest.raises(TimeoutError, match="it is still there after 0.1 s"):
        wait_until(lambda: False, 0.1, "it is still there")
