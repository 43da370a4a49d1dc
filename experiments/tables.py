"""Tables on standard output: as wide as the terminal, or wide enough for any table where there is none."""

from rich.console import Console

WIDE = 200  # columns where the output is a file or a pipe


def show(table):
    """Prints a rich Table."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(table)
