import json
import subprocess
from types import SimpleNamespace

import pytest

from experiments.reliability import hostile_fuzz


@pytest.mark.parametrize("reader", ["image", "checkpoint"])
def test_damaged_files_are_read_or_refused(reader, tmp_path):
    found = hostile_fuzz.fuzz(reader, 150, tmp_path / reader)
    assert found.held == found.tried == 150, found.note


def children(monkeypatch, *outputs):
    """Replaces the processes by what they print, and how they end."""
    calls, left = [], iter(outputs)

    def run(words, **_):
        calls.append(words)
        lines, code = next(left)
        return SimpleNamespace(stdout="\n".join(map(json.dumps, lines)), returncode=code, stderr="why")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_a_process_that_dies_is_counted_and_the_next_goes_on_behind(monkeypatch, tmp_path):
    calls = children(monkeypatch, ([0, "read", 1], -11), ([2, "refused", 3, "TypeError: x"], 0), ([4, "read"], 0))
    found, wrong = hostile_fuzz.outcomes("image", 5, tmp_path)
    assert found == {"read": 2, "refused": 1}
    assert wrong == {1: "the process ended with -11", 3: "TypeError: x"}
    assert [words[-3] for words in calls] == ["0", "2", "4"]


def test_what_went_wrong_is_named_by_its_number(monkeypatch, tmp_path):
    children(monkeypatch, ([0, "read", 1, "it ran a command"], 0))
    found = hostile_fuzz.fuzz("pth", 2, tmp_path / "pth")
    assert (found.tried, found.held) == (2, 1) and "case 1: it ran a command" in found.note


def test_a_process_that_does_not_start_is_an_error(monkeypatch, tmp_path):
    children(monkeypatch, ([], 1))
    with pytest.raises(RuntimeError, match="ended with 1: why"):
        hostile_fuzz.outcomes("image", 5, tmp_path)
