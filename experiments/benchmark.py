"""`chromafill benchmark`: speed and memory as ratios within one run, which other machines can repeat."""

from rich.table import Table

from experiments.arguments import Parser
from experiments.benchmark_color import benchmark_color
from experiments.tables import show


def parser():
    parser = Parser("benchmark", "Speed and memory as ratios in one run.", "chromafill benchmark color --size 64")
    parser.add_argument("what", choices=("color",))
    parser.add_argument("--size", type=int, default=64, help="side of the class map in positions")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5, help="the best round counts")
    parser.add_argument("--device", default="cpu")
    return parser


def run(arguments):
    rows = benchmark_color(size=arguments.size, batch=arguments.batch, rounds=arguments.rounds, device=arguments.device)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    show(table)
