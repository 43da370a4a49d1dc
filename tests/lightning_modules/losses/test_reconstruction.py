import pytest
import torch

from lightning_modules.losses.reconstruction import (
    l1_in_hole,
    l1_weighted,
    l2_in_hole,
    l2_weighted,
    overlap_weights,
)

ALL = [l1_weighted, l2_weighted, l1_in_hole, l2_in_hole]


def two_by_two():
    """Prediction 2 x 2 of one channel whose left column is the hole, and a target of 0."""
    pred = torch.tensor([[[[0.5, 9.0], [0.0, 9.0]]]])
    mask = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    return pred, torch.zeros_like(pred), mask


def centre_hole(side, overlap):
    hole = torch.zeros(1, 1, side, side)
    hole[..., overlap : side - overlap, overlap : side - overlap] = 1
    return hole


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (l1_weighted, 0.5 / 4),  # C*H*W = 4 values, not the hole's 2: MMagic's reduction would give 0.25
        (l2_weighted, 0.25 / 4),
        (l1_in_hole, 0.5 / 2),
        (l2_in_hole, 0.25 / 2),
    ],
)
def test_hole_losses_divide_by_what_they_say(loss, by_hand):
    assert loss(*two_by_two()).item() == pytest.approx(by_hand)


def test_weighted_losses_by_hand():
    pred, target, _ = two_by_two()
    weight = torch.tensor([[[[10.0, 1.0], [0.0, 0.0]]]])
    assert l1_weighted(pred, target, weight).item() == pytest.approx((10 * 0.5 + 9.0) / 4)
    assert l2_weighted(pred, target, weight).item() == pytest.approx((10 * 0.25 + 81.0) / 4)


def test_three_channels_share_one_mask():
    pred, target, mask = two_by_two()
    pred = torch.cat([pred, 2 * pred, 0 * pred], dim=1)  # errors 0.5, 1.0, 0.0 in one of the two hole pixels
    target = torch.zeros_like(pred)
    assert l1_weighted(pred, target, mask).item() == pytest.approx(1.5 / 12)
    assert l1_in_hole(pred, target, mask).item() == pytest.approx(1.5 / 6)


def test_in_hole_losses_give_every_image_the_same_say_however_large_its_hole():
    pred = torch.ones(2, 1, 4, 4) * torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, :, 0, 0], mask[1] = 1, 1  # a hole of one pixel, and one of sixteen
    assert l1_in_hole(pred, torch.zeros_like(pred), mask).item() == pytest.approx((1 + 3) / 2)
    assert l2_in_hole(pred, torch.zeros_like(pred), mask).item() == pytest.approx((1 + 9) / 2)
    assert l1_weighted(pred, torch.zeros_like(pred), mask).item() == pytest.approx((1 * 1 + 16 * 3) / 32)


@pytest.mark.parametrize("loss", ALL)
def test_no_gradient_leaves_the_hole(loss):
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(2, 3, 8, 8, generator=generator, requires_grad=True)
    mask = (torch.rand(2, 1, 8, 8, generator=generator) < 0.3).float()
    loss(pred, torch.zeros(2, 3, 8, 8), mask).backward()
    inside = mask.bool().expand_as(pred)
    assert pred.grad[~inside].abs().max() == 0 < pred.grad[inside].abs().min()


@pytest.mark.parametrize("loss", ALL)
def test_an_image_without_a_hole_costs_nothing(loss):
    pred = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert loss(pred, 1 - pred, torch.zeros(2, 1, 8, 8)).item() == 0


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 8, 8), (1, 1, 8, 8), (2, 1, 8, 4)])
def test_a_mask_that_is_not_b1hw_is_refused(loss, shape):
    with pytest.raises(ValueError, match="1 in the hole"):
        loss(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.ones(shape))


@pytest.mark.parametrize("loss", ALL)
def test_a_target_that_would_broadcast_is_refused(loss):
    with pytest.raises(AssertionError):
        loss(torch.rand(2, 3, 8, 8), torch.rand(2, 1, 8, 8), torch.ones(2, 1, 8, 8))


def test_overlap_of_4_at_64_weighs_3_109375_on_average():
    # The Context Encoders code: a ring of 64^2 - 56^2 = 960 pixels of weight 10 around 56^2 = 3136 of weight 1.
    weights = overlap_weights(centre_hole(64, 4), 10.0)
    assert (weights == 10).sum() == 960 and (weights == 1).sum() == 3136
    assert weights.mean().item() == 3.109375


def test_without_overlap_every_weight_is_1():
    assert (overlap_weights(centre_hole(64, 0), 10.0) == 1).all()
