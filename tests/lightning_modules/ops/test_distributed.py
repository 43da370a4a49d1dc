"""With one process; tests/experiments/test_strategy.py has two."""

import torch

from lightning_modules.ops.distributed import average_over_ranks_, gather_objects, world_size


def test_one_process_averages_over_itself():
    values = [torch.tensor([1.0, 2.0]), torch.tensor([3], dtype=torch.float64)]
    average_over_ranks_(values)
    assert world_size() == 1
    assert values[0].tolist() == [1.0, 2.0] and values[1].tolist() == [3.0]
    assert gather_objects({"a": 1}) == [{"a": 1}]
