from collections import Counter

import pytest

from experiments.errors import UserError
from experiments.turing.design import CATCH, PRACTICE, SCORED, Design, pairs, photographs, roles


def test_the_design_is_the_papers():
    design = Design()
    assert (design.practice, design.trials, design.exposure, design.side) == (10, 40, 1.0, 256)
    assert (design.catch, design.scored, design.least) == (4, 36, 50)  # 10 % of 40


@pytest.mark.parametrize(("trials", "catch"), [(2, 1), (10, 1), (20, 2), (40, 4), (60, 6)])
def test_one_trial_in_ten_is_a_catch_trial_and_there_is_always_one(trials, catch):
    assert Design(trials=trials).catch == catch and Design(trials=trials).scored == trials - catch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"practice": -1}, "--practice must be 0 or more, got -1"),
        ({"trials": 1}, "--trials must be at least 2, one of them a catch trial; got 1"),
        ({"exposure": 0.0}, "--exposure is seconds, above 0 and below 60; got 0"),
        ({"exposure": float("nan")}, "--exposure is seconds, above 0 and below 60; got nan"),
        ({"pause": -0.1}, "--pause is seconds, from 0 to below 60; got -0.1"),
        ({"side": 4}, "--side is pixels, from 16 to 1024; got 4"),
    ],
)
def test_an_impossible_design_is_refused(settings, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        Design(**settings)


def test_photographs_are_drawn_without_repetition_by_the_seed_alone():
    chosen = photographs(500, None, Design(), seed=0)
    assert len(set(chosen)) == len(chosen) == 100 and max(chosen) < 500
    assert photographs(500, None, Design(), seed=0) == chosen != photographs(500, None, Design(), seed=1)
    assert sorted(photographs(60, None, Design(), seed=0)) == list(range(60))
    assert len(photographs(500, 50, Design(), seed=0)) == 50


@pytest.mark.parametrize(("available", "wanted", "count"), [(49, None, 49), (500, 12, 12)])
def test_too_few_photographs_for_a_session_are_refused(available, wanted, count):
    message = rf"needs 50 photographs \(10 practice, 4 catch and 36 scored trials\) and there are {count}"
    with pytest.raises(UserError, match=message):
        photographs(available, wanted, Design(), seed=0)


def test_more_photographs_than_there_are_cannot_be_had():
    with pytest.raises(UserError, match="^--images 70: the split has 60$"):
        photographs(60, 70, Design(), seed=0)


def test_every_photograph_has_one_role_and_one_pair():
    found = pairs(100, Design(), page=1, seed=0)
    assert Counter(pair.role for pair in found) == {PRACTICE: 10, CATCH: 4, SCORED: 86}
    assert sorted(pair.image for pair in found) == list(range(100))
    assert {pair.image: pair.role for pair in found} == dict(enumerate(roles(100, Design())))


def test_the_fake_is_first_in_half_of_the_pairs_of_each_role():
    for role, count in {PRACTICE: 10, CATCH: 4, SCORED: 86}.items():
        fakes = [pair.fake for pair in pairs(100, Design(), page=1, seed=0) if pair.role == role]
        assert fakes.count(0) == fakes.count(1) == count / 2
        assert fakes not in (sorted(fakes), sorted(fakes, reverse=True))


def test_names_are_all_different_and_say_neither_role_nor_truth():
    found = pairs(100, Design(), page=1, seed=0)
    names = [name for pair in found for name in (pair.id, *pair.pictures)]
    assert len(set(names)) == 300 and {len(name) for name in names} == {6}
    real_first = sum(pair.pictures[1 - pair.fake] < pair.pictures[pair.fake] for pair in found)
    assert 30 < real_first < 70  # of 100 coins: outside of it once in 20,000 draws
    assert names != [name for pair in pairs(100, Design(), page=2, seed=0) for name in (pair.id, *pair.pictures)]
