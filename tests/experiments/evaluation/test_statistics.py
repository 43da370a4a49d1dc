"""Intervals and tests against SciPy's, and against numbers worked by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments.evaluation import statistics
from experiments.evaluation.scoring import Row
from experiments.evaluation.statistics import Mean, buckets, comparisons, holm, intervals, means, sign_flip_p


def row(index=0, ratio=0.5, weights=None, **values):
    scores = {name: {"psnr": value} for name, value in values.items()}
    return Row(index=index, pixels_sha256=b"", mask_sha256=b"", hole_ratio=ratio, scores=scores, weights=weights or {})


def sample(count, columns=1, seed=0):
    return np.random.default_rng(seed).gamma(2.0, size=(count, columns))


def test_means_do_not_round_on_the_way():
    values = [1e16, 1.0, -1e16, 1.0]  # added up one by one in float64: 1
    assert means([row(x=value) for value in values])["x"]["psnr"].value == 0.5
    weighted = [row(x=1.0, weights={"psnr": 3.0}), row(x=5.0, weights={"psnr": 1.0})]
    assert means(weighted)["x"]["psnr"].value == 2.0


def test_one_image_has_a_mean_and_no_interval():
    assert means([row(x=3.0)]) == {"x": {"psnr": Mean(value=3.0)}}


def test_an_interval_is_that_of_scipys_bootstrap():
    values, weights = sample(80, 2), sample(80, 2, seed=1)
    low, high = intervals(values, weights)
    for column in range(2):
        reference = stats.bootstrap(
            (values[:, column], weights[:, column]),
            lambda v, w, axis: (v * w).sum(axis) / w.sum(axis),
            paired=True,
            vectorized=True,
            method="percentile",
            n_resamples=20_000,
            rng=np.random.default_rng(2),
        ).confidence_interval
        width = reference.high - reference.low
        assert low[column] == pytest.approx(reference.low, abs=0.05 * width)
        assert high[column] == pytest.approx(reference.high, abs=0.05 * width)


def test_an_interval_is_the_same_in_any_chunk(monkeypatch):
    values = sample(30)
    whole = intervals(values, np.ones_like(values))
    monkeypatch.setattr(statistics, "CHUNK", 7 * 30)
    assert np.array_equal(intervals(values, np.ones_like(values)), whole)


def test_an_interval_of_equal_values_is_that_value():
    low, high = intervals(np.full((5, 1), 2.5), np.ones((5, 1)))
    assert (low[0], high[0]) == (2.5, 2.5)


@pytest.mark.parametrize("count", [4, 9, 13])
def test_p_of_few_images_counts_every_flip(count):
    differences = np.random.default_rng(count).normal(0.4, 1, (count, 1))
    reference = stats.permutation_test(
        (differences[:, 0],), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip_p(differences)[0] == pytest.approx(reference.pvalue, rel=1e-9)
    assert sign_flip_p(np.ones((4, 1)))[0] == 2 / 16  # all signs kept and all flipped reach the mean


def test_p_of_many_images_is_that_of_a_t_test():
    differences = np.random.default_rng(0).normal(0.12, 1, (400, 1))
    assert sign_flip_p(differences)[0] == pytest.approx(stats.ttest_1samp(differences[:, 0], 0).pvalue, abs=0.01)
    assert sign_flip_p(np.ones((40, 1)))[0] == 1 / (statistics.FLIPS + 1)  # never 0


def test_a_p_by_holm_does_not_depend_on_who_else_is_compared():
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(3, 2, 30)) + np.array([0.5, 0, 0.1])[:, None, None]
    rows = [
        Row(
            index=at,
            pixels_sha256=b"",
            mask_sha256=None,
            hole_ratio=None,
            scores={name: {"psnr": of[0, at], "l1": of[1, at]} for name, of in zip("abc", noise, strict=True)},
            weights={},
        )
        for at in range(30)
    ]
    alone, beside = comparisons(rows, "a", ["b"]), comparisons(rows, "a", ["c", "b"])
    assert [each.p_holm for each in alone] == [each.p_holm for each in beside if each.second == "b"]
    assert [each.p_holm for each in alone] == holm(np.array([each.p for each in alone])).tolist()
    assert any(each.p_holm > each.p for each in alone)


def test_holm_is_as_worked_by_hand():
    # sorted 0.01, 0.02, 0.04 times 3, 2, 1: 0.03, 0.04, 0.04; 0.9 stays in place and nothing passes 1
    assert holm(np.array([0.04, 0.01, 0.02])).tolist() == pytest.approx([0.04, 0.03, 0.04])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_a_comparison_is_paired():
    rows = [row(index=i, a=20.0 + 10 * (i % 2) + 1 + 0.01 * i, b=20.0 + 10 * (i % 2)) for i in range(20)]
    (found,) = comparisons(rows, "a", ["b"])
    assert (found.metric, found.first, found.second) == ("psnr", "a", "b")
    assert found.difference == pytest.approx(1.095)
    assert 1.05 < found.low < found.difference < found.high < 1.15  # the images differ by 10 dB, the pairs do not
    assert found.p == found.p_holm == 1 / (statistics.FLIPS + 1)


def test_a_weighted_difference_is_the_difference_of_the_weighted_means():
    rows = [row(index=i, a=float(i), b=2.0, weights={"psnr": 1.0 + i}) for i in range(5)]
    of = means(rows)
    (found,) = comparisons(rows, "a", ["b"])
    assert found.difference == pytest.approx(of["a"]["psnr"].value - of["b"]["psnr"].value)


def test_equal_answers_are_no_difference():
    (found,) = comparisons([row(index=i, a=float(i), b=float(i)) for i in range(30)], "a", ["b"])
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_nothing_is_compared_on_one_image_or_in_a_metric_that_one_has_not():
    assert comparisons([row(a=1.0, b=2.0)], "a", ["b"]) == []
    rows = [
        Row(
            index=i,
            pixels_sha256=b"",
            mask_sha256=None,
            hole_ratio=None,
            scores={"a": {"psnr": 1.0}, "b": {}},
            weights={},
        )
        for i in "xy"
    ]
    assert comparisons(rows, "a", ["b"]) == []


def test_a_bucket_takes_its_upper_end_in():
    rows = [row(index=i, ratio=ratio, x=0.0) for i, ratio in enumerate([0.0, 0.1, 0.1000001, 0.2, 0.3])]
    found = [(low, high, [r.index for r in of]) for low, high, of in buckets(rows, [0.0, 0.1, 0.2])]
    assert found == [(0.0, 0.1, [0, 1]), (0.1, 0.2, [2, 3])]


def test_an_interval_narrows_with_the_root_of_the_number_of_images():
    widths = []
    for count in (100, 400):
        low, high = intervals(np.tile([[0.0], [1.0]], (count // 2, 1)), np.ones((count, 1)))
        widths.append((high - low)[0])
    assert widths[0] == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 100), rel=0.08)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.1)
