"""The design of a study: how many trials of which kind, how long, and which pictures stand in a pair.

As in Colorful Image Colorization (Zhang 2016, Sec. 3.1 and 4.1): a session compares one algorithm with the truth. In a
trial two pictures of 256 px, the photograph and its recolouring on random sides, are shown for one second each; then
there is any amount of time to say which one is the fake. 10 practice trials come with feedback and are not counted, 40
follow without; in one of ten of those the fake is by the Random baseline, which shows who paid attention.

The paper does not say whether the two are seen together. The authors' software shows the left one, then the right one,
each in its own place, and pauses of 0.9 and 0.6 s before them; so do these pages.

Departs from it: the photographs of the practice and of the catch trials are the same for all participants and
algorithms. The others take turns, drawn anew for each participant.
"""

import random
from dataclasses import dataclass

from experiments.errors import UserError

PRACTICE, SCORED, CATCH = "practice", "scored", "catch"
MOST = 100  # photographs of a study where nothing is said: each is judged by 17 of 40 participants


@dataclass(frozen=True, kw_only=True)
class Design:
    practice: int = 10  # trials with feedback
    trials: int = 40  # trials without; one in ten is a catch trial
    exposure: float = 1.0  # seconds for which each picture is shown
    pause: float = 0.3  # seconds; three of it before the left picture and two before the right one
    side: int = 256  # of a picture, in CSS pixels, where the window has room for two

    def __post_init__(self):
        if self.practice < 0:
            raise UserError(f"--practice must be 0 or more, got {self.practice}")
        if self.trials < 2:
            raise UserError(f"--trials must be at least 2, one of them a catch trial; got {self.trials}")
        if not 0 < self.exposure < 60:
            raise UserError(f"--exposure is seconds, above 0 and below 60; got {self.exposure:g}")
        if not 0 <= self.pause < 60:
            raise UserError(f"--pause is seconds, from 0 to below 60; got {self.pause:g}")
        if not 16 <= self.side <= 1024:
            raise UserError(f"--side is pixels, from 16 to 1024; got {self.side}")

    @property
    def catch(self):
        """Catch trials among the `trials`."""
        return max(1, round(self.trials / 10))

    @property
    def scored(self):
        """Trials of a session that count towards the fooling rate."""
        return self.trials - self.catch

    @property
    def least(self):
        """Photographs that a session needs."""
        return self.practice + self.trials


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two pictures of one photograph, by names that say nothing, in an order that says nothing."""

    id: str
    role: str
    image: int  # place in the study's list of photographs
    pictures: tuple[str, str]
    fake: int  # place in `pictures`


def photographs(available, wanted, design, seed):
    """Positions of the photographs of a study, drawn at random. `wanted` None: MOST, or as many as there are."""
    count = min(MOST, available) if wanted is None else wanted
    if count < design.least:
        raise UserError(
            f"a session needs {design.least} photographs ({design.practice} practice, {design.catch} catch and"
            f" {design.scored} scored trials) and there are {count}; take more with --images, data or split=,"
            " or fewer --trials"
        )
    if count > available:
        raise UserError(f"--images {count}: the split has {available}")
    return random.Random(f"photographs {seed}").sample(range(available), count)


def roles(count, design):
    """The role of each of `count` photographs, the same on every page."""
    first = [PRACTICE] * design.practice + [CATCH] * design.catch
    return first + [SCORED] * (count - len(first))


def pairs(count, design, page, seed):
    """[Pair] of one page, one a photograph. The fake comes first in half of the pairs of each role, rounded down."""
    draw = random.Random(f"pairs {seed} {page}")
    names = draw.sample(range(16**6), 3 * count)
    found = []
    for role in (PRACTICE, CATCH, SCORED):
        places = [place for place, each in enumerate(roles(count, design)) if each == role]
        fakes = [number % 2 for number in range(len(places), 0, -1)]
        draw.shuffle(fakes)
        for place, fake in zip(places, fakes, strict=True):
            name, first, second = (f"{number:06x}" for number in names[3 * place : 3 * place + 3])
            found.append(Pair(id=name, role=role, image=place, pictures=(first, second), fake=fake))
    return found
