import time

import torch

from lightning_modules.pretrained.unnamed_layers import named_by_shape, places_of

RUNS = {
    "pair": [("first", (2, 3)), ("second", (None, 2))],
    "single": [("", (2, 3), (2, 3, 1, 1))],
}


def file(*shapes):
    """Layers 0, 1, ... with weights of these shapes, each with other values."""
    return {f"{n}.weight": torch.arange(float(torch.Size(s).numel())).view(s) + n for n, s in enumerate(shapes)}


def test_places_are_those_with_weights():
    assert places_of({"a.bias": torch.ones(1), "a.weight": torch.ones(2, 1)}) == {"a": (2, 1)}


def test_a_run_is_found_where_all_its_layers_follow_each_other():
    names = named_by_shape(file((2, 3), (9,), (2, 3), (7, 2)), RUNS)
    assert names == {"0": "single", "2": "pair.first", "3": "pair.second"}


def test_each_run_is_taken_once_and_the_rest_is_left_out():
    assert named_by_shape(file((2, 3, 1, 1), (2, 3)), RUNS) == {"0": "single"}


def test_a_repeated_run_is_named_again_only_with_the_same_values():
    tensors = file((2, 3), (2, 3))
    assert named_by_shape(tensors, RUNS, repeated=("single",)) == {"0": "single"}
    tensors["1.weight"] = tensors["0.weight"]
    assert named_by_shape(tensors, RUNS, repeated=("single",)) == {"0": "single", "1": "single"}
    tensors |= {"0.bias": torch.zeros(2), "1.bias": torch.ones(2)}
    assert named_by_shape(tensors, RUNS, repeated=("single",)) == {"0": "single"}


def test_a_file_of_very_many_layers_is_looked_through_soon():
    started = time.monotonic()
    assert named_by_shape({f"{n}.weight": torch.ones(1) for n in range(30_000)}, RUNS) == {}
    assert time.monotonic() - started < 10
