import pytest

from experiments.evaluation.examples import pick_examples


@pytest.mark.parametrize(
    ("better", "expected"),
    [
        ("higher", {"worst": [2, 5], "median": [4, 1], "best": [6, 3]}),
        ("lower", {"worst": [3, 6], "median": [0, 1], "best": [5, 2]}),
    ],
)
def test_examples_are_the_ends_and_the_middle(better, expected):
    scores = [5.0, 4.0, 1.0, 9.0, 3.0, 2.0, 7.0]
    picked = pick_examples(scores, better, each=2)
    assert {place: [at for at, of in picked if of == place] for place in expected} == expected
    assert [place for _, place in picked] == ["worst"] * 2 + ["median"] * 2 + ["best"] * 2


def test_a_score_that_is_neither_better_nor_worse_is_taken_as_higher():
    assert pick_examples([1, 2, 3], None, each=1) == pick_examples([1, 2, 3], "higher", each=1)


@pytest.mark.parametrize("images", range(1, 15))
def test_no_image_comes_twice(images):
    positions = [at for at, _ in pick_examples([1.0] * images, "higher", each=4)]
    assert len(set(positions)) == len(positions) <= min(12, images)
    assert set(positions) <= set(range(images)) and len(positions) >= min(3, images)
