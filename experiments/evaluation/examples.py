"""Images of an evaluation to be looked at."""

from dataclasses import dataclass

PLACES = ("worst", "median", "best")


@dataclass(kw_only=True)
class Example:
    """Pictures are uint8 RGB (3,H,W)."""

    index: int
    name: str
    hole_ratio: float | None
    place: str  # one of PLACES, among all images
    pictures: dict  # 'input' and 'truth', and 'mask' where there is one, white in the hole
    answers: dict  # {candidate: picture}
    scores: dict  # {candidate: {metric: value}}


def pick_examples(scores, better, each=4):
    """[(position, place)] of the worst, the middle and the best by one candidate's scores, `each` of a place, worst
    first; fewer where there are not that many images. Of equal images the earlier counts as worse. better: 'higher' or
    'lower'; None, for a score that is neither, counts as 'higher'."""
    sign = -1 if better == "lower" else 1
    order = sorted(range(len(scores)), key=lambda position: sign * scores[position])
    each = min(each, max(1, len(order) // len(PLACES)))
    first = (len(order) - each) // 2
    stretches = (order[:each], order[first : first + each], order[-each:])
    picked = {}
    for place, positions in zip(PLACES, stretches, strict=True):
        for position in positions:
            picked.setdefault(position, place)
    return list(picked.items())
