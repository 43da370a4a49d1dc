"""With one process; tests/experiments/test_strategy.py has two."""

import pytest
import torch

from lightning_modules.ops import distributed
from lightning_modules.ops.distributed import (
    LostRank,
    average_over_ranks_,
    gather_objects,
    gather_to_first,
    is_shared_out,
    own_part,
    total_norm,
    whole,
    world_size,
)


def test_one_process_averages_over_itself():
    values = [torch.tensor([1.0, 2.0]), torch.tensor([3], dtype=torch.float64)]
    average_over_ranks_(values)
    assert world_size() == 1
    assert values[0].tolist() == [1.0, 2.0] and values[1].tolist() == [3.0]
    assert gather_objects({"a": 1}) == gather_to_first({"a": 1}) == [{"a": 1}]


@pytest.mark.parametrize(
    "collective, call",
    [
        ("all_reduce", lambda: average_over_ranks_([torch.ones(2)])),
        ("all_gather_object", lambda: gather_objects(1)),
        ("gather_object", lambda: gather_to_first(1)),
    ],
)
def test_a_collective_that_a_process_is_missing_from_raises_lost_rank(collective, call, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("[gloo/pair.cc:561] Connection closed by peer [127.0.0.1]:7042. This is typically caused by")

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed.distributed, collective, broken)
    with pytest.raises(LostRank, match=r"^rank 1 waited .* \(Connection closed by peer \[127.0.0.1\]:7042\)$"):
        call()


def test_what_no_rank_shares_out_is_whole():
    state = {"step": 3, "values": [torch.tensor([3.0, 4.0]), None]}
    assert whole(state)["values"][0] is own_part(state["values"][0]) is state["values"][0]
    assert whole(state)["step"] == 3 and not is_shared_out(state["values"][0])
    assert total_norm([torch.tensor([3.0]), torch.tensor([4.0])]).item() == 5.0
