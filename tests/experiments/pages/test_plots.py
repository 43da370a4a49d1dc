import numpy as np
import pytest

from experiments.pages.plots import MARKS, WIDTH, Axis, sparkline, strip


@pytest.mark.parametrize(
    ("values", "ticks", "digits"),
    [
        ([0, 10], (0, 2, 4, 6, 8, 10), 0),
        ([12.3, 47.9], (10, 20, 30, 40, 50), 0),
        ([0.91, 0.97], (0.9, 0.92, 0.94, 0.96, 0.98), 2),
        ([-3, 3], (-4, -2, 0, 2, 4), 0),
        ([0, 23_000], (0, 5_000, 10_000, 15_000, 20_000, 25_000), 0),
    ],
)
def test_ticks_are_round_numbers_around_all_values(values, ticks, digits):
    axis = Axis.over(values)
    assert axis.ticks == pytest.approx(ticks) and axis.digits == digits
    assert axis.ticks[0] <= values[0] and axis.ticks[-1] >= values[1]


def test_values_that_are_all_alike_stand_in_the_middle():
    assert Axis.over([7, 7]).share(7) == pytest.approx(0.5)


def test_labels_stand_where_their_numbers_are():
    assert Axis.over([0.5, 2.1]).labels() == [(0.0, "0.5"), (25.0, "1.0"), (50.0, "1.5"), (75.0, "2.0"), (100.0, "2.5")]


def test_a_strip_has_a_mark_an_image_and_a_box_around_the_middle_half():
    found = strip([0, 4, 1, 3, 2], Axis.over([0, 5]), digits=1)
    assert found.marks == [0, 200, 400, 600, 800]
    assert (found.low, found.left, found.median, found.right, found.high) == (0, 200, 400, 600, 800)
    assert found.spoken == "median 2.0, half of the images between 1.0 and 3.0, all between 0.0 and 4.0"


def test_a_strip_of_many_images_shows_some_of_them_with_both_ends():
    values = np.random.default_rng(0).random(10_000)
    axis = Axis.over(values)
    found = strip(values, axis, digits=2)
    assert len(found.marks) == MARKS
    assert found.marks[0] == pytest.approx(WIDTH * axis.share(values.min()), abs=0.1)
    assert found.marks[-1] == pytest.approx(WIDTH * axis.share(values.max()), abs=0.1)


def test_a_strip_of_one_image_is_a_point():
    found = strip([2.5], Axis.over([2.5]), digits=0)
    assert found.marks == [found.median] == [found.low] == [500]


def test_a_sparkline_rises_with_its_values_and_passes_over_gaps():
    assert sparkline([1, 3, 2], 1, 3) == "0.0,22.0 50.0,2.0 100.0,12.0"
    assert sparkline([1, None, 3], 1, 3) == "0.0,22.0 100.0,2.0"
    assert sparkline([5], 5, 5) == "0.0,22.0"
