import sys
from types import ModuleType

import pytest
import torch

from experiments.reliability.finding import Finding
from experiments.verbs import reliability


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """The verb takes one thread for good."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def replaced(monkeypatch, name, findings):
    section = ModuleType(name)
    section.TITLE, section.findings = name.title(), findings
    monkeypatch.setitem(sys.modules, f"experiments.reliability.{name}", section)


def ran(*words):
    return reliability.run(reliability.parser().parse_args(list(words)))


def test_sections_run_in_the_order_asked_and_leave_a_report(monkeypatch, tmp_path, capsys):
    def kills(effort, folder):
        assert folder.is_dir() and not list(folder.iterdir())
        assert (effort.kills, effort.papers) == (3, ("glcic", "colorful"))
        yield Finding(what="in a step", tried=3, held=3, note="fast")

    def disk(effort, folder):
        assert (tmp_path / "out.md").exists(), "a section that fails must not take the others' findings with it"
        yield Finding(what="full", tried=0, held=0, note="no tmpfs")

    replaced(monkeypatch, "kills", kills)
    replaced(monkeypatch, "disk", disk)
    words = ["kills", "disk", "--kills", "3", "--papers", "glcic,colorful", "-o", str(tmp_path / "out.md")]
    assert ran(*words) == 0
    printed = capsys.readouterr().out.splitlines()
    expected = ["Kills", "  in a step: 3 of 3 held (fast)", "Disk", "  full: not tried (no tmpfs)"]
    assert printed == expected
    assert "| in a step | 3 | 3 | fast |" in (tmp_path / "out.md").read_text()


def test_what_did_not_hold_is_exit_code_1(monkeypatch):
    replaced(monkeypatch, "disk", lambda effort, folder: [Finding(what="full", tried=2, held=1)])
    assert ran("disk") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("kils", "no section 'kils'; nearest: kills"),
        ("kills --papers glcic,colourful", "no paper 'colourful'; nearest: colorful"),
        ("kills --kills 0", "--kills must be at least 1, got 0"),
        ("kills -o missing/out.md", "no folder .*missing to write out.md to"),
    ],
)
def test_a_mistake_is_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(reliability.UserError, match=message):
        ran(*words.split())
