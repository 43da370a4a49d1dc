import pytest
import torch

from lightning_modules.metrics import k_nearest as module
from lightning_modules.metrics.k_nearest import k_nearest, vote


def test_neighbours_are_ordered_by_the_cosine():
    queries = torch.tensor([[1.0, 0.0]])
    answers = torch.tensor([[0.0, 2.0], [3.0, 4.0], [0.5, 0.0], [-1.0, 0.0]])  # cosines 0, 0.6, 1, -1
    similarity, position = k_nearest(queries, answers, 3)
    assert position.tolist() == [[2, 1, 0]]
    assert similarity.tolist() == [pytest.approx([1, 0.6, 0])]


def test_queries_that_come_in_parts_have_the_same_neighbours(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    queries, answers = torch.randn(7, 5, generator=generator), torch.randn(20, 5, generator=generator)
    similarity, position = k_nearest(queries, answers, 4)
    monkeypatch.setattr(module, "ROWS", 3)
    in_parts = k_nearest(queries, answers, 4)
    assert torch.equal(in_parts[1], position) and torch.allclose(in_parts[0], similarity)
    every = torch.nn.functional.cosine_similarity(queries[:, None], answers[None], dim=2)
    assert torch.equal(every.argsort(dim=1, descending=True)[:, :4], position)


def test_most_votes_win_and_among_equals_the_most_alike():
    labels = torch.tensor([[3, 1, 1], [3, 1, 0], [0, 2, 0], [2, 1, 0]])
    similarity = torch.tensor([[1.0, 0.1, 0.1], [0.2, 0.9, 0.1], [-0.9, 1.0, -1.0], [-0.5, -0.6, -0.7]])
    assert vote(labels, similarity).tolist() == [1, 1, 0, 2]
