import numpy as np
import pytest
import torch

from lightning_modules.color.ab_bins import ab_bins, gamut_nodes, published_prior
from lightning_modules.metrics.auc import PRIOR_FLOOR, ab_auc, mean_ab_error, rarity


@pytest.fixture
def pair():
    """(prediction, truth), ab (2,2,24,20) float64 with errors from 0 to beyond 150."""
    generator = torch.Generator().manual_seed(0)
    ab = 40 * torch.randn(2, 2, 24, 20, generator=generator, dtype=torch.float64)
    pred = ab + torch.linspace(0, 140, 20, dtype=torch.float64) * torch.randn(2, 1, 24, 20, generator=generator)
    return pred, ab


def curve_area(pred, ab, weights):
    """The definition word for word: a share for each of 151 thresholds, joined by straight lines. ab (2,H,W)."""
    distance = np.hypot(*(pred - ab))
    share = [weights[distance <= t].sum() / weights.sum() for t in range(151)]
    return np.trapezoid(share) / 150


def test_auc_equals_the_area_under_the_curve(pair):
    pred, ab = pair
    expected = [curve_area(p.numpy(), a.numpy(), np.ones((24, 20))) for p, a in zip(pred, ab, strict=True)]
    assert ab_auc(pred, ab).tolist() == pytest.approx(expected, abs=1e-12)


def test_weighted_auc_equals_the_area_under_the_weighted_curve(pair):
    pred, ab = pair
    weights = torch.rand(2, 1, 24, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = [curve_area(p.numpy(), a.numpy(), w[0].numpy()) for p, a, w in zip(pred, ab, weights, strict=True)]
    assert ab_auc(pred, ab, weights).tolist() == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(ab_auc(pred, ab, 1000 * weights), ab_auc(pred, ab, weights))


@pytest.mark.parametrize(
    ("error", "area"),
    [(0.0, 150), (0.4, 149.5), (1.0, 149.5), (1.1, 148.5), (149.5, 0.5), (150.0, 0.5), (150.1, 0), (400.0, 0)],
)
def test_one_pixel_counts_from_the_threshold_that_reaches_its_error(error, area):
    ab = torch.zeros(1, 2, 1, 1, dtype=torch.float64)
    pred = ab + torch.tensor([error, 0.0], dtype=torch.float64)[:, None, None]
    assert ab_auc(pred, ab).item() == pytest.approx(area / 150)


def test_mean_ab_error_is_the_mean_euclidean_distance():
    pred = torch.tensor([[3.0, 0.0], [4.0, 0.0]]).reshape(1, 2, 1, 2)  # errors of 5 and 0
    weights = torch.tensor([3.0, 1.0]).reshape(1, 1, 1, 2)
    assert mean_ab_error(pred, torch.zeros(1, 2, 1, 2)).item() == 2.5
    assert mean_ab_error(pred, torch.zeros(1, 2, 1, 2), weights).item() == 3.75


def test_rarity_is_the_inverse_prior_of_the_closest_bin(pair):
    _, ab = pair
    points = ab.permute(0, 2, 3, 1).reshape(-1, 2).numpy()
    closest = np.linalg.norm(points[:, None] - ab_bins().numpy()[None], axis=2).argmin(1)
    expected = 1 / np.maximum(published_prior().numpy().astype(np.float64), 1e-8)[closest]
    assert rarity(ab).flatten().tolist() == pytest.approx(expected.tolist(), rel=1e-12)


def test_rarity_floors_the_prior():
    prior = torch.zeros(313)
    assert rarity(torch.zeros(1, 2, 2, 2), prior).unique().item() == pytest.approx(1 / PRIOR_FLOOR)


def test_grey_on_evenly_spread_colours_scores_what_the_paper_prints():
    """Rebalancing over a whole data set makes all colours that occur equally frequent. Grey then has the mean area of
    the 233 in-gamut bins; Table 1 prints 58.0 % for grey on 10,000 photographs, measured here is 57.7 %."""
    inside = gamut_nodes().flatten()
    line = torch.arange(-110.0, 111.0, 10.0)
    ab = torch.cartesian_prod(line, line)[inside].t()[None, :, None]  # (1,2,1,233)
    assert 100 * ab_auc(torch.zeros_like(ab), ab).item() == pytest.approx(58.0, abs=0.5)
