import re

from experiments.reliability.finding import Finding
from experiments.reliability.report import machine, with_section

ORDER = ("kills", "disk")


def test_a_section_counts_what_was_tried_and_marks_what_did_not_hold():
    kills = [
        Finding(what="colorful, in a step", tried=1200, held=1200),
        Finding(what="glcic | twice", tried=3, held=2, note="one\nweight differs"),
        Finding(what="full disk", tried=0, held=0, note="no tmpfs here"),
    ]
    lines = with_section("", "kills", "Killed", kills, 12.4, ORDER).splitlines()
    assert "## kills: Killed" in lines
    (said,) = (line for line in lines if line.startswith("1,202 of 1,203 held. "))
    assert re.search(r"commit [0-9a-f]{12}|not in a repository", said) and said.endswith(f"12 s on {machine()}.")
    assert "| colorful, in a step | 1,200 | 1,200 |  |" in lines
    assert "| glcic \\| twice | 3 | **2** | one weight differs |" in lines
    assert "| full disk | - | - | no tmpfs here |" in lines


def test_sections_stand_in_their_order_and_are_replaced():
    text = ""
    for name, held in (("disk", 1), ("kills", 2), ("disk", 3)):
        text = with_section(text, name, name.title(), [Finding(what="x", tried=3, held=held)], 1.0, ORDER)
    assert re.findall("^## .*$", text, re.MULTILINE) == ["## kills: Kills", "## disk: Disk"]
    assert text.count("| x | 3 |") == 2 and "| x | 3 | 3 |" in text and "**1**" not in text
    assert text.startswith("# What was tried") and text.endswith("|\n")


def test_the_machine_is_named_without_its_host():
    assert re.search(r"\d+ cores, \w+, Python 3\.\d+", machine()) and "torch 2." in machine()
