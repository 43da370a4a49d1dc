"""The most memory that a process has held."""

import re
import resource
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_mib():
    """MiB of this process itself. On Linux not ru_maxrss, which begins with what the process that started it held."""
    if STATUS.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
