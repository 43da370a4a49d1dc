"""`chromafill reliability`: kills, faults, bad numbers and hostile files, tried on this machine and counted."""

import importlib
import os
import tempfile
import time
import zlib
from pathlib import Path

import torch
from filelock import FileLock

from experiments.arguments import Parser
from experiments.errors import UserError, nearest
from experiments.reliability.finding import Effort
from experiments.reliability.report import with_section
from experiments.reliability.small_runs import PAPERS
from experiments.run_record import write_text

SECTIONS = ("kills", "stops", "disk", "processes", "studies", "numbers", "hostile", "memory", "listing")
DEFAULT = Effort()


def parser():
    parser = Parser(
        "reliability",
        "Kills small trainings of every paper at chosen moments and compares what they resume to; fills disks,\n"
        "damages checkpoints, plants bad numbers, mutates files, measures memory. Prints what was tried and what\n"
        "held; exit code 1 where something did not.\n"
        f"Sections: {', '.join(SECTIONS)}",
        "chromafill reliability kills disk --papers colorful,glcic -o reliability.md",
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="default: all")
    parser.add_argument("-o", "--output", type=Path, help="a Markdown file, whose sections are replaced")
    parser.add_argument("--papers", help="names with commas between; default: all")
    parser.add_argument("--kills", type=int, default=DEFAULT.kills, help="of one run, in a row (20)")
    parser.add_argument("--files", type=int, default=DEFAULT.files, help="damaged files for each reader (10000)")
    parser.add_argument("--megapixels", type=int, default=DEFAULT.megapixels, help="of the photograph in memory (100)")
    return parser


def run(arguments):
    effort = Effort(
        kills=at_least_1(arguments, "kills"),
        files=at_least_1(arguments, "files"),
        megapixels=at_least_1(arguments, "megapixels"),
        papers=None if arguments.papers is None else known(arguments.papers.split(","), PAPERS, "paper"),
    )
    sections = known(arguments.sections or SECTIONS, SECTIONS, "section")
    if arguments.output is not None and not arguments.output.absolute().parent.is_dir():
        raise UserError(f"no folder {arguments.output.absolute().parent} to write {arguments.output.name} to")
    # One thread: a CPU adds in another order with another number of threads, and forked children have none to share.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    failed = False
    for name in sections:
        section = importlib.import_module(f"experiments.reliability.{name}")
        started = time.monotonic()
        print(f"{section.TITLE}", flush=True)
        with tempfile.TemporaryDirectory(prefix="chromafill-") as folder:
            findings = [said(finding) for finding in section.findings(effort, Path(folder))]
        failed = failed or any(finding.held < finding.tried for finding in findings)
        if arguments.output is not None:
            add_to(arguments.output.absolute(), name, section.TITLE, findings, time.monotonic() - started)
    return int(failed)


def add_to(path, *section):
    """Puts a section into a report, into which another process may be writing others."""
    with FileLock(Path(tempfile.gettempdir(), f"chromafill-{zlib.crc32(os.fsencode(path))}.lock")):
        text = path.read_text() if path.exists() else ""
        write_text(path, with_section(text, *section, order=SECTIONS))


def at_least_1(arguments, name):
    value = getattr(arguments, name)
    if value < 1:
        raise UserError(f"--{name} must be at least 1, got {value}")
    return value


def known(names, allowed, what):
    for name in names:
        if name not in allowed:
            raise UserError(f"no {what} '{name}'{nearest(name, allowed)}")
    return tuple(names)


def said(finding):
    """Prints a finding as it comes. -> the same"""
    counts = f"{finding.held:,} of {finding.tried:,} held" if finding.tried else "not tried"
    print(f"  {finding.what}: {counts}{f' ({finding.note})' if finding.note else ''}", flush=True)
    return finding
