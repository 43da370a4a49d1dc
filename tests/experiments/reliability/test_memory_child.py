import json
from types import SimpleNamespace

import pytest

from experiments.reliability import memory_child
from experiments.reliability.memory import measured


def test_it_says_how_the_verb_ended_and_what_it_took(monkeypatch, capsys):
    held = iter((700.0, 900.0))
    monkeypatch.setattr(memory_child, "peak_mib", lambda: next(held))
    monkeypatch.setattr(memory_child.cli, "main", lambda words: print("1 written") or 2)
    memory_child.main(["inpaint", "a.png"])
    *_, last = capsys.readouterr().out.splitlines()
    found = json.loads(last)
    assert (found["code"], found["imports"], found["peak"]) == (2, 700.0, 900.0) and found["seconds"] >= 0


def test_a_process_that_ends_early_is_an_error(monkeypatch):
    ended = SimpleNamespace(returncode=-9, stdout="", stderr="killed")
    monkeypatch.setattr("experiments.reliability.memory.subprocess.run", lambda *_, **__: ended)
    with pytest.raises(RuntimeError, match="ended with -9: killed"):
        measured(["inpaint"])
