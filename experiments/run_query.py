"""Questions to runs by any key: of config.yaml, of run.json, a validation score, or status and run."""

import fnmatch
import operator
import re
from dataclasses import dataclass

from experiments.errors import UserError, nearest

OWN = ("status", "run")
RECORD = ("experiment", "seed", "commit", "started", "iteration", "wall_seconds", "device", "processes", "reason")
RECORD += ("iterations_per_second", "peak_memory_bytes", "parameters", "clean", "host")
ORDER = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def value(run, key):
    """What a run says of a key; None where it says nothing."""
    if key == "status":
        return run.status
    if key == "run":
        return str(run.folder)
    if key == "host":
        return run.record.get("process", {}).get("host")
    for place in (run.record.get("scores", {}), run.config, run.record if key in RECORD else {}):
        if key in place:
            return place[key]
    return None


def text(value):
    """As it is written on a command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{','.join(map(text, value))}]"
    return str(value)


@dataclass(frozen=True)
class Condition:
    """`key=value` (with * and ?, a number, or the beginning of a commit), `key!=value`, or `key>value` and the like."""

    key: str
    sign: str
    wanted: str

    @classmethod
    def read(cls, word):
        match = re.fullmatch(r"([\w./@-]+?)\s*(!=|>=|<=|=|>|<)\s*(.*)", word)
        if match is None:
            raise UserError(
                f"cannot read the filter '{word}'; expected key=value, key!=value, key>number or key<number"
            )
        condition = cls(*match.groups())
        if condition.sign in ORDER and number(condition.wanted) is None and condition.key != "started":
            raise UserError(f"filter '{word}': {condition.sign} compares numbers, and '{condition.wanted}' is none")
        return condition

    def holds(self, run):
        """A run that says nothing of the key fits no condition on it."""
        found = value(run, self.key)
        if found is None:
            return False
        if self.sign in ORDER:
            return self.ordered(found)
        return self.equal(found) == (self.sign == "=")

    def ordered(self, found):
        if isinstance(found, str):
            return self.key == "started" and ORDER[self.sign](found, self.wanted)
        return isinstance(found, int | float) and ORDER[self.sign](found, number(self.wanted))

    def equal(self, found):
        if self.key == "commit":
            return text(found).startswith(self.wanted)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return number(self.wanted) is not None and text(float(found)) == text(number(self.wanted))
        return fnmatch.fnmatchcase(text(found), self.wanted)


def number(word):
    try:
        return float(word)
    except ValueError:
        return None


def needs_config(keys):
    """Whether config.yaml must be read for these keys."""
    return any(key not in OWN + RECORD and not key.startswith("val/") for key in keys)


def require_known(keys, runs):
    """UserError for a key of which no run says anything."""
    known = {*OWN, *RECORD}.union(*(run.record.get("scores", {}) for run in runs), *(run.config for run in runs))
    for key in keys:
        if key not in known:
            raise UserError(f"no run has a '{key}'{nearest(key, known)}")


def ordered_by(runs, key, reverse=False):
    """Runs by the value of a key, numbers before words; those that have none, or NaN, come last either way."""
    found = [(value(run, key), run) for run in runs]
    having = [(each, run) for each, run in found if each is not None and each == each]  # NaN differs from itself
    lacking = [run for each, run in found if each is None or each != each]
    return [run for _, run in sorted(having, key=lambda pair: sortable(pair[0]), reverse=reverse)] + lacking


def sortable(found):
    is_number = isinstance(found, int | float)
    return (0, found, "") if is_number else (1, 0, text(found))


def differences(first, second):
    """[(kind, key, value in first, value in second)] of what two runs (with their configs) do not share."""
    sides = [
        ("config", first.config, second.config),
        ("score", first.record.get("scores", {}), second.record.get("scores", {})),
        ("version", first.record.get("versions", {}), second.record.get("versions", {})),
        ("run", *({key: value(run, key) for key in (*RECORD, "status")} for run in (first, second))),
    ]
    return [
        (kind, key, a.get(key), b.get(key))
        for kind, a, b in sides
        for key in dict.fromkeys([*a, *b])
        if key != "run_dir" and a.get(key) != b.get(key)
    ]
