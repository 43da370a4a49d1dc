import pytest

from datamodules.masks.ranges import check_range, check_ratios, check_sizes, in_pixels, side_in_pixels


@pytest.mark.parametrize("pair", [[3, 2], [0, 2], [1, 2, 3], [1]])
def test_a_range_needs_two_ordered_numbers_within_bounds(pair):
    with pytest.raises(ValueError, match=r"count must be \[low, high\] with low <= high, both at least 1; got \["):
        check_range("count", pair, least=1)


def test_a_range_may_be_bounded_above():
    check_range("lean", [0, 90], least=0, most=90)
    with pytest.raises(ValueError, match=r"both within \[0, 90\]; got \[0, 91\]"):
        check_range("lean", [0, 91], least=0, most=90)


@pytest.mark.parametrize("pair", [[0.5, 20], [0, 0.5], [0, 20]])
def test_sizes_are_both_shares_or_both_pixels(pair):
    with pytest.raises(ValueError, match="side must be two shares of the shorter image side"):
        check_sizes("side", pair)


@pytest.mark.parametrize("pair", [[0.1, 1], [0.1, 0.1], [2, 96]])
def test_shares_and_pixels_pass(pair):
    check_sizes("side", pair)


@pytest.mark.parametrize("low, high", [(-0.1, 0.5), (0.5, 0.5), (0.5, 0.4), (0.5, 1.1)])
def test_hole_shares_must_be_ordered_and_possible(low, high):
    with pytest.raises(ValueError, match=f"min_ratio={low}, max_ratio={high}"):
        check_ratios(low, high)


def test_sizes_up_to_one_are_shares_of_the_shorter_side():
    assert in_pixels(0.25, 64, 128) == 16
    assert in_pixels(1, 64, 128) == 64
    assert in_pixels(1.5, 64, 128) == 1.5


def test_a_side_has_at_least_one_pixel_and_fits():
    assert side_in_pixels(0.001, 64, 64) == 1
    assert side_in_pixels(64, 64, 128) == 64
    with pytest.raises(ValueError, match="a hole of side 65 does not fit into an image of 64 x 128: give its side"):
        side_in_pixels(65, 64, 128)
