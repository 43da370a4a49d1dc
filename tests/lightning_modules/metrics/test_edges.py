import pytest
import torch

from lightning_modules.metrics.edges import canny_edges, edge_precision_recall


def edge_map(*rows):
    """From strings of dots and crosses, (1,1,H,W)."""
    return torch.tensor([[float(sign == "x") for sign in row] for row in rows])[None, None]


def step(low=0.2, high=0.8):
    """Dark left half, bright right half, (1,3,32,32)."""
    return torch.cat([torch.full((1, 3, 32, 16), low), torch.full((1, 3, 32, 16), high)], dim=3)


def test_a_step_has_one_edge_where_it_is():
    edges = canny_edges(step())
    assert edges.shape == (1, 1, 32, 32) and edges.dtype == torch.float32
    inside = edges[0, 0, 4:-4]  # the detector leaves out the border
    assert set(inside.nonzero()[:, 1].tolist()) <= {15, 16}  # a tie: both columns are as steep
    assert inside.sum(1).min() == 1


def test_a_faint_step_is_below_the_thresholds():
    assert canny_edges(step(0.45, 0.55)).sum() == 0
    assert canny_edges(torch.full((1, 3, 32, 32), 0.5)).sum() == 0


def test_sigma_smooths_fine_texture_away():
    checks = ((torch.arange(32)[:, None] + torch.arange(32)[None]) // 2 % 2).float().expand(1, 3, 32, 32)
    assert canny_edges(checks, sigma=0.5).sum() > 0 == canny_edges(checks, sigma=2).sum()


def test_grey_weighs_green_most():
    """Luma of BT.709 has 0.72 of green and 0.07 of blue: a step in blue alone is fainter."""
    blue, green = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)
    blue[:, 2, :, 16:] = green[:, 1, :, 16:] = 1
    assert canny_edges(green).sum() > 0 == canny_edges(blue).sum()


def test_precision_and_recall_by_hand():
    true = edge_map("xx..", "x...", "....")
    pred = edge_map("x.xx", "x...", "...x")  # 2 of 5 predicted are right, 2 of 3 wanted are found
    precision, recall = edge_precision_recall(pred, true)
    assert precision.tolist() == [0.4]
    assert recall.tolist() == pytest.approx([2 / 3])


def test_only_the_hole_counts():
    true = edge_map("xx..", "x...", "....")
    pred = edge_map("x.xx", "x...", "...x")
    left = edge_map("xx..", "xx..", "xx..")
    precision, recall = edge_precision_recall(pred, true, left)
    assert precision.tolist() == [1]
    assert recall.tolist() == pytest.approx([2 / 3])


def test_probabilities_above_one_half_are_edges():
    true = edge_map("x.x.")
    pred = torch.tensor([0.51, 0.49, 0.5, 0.9])[None, None, None]  # predicted are the first and the last
    precision, recall = edge_precision_recall(pred, true)
    assert (precision.item(), recall.item()) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("pred", "true", "expected"), [("....", "....", 1), ("x...", "....", 0), ("....", "x...", 0), ("x...", ".x..", 0)]
)
def test_maps_without_edges_score_as_in_the_official_code(pred, true, expected):
    precision, recall = edge_precision_recall(edge_map(pred), edge_map(true))
    assert precision.tolist() == recall.tolist() == [expected]


def test_an_empty_hole_counts_one():
    precision, recall = edge_precision_recall(edge_map("x..."), edge_map(".x.."), torch.zeros(1, 1, 1, 4))
    assert (precision.item(), recall.item()) == (1, 1)


def test_each_image_is_divided_by_its_own_edges():
    true = torch.cat([edge_map("xxxx"), edge_map("x...")])
    pred = torch.cat([edge_map("x..."), edge_map("xxxx")])
    precision, recall = edge_precision_recall(pred, true)
    assert (precision.tolist(), recall.tolist()) == ([1, 0.25], [0.25, 1])


def test_a_mask_that_is_not_b1hw_is_refused():
    with pytest.raises(ValueError, match="1 in the hole"):
        edge_precision_recall(edge_map("x..."), edge_map("x..."), torch.ones(1, 3, 1, 4))
