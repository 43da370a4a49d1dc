"""The findings of a reliability run as Markdown: what was tried, how often, how often it held, and on what machine."""

import os
import platform
import shlex
import sys
from importlib.metadata import version

from experiments.run_record import commit

LIBRARIES = ("torch", "lightning", "torchvision", "kornia", "numpy", "pillow")


HEAD = "# What was tried, and what held\n\nEach section is replaced when it is run again."


def with_section(text, name, title, findings, seconds, order):
    """The report `text`, "" where there is none yet, with one section new. order: the names of all sections."""
    sections = {part.partition(":")[0]: part for part in text.split("\n## ")[1:]}
    sections[name] = section(name, title, findings, seconds)
    parts = [sections[each].strip() for each in order if each in sections]
    return "\n\n## ".join([HEAD, *parts]) + "\n"


def section(name, title, findings, seconds):
    tried, held = (sum(getattr(finding, count) for finding in findings) for count in ("tried", "held"))
    command = shlex.join(["chromafill", *sys.argv[1:]])
    lines = [
        f"{name}: {title}",
        "",
        f"{held:,} of {tried:,} held. `{command}`, {' '.join(code())}, {seconds:.0f} s on {machine()}.",
        "",
        "| what | tried | held | |",
        "|---|--:|--:|---|",
    ]
    return "\n".join([*lines, *(f"| {row(finding)} |" for finding in findings)])


def row(finding):
    """The cells of a table's row; what did not hold is bold."""
    tried, held = (f"{finding.tried:,}", f"{finding.held:,}") if finding.tried else ("-", "-")
    cells = (finding.what, tried, held if finding.held == finding.tried else f"**{held}**", finding.note)
    return " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)


def code():
    revision, clean = commit()
    yield "code not in a repository" if revision is None else f"commit {revision[:12]}"
    if revision is not None and not clean:
        yield "with changes"


def machine():
    """Processor, cores, system and versions in one line."""
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, {versions}"


def processor():
    """The processor's name where Linux says it, else its architecture."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()
