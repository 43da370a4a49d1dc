"""Who was fooled how often: which sessions count, the rate of each algorithm, how sure it is, and that of each picture.

The rate is that of the trials without feedback, catch trials left out. Its standard error is by bootstrap, as in
Colorful Image Colorization (Zhang 2016, Sec. 4.1): participants are drawn again, each with all of their trials, so it
says how the rate would move with other participants before the same photographs. The paper does not name a rule of
exclusion; Rule(catch=0, fast_share=1) counts every complete session.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from experiments.errors import UserError
from experiments.evaluation.statistics import holm
from experiments.turing.design import CATCH, SCORED

RESAMPLES = 10_000
TAIL = 2.5  # per cent on each side of an interval


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which sessions and trials count."""

    catch: float = 0.75  # least share of catch trials right
    fast: float = 0.1  # seconds; an answer sooner after the question is no answer to it
    fast_share: float = 0.2  # most of the answers that may be so
    drift: float = 0.1  # seconds that an exposure may differ from the study's for the trial to count

    def __post_init__(self):
        for name in ("catch", "fast_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"--{name.replace('_', '-')} is a share from 0 to 1, got {getattr(self, name):g}")
        for name in ("fast", "drift"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name} is seconds, 0 or more; got {getattr(self, name):g}")

    def against(self, session, design):
        """Why a session does not count, or None."""
        catch = [trial for trial in session.trials if trial.role == CATCH]
        expected = design["scored"] + design["catch"]
        if len(session.trials) < expected or len(catch) < design["catch"]:
            return f"not complete: {len(session.trials)} of {expected} trials"
        right = sum(not trial.fooled for trial in catch)
        if right < self.catch * len(catch):
            return f"{right} of {len(catch)} catch trials right, {self.catch:.0%} expected"
        soon = sum(trial.response < self.fast for trial in session.trials) / len(session.trials)
        if soon > self.fast_share:
            return f"{soon:.0%} of the answers within {self.fast:g} s, at most {self.fast_share:.0%} expected"
        if not self.counted(session, design):
            return f"no picture was shown for {design['exposure']:g} s within {self.drift:g} s"
        return None

    def counted(self, session, design):
        """The scored trials whose pictures were shown for the time asked for."""
        return [
            trial
            for trial in session.trials
            if trial.role == SCORED and all(abs(each - design["exposure"]) <= self.drift for each in trial.exposure)
        ]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """In per cent, with its bootstrap standard error and 95 % interval; None with fewer than two participants."""

    value: float | None
    se: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One algorithm."""

    page: int
    name: str
    participants: int
    trials: int
    off: int  # scored trials that do not count, as a picture was shown for too long or too short
    fooled: Rate
    spotted: float | None  # per cent of the catch trials of complete sessions, careless ones among them
    images: dict[int, tuple[int, int]]  # place of the photograph: (times it fooled, times it was judged)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rate of the page `first` minus that of `second`, in per cent. p is two-sided, by the same bootstrap."""

    first: int
    second: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float  # p for all comparisons together


@dataclass(frozen=True, kw_only=True)
class Result:
    rule: Rule
    rows: list[Row]
    comparisons: list[Comparison]
    excluded: list[dict]  # file, participant, page, why


def judge(manifest, sessions, rule):
    """The result of a study. sessions: as read, in any order."""
    design = manifest["design"]
    kept, excluded = counting(sessions, rule, design)
    rows, resamples = [], {}
    for page in manifest["pages"]:
        own = [session for session in kept if session.page == page["page"]]
        trials = [rule.counted(session, design) for session in own]
        fooled = np.array([sum(trial.fooled for trial in each) for each in trials])
        judged = np.array([len(each) for each in trials])
        drawn = resampled(fooled, judged, seed=page["page"]) if len(own) > 1 else None
        if drawn is not None:
            resamples[page["page"]] = drawn
        rows.append(
            Row(
                page=page["page"],
                name=page["name"],
                participants=len(own),
                trials=int(judged.sum()),
                off=design["scored"] * len(own) - int(judged.sum()),
                fooled=rate(fooled, judged, drawn),
                spotted=spotted([session for session in sessions if session.page == page["page"]], design),
                images=by_image([trial for each in trials for trial in each]),
            )
        )
    return Result(rule=rule, rows=rows, comparisons=comparisons(rows, resamples), excluded=excluded)


def counting(sessions, rule, design):
    """(sessions that count, [why each other does not]). Of one participant only the first session may count."""
    kept, excluded, known, participants = [], [], set(), set()
    for session in sorted(sessions, key=lambda each: (each.started, each.file)):
        if session.session in known:
            why = "the same session again"
        elif session.participant in participants:
            why = "a second session of the same participant"
        else:
            why = rule.against(session, design)
        known.add(session.session)
        participants.add(session.participant)
        if why is None:
            kept.append(session)
        else:
            excluded.append(
                {"file": session.file, "participant": session.participant, "page": session.page, "why": why}
            )
    return kept, excluded


def resampled(fooled, judged, seed):
    """Rates, in per cent, of RESAMPLES draws of as many participants with replacement. (N,) counts each -> (R,)."""
    generator, people = np.random.default_rng(seed), len(fooled)
    times = generator.multinomial(people, np.full(people, 1 / people), size=RESAMPLES)
    return 100 * (times @ fooled) / (times @ judged)


def rate(fooled, judged, drawn):
    if not judged.sum():
        return Rate(value=None)
    value = 100 * float(fooled.sum() / judged.sum())
    if drawn is None:
        return Rate(value=value)
    low, high = np.percentile(drawn, [TAIL, 100 - TAIL]).tolist()
    return Rate(value=value, se=float(drawn.std()), low=low, high=high)


def spotted(sessions, design):
    """Per cent of catch trials in which the fake was found, over complete sessions."""
    full = design["scored"] + design["catch"]
    complete = {session.session: session for session in sessions if len(session.trials) == full}
    caught = [not trial.fooled for session in complete.values() for trial in session.trials if trial.role == CATCH]
    return 100 * sum(caught) / len(caught) if caught else None


def by_image(trials):
    """{place of the photograph: (times fooled, times judged)}."""
    judged = Counter(trial.image for trial in trials)
    fooled = Counter(trial.image for trial in trials if trial.fooled)
    return {image: (fooled[image], count) for image, count in sorted(judged.items())}


def comparisons(rows, resamples):
    """Of each two algorithms that have a bootstrap; participants of two pages are different people."""
    values = {row.page: row.fooled.value for row in rows}
    found = []
    for first, second in combinations(resamples, 2):
        drawn = resamples[first] - resamples[second]
        tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
        low, high = np.percentile(drawn, [TAIL, 100 - TAIL]).tolist()
        p = min(1.0, 2 * float(tail + 1) / (RESAMPLES + 1))
        found.append((first, second, values[first] - values[second], low, high, p))
    adjusted = holm(np.array([each[-1] for each in found])).tolist()
    names = ("first", "second", "difference", "low", "high", "p")
    return [
        Comparison(**dict(zip(names, each, strict=True)), p_holm=p) for each, p in zip(found, adjusted, strict=True)
    ]


def ranked(images, most):
    """[(place, fooled, judged)]: those that fooled most first, or least first; more judgements first among equals."""
    sign = -1 if most else 1
    order = sorted(images.items(), key=lambda each: (sign * each[1][0] / each[1][1], -each[1][1], each[0]))
    return [(place, fooled, judged) for place, (fooled, judged) in order]
