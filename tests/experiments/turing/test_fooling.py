import math

import numpy as np
import pytest

from experiments.errors import UserError
from experiments.turing.answers import Session, Trial
from experiments.turing.fooling import RESAMPLES, Rule, judge, ranked

DESIGN = {"practice": 0, "trials": 10, "scored": 8, "catch": 2, "exposure": 1.0}
STUDY = {"design": DESIGN, "pages": [{"page": 1, "name": "a.ckpt"}, {"page": 2, "name": "b.ckpt"}]}


def session(participant, fooled, *, caught=2, page=1, started="2026-01-01", response=0.5, exposure=1.0, name=None):
    """Fooled by the first `fooled` of photographs 0 to 7; `caught` of two catch trials right."""
    shown = {"exposure": (1.0, exposure), "response": response}
    trials = [Trial(role="scored", image=image, fooled=image < fooled, **shown) for image in range(8)]
    trials += [Trial(role="catch", image=8 + number, fooled=number >= caught, **shown) for number in range(2)]
    return Session(
        file=f"{participant}.json",
        participant=participant,
        session=name or f"{participant} {page} {started}",
        page=page,
        started=started,
        trials=trials,
    )


def why(*sessions, rule=None):
    return [each["why"] for each in judge(STUDY, sessions, rule or Rule()).excluded]


def test_the_rate_and_its_error_are_those_worked_out_by_hand():
    # Two participants, fooled in 2 and in 6 of 8 trials. A draw of two with replacement gives 25 % one time in four,
    # 50 % two times and 75 % one: mean 50, variance (625 + 0 + 0 + 625) / 4 = 312.5.
    row = judge(STUDY, [session("a", 2), session("b", 6)], Rule()).rows[0]
    assert (row.participants, row.trials, row.fooled.value) == (2, 16, 50.0)
    assert row.fooled.se == pytest.approx(math.sqrt(312.5), rel=4 / math.sqrt(RESAMPLES))
    assert (row.fooled.low, row.fooled.high) == (25.0, 75.0)


def test_the_error_of_many_participants_is_that_of_a_mean():
    fooled = np.random.default_rng(0).binomial(8, 0.3, 40)
    row = judge(STUDY, [session(f"p{n}", count) for n, count in enumerate(fooled)], Rule()).rows[0]
    assert row.fooled.value == pytest.approx(100 * fooled.mean() / 8)
    assert row.fooled.se == pytest.approx(100 * fooled.std() / 8 / math.sqrt(40), rel=0.03)
    assert row.fooled.low == pytest.approx(row.fooled.value - 1.96 * row.fooled.se, abs=0.8)


def test_catch_trials_do_not_count_towards_the_rate():
    rule = Rule(catch=0)
    rows = [judge(STUDY, [session("a", 2, caught=caught)], rule).rows[0] for caught in (0, 1, 2)]
    assert [row.fooled.value for row in rows] == [25.0] * 3
    assert [row.spotted for row in rows] == [0, 50, 100]


def test_one_participant_has_a_rate_without_an_error_and_none_has_no_rate():
    first, second = judge(STUDY, [session("a", 3)], Rule()).rows
    assert (first.fooled.value, first.fooled.se, first.fooled.low) == (37.5, None, None)
    assert (second.participants, second.fooled.value, second.spotted, second.images) == (0, None, None, {})


def test_careless_sessions_are_left_out_and_the_reason_is_named():
    good = session("good", 4)
    assert why(good) == []
    assert why(good, session("guess", 4, caught=1)) == ["1 of 2 catch trials right, 75% expected"]
    assert why(session("hasty", 4, response=0.05)) == ["100% of the answers within 0.1 s, at most 20% expected"]
    assert why(session("jerky", 4, exposure=1.2)) == ["no picture was shown for 1 s within 0.1 s"]
    cut = session("cut", 4)
    del cut.trials[0]
    assert why(cut) == ["not complete: 9 of 10 trials"]


