"""Where the marks of a sweep's plots go, in the units of their SVG."""

import math
from dataclasses import dataclass

from experiments.pages.plots import Axis

WIDTH, HEIGHT = 640, 260  # of a plot's frame
COLUMN = 150  # between two axes of parallel coordinates
SHADES = 5  # classes of colour, from the worst fifth of the trials to the best


@dataclass(frozen=True)
class Scale:
    """One axis from bottom to top. labels: [(y, text)]."""

    title: str
    labels: list
    place: dict  # {value: y}

    @classmethod
    def of(cls, title, values, log=False, choices=None):
        """values: those that will be placed. choices: all values, where they have no order."""
        if choices is not None:
            shares = {choice: (number + 0.5) / len(choices) for number, choice in enumerate(choices)}
            return cls(title, [(height(share), said(choice)) for choice, share in shares.items()], up(shares))
        if log:
            low, high = math.floor(math.log10(min(values)) + 1e-9), math.ceil(math.log10(max(values)) - 1e-9)
            high = max(high, low + 1)
            shares = {value: (math.log10(value) - low) / (high - low) for value in values}
            ticks = range(low, high + 1, max(1, (high - low) // 5))
            return cls(title, [(height((t - low) / (high - low)), f"1e{t}") for t in ticks], up(shares))
        axis = Axis.over(values)
        labels = [(height(axis.share(tick)), f"{tick:.{axis.digits}f}") for tick in axis.ticks]
        return cls(title, labels, up({value: axis.share(value) for value in values}))


def up(shares):
    return {value: height(share) for value, share in shares.items()}


def height(share):
    """y of a share of the way up."""
    return round(HEIGHT * (1 - share), 1)


def said(value):
    return "null" if value is None else str(value)


def history(states, maximize):
    """Finished and pruned trials in order, and the best so far. None where nothing has a value."""
    valued = [(number, state) for number, state in enumerate(states) if state.value is not None]
    if not valued:
        return None
    scale = Scale.of("", [state.value for _, state in valued])
    step = WIDTH / max(1, len(states) - 1)
    marks = [
        {
            "x": round(number * step, 1),
            "y": scale.place[state.value],
            "status": state.status,
            "text": f"{state.name}, {state.status}: {state.value:.6g}",
        }
        for number, state in valued
    ]
    best, points = None, []
    for mark, (_, state) in zip(marks, valued, strict=True):
        if state.status != "finished":
            continue
        if best is not None:
            points.append((mark["x"], scale.place[best]))
        if best is None or (state.value > best if maximize else state.value < best):
            best = state.value
        points.append((mark["x"], scale.place[best]))
    line = " ".join(f"{x},{y}" for x, y in points)
    return {"labels": scale.labels, "marks": marks, "line": line, "width": WIDTH, "height": HEIGHT}


def parallel(states, space, score, maximize):
    """An axis for each parameter and one for the score, a line for each finished trial, the best ones drawn last."""
    finished = [state for state in states if state.status == "finished"]
    if not finished:
        return None
    scales = [
        Scale.of(key, [s.params[key] for s in finished], log=values.get("log", False), choices=values.get("choices"))
        for key, values in space.items()
    ]
    scales.append(Scale.of(score, [state.value for state in finished]))
    ranked = sorted(finished, key=lambda state: state.value, reverse=not maximize)
    lines = []
    for rank, state in enumerate(ranked):
        values = [*(state.params[key] for key in space), state.value]
        heights = [scale.place[value] for scale, value in zip(scales, values, strict=True)]
        points = " ".join(f"{number * COLUMN},{y}" for number, y in enumerate(heights))
        shade = SHADES - 1 if len(ranked) == 1 else rank * SHADES // len(ranked)
        told = ", ".join(f"{key} {said(state.params[key])}" for key in space)
        lines.append({"points": points, "shade": shade, "text": f"{state.name}: {score} {state.value:.6g}; {told}"})
    axes = [{"x": number * COLUMN, "title": scale.title, "labels": scale.labels} for number, scale in enumerate(scales)]
    return {"axes": axes, "lines": lines, "width": COLUMN * (len(scales) - 1), "height": HEIGHT}
