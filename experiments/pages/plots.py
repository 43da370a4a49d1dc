"""Where the marks of a plot go. Templates draw them as SVG, stretched to the width that there is."""

import math
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 1000, 30  # units of a strip
SPARK_WIDTH, SPARK_HEIGHT = 100, 24
MARKS = 200  # images that a strip shows one by one


@dataclass(frozen=True)
class Axis:
    """From the first to the last of its ticks, which stand at 1, 2 or 5 times a power of ten."""

    ticks: tuple
    digits: int  # after the point

    @classmethod
    def over(cls, values, most=5):
        """The axis that has all of the values on it, with at most `most` steps."""
        low, high = float(min(values)), float(max(values))
        if low == high:
            low, high = low - 0.5, high + 0.5
        rough = (high - low) / most
        power = 10.0 ** math.floor(math.log10(rough))
        for step in (power, 2 * power, 5 * power, 10 * power, 20 * power):
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first <= most:
                break
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return cls(tuple(round(number * step, digits) for number in range(first, last + 1)), digits)

    def share(self, value):
        """Of the way along the axis, in [0,1]."""
        return (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])

    def labels(self):
        """[(per cent of the way along, text)]."""
        return [(round(100 * self.share(tick), 2), f"{tick:.{self.digits}f}") for tick in self.ticks]


@dataclass(frozen=True)
class Strip:
    """One candidate's scores along an axis: a mark an image, and a box around the middle half of all. In units."""

    marks: list
    low: float
    left: float
    median: float
    right: float
    high: float
    spoken: str  # the same in words


def strip(values, axis, digits):
    """values: of each image. digits: of the numbers in words."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    shown = ordered[np.unique(np.linspace(0, len(ordered) - 1, min(MARKS, len(ordered))).round().astype(int))]
    ends = np.percentile(ordered, [0, 25, 50, 75, 100])
    least, left, median, right, most = (f"{value:.{digits}f}" for value in ends)
    return Strip(
        [units(axis, value) for value in shown],
        *(units(axis, value) for value in ends),
        spoken=f"median {median}, half of the images between {left} and {right}, all between {least} and {most}",
    )


def units(axis, value):
    return round(WIDTH * axis.share(float(value)), 1)


def sparkline(values, low, high):
    """The points of a polyline, left to right; a place without a value (None) is passed over. low and high: of the
    values that all lines of one table have."""
    step, span = SPARK_WIDTH / max(1, len(values) - 1), (high - low) or 1
    points = [
        f"{number * step:.1f},{SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * (value - low) / span:.1f}"
        for number, value in enumerate(values)
        if value is not None
    ]
    return " ".join(points)
