"""Seeds as replicates, against numbers worked by hand."""

import pytest

from experiments.studies.ablation_statistics import Difference, over_images, paired, spread, with_holm


def test_spread_divides_by_one_less_than_the_seeds():
    # Deviations from 2 are -1, 0 and 1: (1 + 0 + 1) / 2 = 1.
    assert (spread([1, 2, 3]).mean, spread([1, 2, 3]).sd, spread([1, 2, 3]).seeds) == (2, 1, 3)
    assert spread([5.0]).sd is None


def test_the_paired_interval_and_p_of_three_seeds_are_those_of_a_t_table():
    # Differences 1, 2 and 3: mean 2, standard error 1 / sqrt(3) = 0.57735, t = 3.4641 with 2 degrees of freedom.
    # A table of t gives 4.3027 at 97.5 %: 2 -+ 2.4841. With 2 degrees P(|T| > t) = 1 - t / sqrt(t^2 + 2) = 0.07418.
    found = paired({0: 11, 1: 22, 2: 33}, {0: 10, 1: 20, 2: 30})
    assert found.mean == 2 and found.of_seeds == {0: 1, 1: 2, 2: 3}
    assert (found.low, found.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)
    assert found.p == pytest.approx(0.07418, abs=1e-5)


def test_two_seeds_give_the_interval_of_one_degree_of_freedom():
    # Differences 1 and 2: mean 1.5, standard error 0.5, t 12.7062 at 97.5 %. P(|T| > 3) = 1 - 2 atan(3) / pi = 0.20483.
    found = paired({0: 1, 1: 2}, {0: 0, 1: 0})
    assert (found.low, found.high) == pytest.approx((1.5 - 6.3531, 1.5 + 6.3531), abs=1e-4)
    assert found.p == pytest.approx(0.20483, abs=1e-5)


def test_seeds_are_paired_by_number_and_those_of_one_row_alone_are_left_out():
    found = paired({3: 1.0, 0: 5.0}, {0: 4.0, 1: 9.0})
    assert found == Difference(mean=1.0, of_seeds={0: 1.0})  # one seed: neither interval nor p
    assert paired({3: 1.0}, {0: 4.0}) is None


def test_seeds_that_agree_in_every_digit_leave_nothing_to_test():
    same, shifted = paired({0: 1, 1: 2}, {0: 1, 1: 2}), paired({0: 2, 1: 3}, {0: 1, 1: 2})
    assert (same.low, same.high, same.p) == (0, 0, 1)
    assert (shifted.low, shifted.high, shifted.p) == (1, 1, 0)


def test_the_test_over_images_takes_the_mean_over_seeds_of_each_image():
    # Image differences (1 + 3) / 2 = 2 and (2 + 2) / 2 = 2: of the four ways to flip two signs, two reach |4|.
    row, base = {0: [2.0, 4.0], 1: [4.0, 4.0]}, {0: [1.0, 2.0], 1: [1.0, 2.0]}
    assert over_images(row, base, None) == {"low": 2.0, "high": 2.0, "p": 0.5}
    assert over_images({0: [1.0]}, {0: [0.0]}, None) is None


def test_images_count_by_their_weight():
    # Differences 1, 1, -1 with weights 2, 2, 1 add up to 3, which 4 of the 8 +-2 +-2 +-1 reach. Unweighted, all do.
    row, base = {0: [1.0, 1.0, 0.0]}, {0: [0.0, 0.0, 1.0]}
    assert over_images(row, base, [2.0, 2.0, 1.0])["p"] == 0.5
    assert over_images(row, base, None)["p"] == 1.0


def test_p_is_adjusted_over_the_rows_that_have_one():
    # Holm: the smallest of two p times two, and the next at least as much.
    found = with_holm(
        {
            "a": Difference(mean=1, of_seeds={}, p=0.04),
            "b": Difference(mean=1, of_seeds={}, p=0.01),
            "one seed": Difference(mean=1, of_seeds={}),
        }
    )
    assert {name: each.p_holm for name, each in found.items()} == {"a": 0.04, "b": 0.02, "one seed": None}
    assert with_holm({}) == {}
