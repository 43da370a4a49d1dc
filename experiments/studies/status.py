"""Where a study stands, as a table: live in a terminal, once where the output is none."""

import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

from experiments.tables import show

EVERY = 2.0  # seconds between two looks
TAIL = 65_536  # bytes at the end of metrics.csv that hold its last line


def show_status(study):
    """Until nothing waits or runs, or Ctrl-C, in a terminal."""
    console = Console()
    if not console.is_terminal:
        show(status_table(study))
        return
    with Live(status_table(study), console=console, auto_refresh=False) as live:
        while study.has_work():
            time.sleep(EVERY)
            live.update(status_table(study), refresh=True)


def status_table(study):
    states = study.states()
    keys = list(dict.fromkeys(key for state in states for key in state.params))
    counts = {status: sum(s.status == status for s in states) for status in dict.fromkeys(s.status for s in states)}
    table = Table(title=f"{study.folder}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    for title in ("trial", "status", "iteration", study.definition["objective"]["score"], *keys, "worker", "note"):
        table.add_column(title, justify="left" if title in ("trial", "status", "worker", "note") else "right")
    for state in states:
        table.add_row(
            state.name,
            state.status,
            iteration(state.run_dir / "metrics.csv"),
            number(state.value),
            *(number(state.params.get(key, "")) for key in keys),
            state.attrs.get("worker", ""),
            note(state),
        )
    return table


def note(state):
    tries = f"attempt {state.attempts}" if state.attempts > 1 else ""
    return "; ".join(text for text in (tries, state.reason) if text)


def number(value):
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def iteration(path):
    """The first cell of the last whole line, as text; '' where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    cell = lines[-2].split(",")[0] if len(lines) > 2 else ""
    return cell if cell.isdecimal() else ""
