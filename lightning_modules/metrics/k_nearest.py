"""Nearest neighbours by cosine similarity, exactly, and the label they vote for. N queries, M answers, D numbers."""

import torch
from torch.nn import functional as F

ROWS = 512  # queries that are compared at a time: (ROWS,M) similarities are held


def k_nearest(queries, answers, k):
    """(similarity (N,k) in [-1,1], position (N,k) int64) of the k answers (M,D) most alike to each query (N,D)."""
    answers = F.normalize(answers.float(), dim=1)
    found = [(F.normalize(part.float(), dim=1) @ answers.T).topk(k, dim=1) for part in queries.split(ROWS)]
    return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])


def vote(labels, similarity):
    """The label (N,) that most of the neighbours have, labels and similarity (N,k); among equals, of the most alike."""
    shares = similarity.new_zeros(len(labels), int(labels.max()) + 1, dtype=torch.float64)
    tie_break = similarity.double() / (2 * similarity.shape[1] + 1)  # sums to less than 1/2 of a vote
    return shares.scatter_add_(1, labels, 1 + tie_break).argmax(1)
