"""Damaged files for every reader, by number: whatever one of them does to the process that reads it is counted."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from experiments.reliability.finding import Finding

SEED = 0
SHOWN = 5  # failures that a note names


def outcomes(reader, count, folder, seed=SEED):
    """{'read', 'refused': how many}, and {number: what went wrong} of the cases 0 to count."""
    found, wrong, number = Counter(), {}, 0
    while number < count:
        words = [sys.executable, "-m", "experiments.reliability.hostile_child", reader, str(seed), str(number)]
        child = subprocess.run([*words, str(count), str(folder)], capture_output=True, text=True)
        lines = [json.loads(line) for line in child.stdout.splitlines() if line]
        if not lines:
            raise RuntimeError(f"{' '.join(words)} ended with {child.returncode}: {child.stderr[-500:]}")
        for case, what in zip(lines[::2], lines[1::2], strict=False):
            if what in ("read", "refused"):
                found[what] += 1
            else:
                wrong[case] = what
        if len(lines) % 2:
            wrong[lines[-1]] = f"the process ended with {child.returncode}"
        number = lines[-2 + len(lines) % 2] + 1
        Path(folder, "marker").unlink(missing_ok=True)
    return found, wrong


def fuzz(reader, count, folder):
    folder.mkdir(parents=True)
    found, wrong = outcomes(reader, count, folder)
    told = [f"case {number}: {what}"[:160] for number, what in list(wrong.items())[:SHOWN]]
    note = "; ".join([f"{found['read']:,} read, {found['refused']:,} refused with one line", *told])
    what = f"{reader} files, damaged: no crash, no hang, no other error, no command run"
    return Finding(what=what, tried=count, held=count - len(wrong), note=note)
