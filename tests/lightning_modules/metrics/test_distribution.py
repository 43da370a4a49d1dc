import random
import sys

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from lightning_modules.metrics import distribution
from lightning_modules.metrics.distribution import fid, kid, p_ids, svm_sides, u_ids


def features(count, size, seed, mean=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return mean + scale * torch.randn(count, size, generator=generator, dtype=torch.float64)


def whitened(count, size, seed):
    """Numbers whose mean is 0 and whose unbiased covariance is the identity, to rounding."""
    centred = features(count, size, seed)
    centred -= centred.mean(0)
    return torch.linalg.qr(centred).Q * (count - 1) ** 0.5


def mixed(seed, mean):
    """(80,12) with correlated columns."""
    return features(80, 12, seed) @ features(12, 12, seed + 1) + mean


def test_fid_equals_the_formula_with_a_root_of_a_matrix():
    real, fake = mixed(0, 0.0).numpy(), mixed(5, 0.7).numpy()
    covariance, fake_covariance = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    means = np.square(real.mean(0) - fake.mean(0)).sum()
    expected = means + np.trace(covariance + fake_covariance - 2 * sqrtm(covariance @ fake_covariance).real)
    assert fid(real, fake) == pytest.approx(expected, rel=1e-10)


def test_fid_equals_that_of_torchmetrics():
    identity = nn.Identity()
    identity.num_features = 12
    metric = FrechetInceptionDistance(feature=identity).set_dtype(torch.float64)
    real, fake = mixed(0, 0.0), mixed(5, 0.7)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert fid(real, fake) == pytest.approx(metric.compute().item(), rel=1e-10)


def test_fid_of_gaussians_that_share_their_axes_has_a_closed_form():
    """|m1 - m2|^2 + sum of (s1 - s2)^2 over the axes."""
    scale, fake_scale = torch.linspace(1, 3, 6), torch.linspace(2, 1, 6)
    shift = torch.tensor([1.0, -2, 0, 0, 3, 0])
    real, fake = whitened(40, 6, 0) * scale, whitened(50, 6, 1) * fake_scale + shift
    expected = shift.square().sum() + (scale - fake_scale).square().sum()
    assert fid(real, fake) == pytest.approx(expected.item(), rel=1e-6)


def test_a_set_has_no_distance_from_itself_with_fewer_images_than_features():
    few = features(20, 2048, 0)
    assert fid(few, few) == pytest.approx(0, abs=1e-9)
    assert fid(few, few + 0.1) == pytest.approx(2048 * 0.01, rel=1e-9)


def test_fid_takes_float32_and_does_not_care_for_the_order():
    real, fake = mixed(0, 0.0).float(), mixed(5, 0.7).float()
    assert fid(real, fake) == pytest.approx(fid(real.flip(0).numpy(), fake[torch.randperm(80)]), rel=1e-12)
    assert fid(real, fake) == pytest.approx(fid(fake, real), rel=1e-12)


@pytest.mark.parametrize("shapes", [((5, 4), (5, 3)), ((1, 4), (5, 4)), ((5,), (5,))])
@pytest.mark.parametrize("score", [fid, lambda real, fake: kid(real, fake, 0)])
def test_features_of_other_shapes_are_refused(score, shapes):
    with pytest.raises(ValueError, match="features must be .N,D. and .M,D. of at least two images"):
        score(*(torch.zeros(shape) for shape in shapes))


def unbiased_mmd(real, fake):
    """Binkowski 2018, Eq. 4, pair by pair."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    n = len(real)
    within = sum(kernel(real[i], real[j]) + kernel(fake[i], fake[j]) for i in range(n) for j in range(n) if i != j)
    across = sum(kernel(x, y) for x in real for y in fake)
    return within / (n * (n - 1)) - 2 * across / n**2


def test_kid_of_few_images_is_the_unbiased_mmd_of_all():
    real, fake = features(12, 6, 0), features(12, 6, 1, mean=0.5)
    mean, deviation = kid(real, fake, seed=0)
    assert mean == pytest.approx(unbiased_mmd(real.numpy(), fake.numpy()), rel=1e-10)
    assert np.isnan(deviation)


def test_kid_of_many_images_averages_over_subsets_close_to_all(monkeypatch):
    monkeypatch.setattr(distribution, "SUBSET_SIZE", 50)
    real, fake = features(200, 8, 0), features(300, 8, 1, mean=0.5)
    whole = unbiased_mmd(real[:100].numpy(), fake[:100].numpy())
    mean, deviation = kid(real, fake, seed=0)
    assert 0 < deviation < mean
    assert mean == pytest.approx(whole, abs=deviation)


def test_kid_depends_on_the_seed_alone_and_moves_no_generator(monkeypatch):
    monkeypatch.setattr(distribution, "SUBSET_SIZE", 10)
    real, fake = features(40, 8, 0), features(40, 8, 1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first = kid(real, fake, seed=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1]) and random.getstate() == before[2]
    torch.rand(1)
    assert kid(real, fake, seed=3) == first != kid(real, fake, seed=4)


def both_ids(real, fake):
    sides = svm_sides(real, fake)
    return u_ids(*sides), p_ids(*sides)


def test_sets_that_a_plane_separates_have_no_inception_discriminative_scores():
    real, fake = features(50, 4, 0, mean=5.0), features(50, 4, 1, mean=-5.0)
    assert both_ids(real, fake) == (0, 0)


def test_sets_of_one_distribution_are_told_apart_little_better_than_by_chance():
    real, fake = features(2000, 4, 0), features(2000, 4, 1)
    unpaired, paired = both_ids(real, fake)
    assert 0.45 < unpaired <= 0.5 and 0.45 < paired < 0.52


def test_discriminative_scores_in_one_dimension_by_hand():
    """Mirrored about 0, so the plane lies at 0 with real on the right: 1 of 4 is wrong on either side, and fake beats
    real in the last row alone."""
    real = torch.tensor([[2.0], [3.0], [4.0], [-1.0]])
    fake = torch.tensor([[-2.0], [-3.0], [-4.0], [1.0]])
    assert both_ids(real, fake) == (0.25, 0.25)


def test_an_exact_copy_has_a_u_ids_of_one_half_and_wins_no_pair():
    real = features(30, 4, 0)
    assert both_ids(real, real) == (0.5, 0)


def test_discriminative_scores_move_no_generator():
    np.random.seed(0)
    before = np.random.get_state()[1:3]
    svm_sides(features(20, 4, 0), features(20, 4, 1))
    after = np.random.get_state()[1:3]
    assert np.array_equal(before[0], after[0]) and before[1] == after[1]


def test_p_ids_needs_pairs():
    with pytest.raises(ValueError, match="a real image for each fake one; got 5 and 6"):
        svm_sides(features(5, 4, 0), features(6, 4, 1))


def test_without_scikit_learn_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(ModuleNotFoundError, match=r"need scikit-learn.*pip install -e '.\[metrics\]'"):
        svm_sides(features(5, 4, 0), features(5, 4, 1))
