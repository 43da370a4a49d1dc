"""Processes that outlive the ones that ask after them."""

import os
import platform
from pathlib import Path


def began(pid):
    """When a process of this machine started, in the kernel's own count; None where it is gone, or not on Linux.

    Together with the number it names a process for good: numbers are given out again.
    """
    try:
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def this_process():
    """{host, pid, began}: what a record says of the process that writes it."""
    return {"host": platform.node(), "pid": os.getpid(), "began": began(os.getpid())}


def lives(process):
    """Whether a process recorded by `this_process` is still there; None where only another machine could tell."""
    if process["host"] != platform.node() or process["began"] is None:
        return None
    return began(process["pid"]) == process["began"]