def test_a_careless_session_changes_no_rate_but_counts_in_how_often_catch_trials_are_spotted():
    row = judge(STUDY, [session("good", 4), session("guess", 8, caught=0)], Rule()).rows[0]
    assert (row.participants, row.fooled.value, row.spotted) == (1, 50.0, 50.0)


def test_every_setting_of_the_rule_acts():
    assert why(session("a", 4, caught=1), rule=Rule(catch=0.5)) == []
    assert why(session("a", 4, response=0.05), rule=Rule(fast=0.04)) == []
    assert why(session("a", 4, response=0.05), rule=Rule(fast_share=1)) == []
    assert why(session("a", 4, exposure=1.2), rule=Rule(drift=0.3)) == []


def test_only_the_first_session_of_a_participant_counts():
    again = session("a", 8, started="2026-01-02")
    result = judge(STUDY, [again, session("a", 2), session("a", 8, page=2, started="2026-01-03")], Rule())
    assert [row.fooled.value for row in result.rows] == [25.0, None]
    assert {each["why"] for each in result.excluded} == {"a second session of the same participant"}
    assert len(result.excluded) == 2


def test_the_same_session_counts_once():
    result = judge(STUDY, [session("a", 2), session("a", 2), session("b", 2)], Rule())
    assert (result.rows[0].participants, [each["why"] for each in result.excluded]) == (2, ["the same session again"])
    assert judge(STUDY, [session("a", 2, caught=2), session("a", 2, caught=2)], Rule()).rows[0].spotted == 100


def test_a_trial_with_another_exposure_is_not_counted():
    odd = session("a", 4)
    odd.trials[0] = Trial(role="scored", image=0, fooled=True, exposure=(1.0, 1.3), response=0.5)
    row = judge(STUDY, [odd], Rule()).rows[0]
    assert (row.trials, row.off, row.fooled.value) == (7, 1, pytest.approx(100 * 3 / 7))


def test_pictures_are_counted_one_by_one_and_ranked():
    row = judge(STUDY, [session("a", 1), session("b", 3)], Rule()).rows[0]
    assert row.images == {0: (2, 2), 1: (1, 2), 2: (1, 2)} | {image: (0, 2) for image in range(3, 8)}
    assert ranked(row.images, most=True)[:3] == [(0, 2, 2), (1, 1, 2), (2, 1, 2)]
    assert ranked(row.images, most=False)[0] == (3, 0, 2)
    assert ranked({5: (1, 1), 6: (4, 4)}, most=True)[0] == (6, 4, 4)  # the one that more people judged


def test_two_algorithms_are_compared_by_the_same_bootstrap():
    close = [session(f"a{n}", 2 + n % 3) for n in range(20)] + [session(f"b{n}", 2 + n % 3, page=2) for n in range(20)]
    far = [session(f"a{n}", 6 + n % 3) for n in range(20)] + [session(f"b{n}", n % 3, page=2) for n in range(20)]
    (same,), (differs,) = (judge(STUDY, sessions, Rule()).comparisons for sessions in (close, far))
    assert same.difference == 0 and same.low < 0 < same.high and same.p > 0.5
    assert differs.difference == pytest.approx(75) and differs.low > 60
    assert differs.p == differs.p_holm == pytest.approx(2 / (RESAMPLES + 1))
    # The variance of a difference of independent means is the sum of theirs.
    rows = judge(STUDY, close, Rule()).rows
    assert same.high - same.low == pytest.approx(2 * 1.96 * math.hypot(*(row.fooled.se for row in rows)), rel=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"catch": 75}, "--catch is a share from 0 to 1, got 75"),
        ({"fast_share": -1}, "--fast-share is a share from 0 to 1, got -1"),
        ({"fast": -1}, "--fast is seconds, 0 or more; got -1"),
        ({"drift": float("nan")}, "--drift is seconds, 0 or more; got nan"),
    ],
)
def test_an_impossible_rule_is_refused(settings, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        Rule(**settings)
