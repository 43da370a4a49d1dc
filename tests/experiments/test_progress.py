import sys

import torch

from experiments.progress import ProgressLines, losses


def test_without_a_terminal_the_last_line_is_plain_and_counts_everything(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with ProgressLines(3, "colorize") as progress:
        for name in ("a", "b", "c"):
            progress.advance(name)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("colorize 3/3") and lines[0].endswith("0 s left  c")
    assert "\x1b" not in lines[0]


def test_a_terminal_gets_a_bar_with_rate_and_note(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with ProgressLines(2, "train", done=1) as progress:
        progress.advance("loss g 0.5")
    shown = capsys.readouterr().err
    assert "train" in shown and "2/2" in shown


def test_a_resumed_count_does_not_inflate_the_rate():
    progress = ProgressLines(100, "train", done=90)
    assert progress.rate() == 0


def test_losses_are_the_totals():
    terms = {"train/g/l2": torch.tensor(9.0), "train/g/total": torch.tensor(0.5), "train/d/total": torch.tensor(0.25)}
    assert losses(terms) == "loss g 0.5  loss d 0.25"
