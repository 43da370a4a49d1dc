"""`chromafill benchmark`: speed and memory as ratios within one run, which other machines can repeat."""

from rich.table import Table

from experiments.arguments import Parser
from experiments.benchmarks.color import benchmark_color
from experiments.benchmarks.daisy import benchmark_daisy
from experiments.benchmarks.data import benchmark_data
from experiments.benchmarks.ddp import benchmark_ddp
from experiments.errors import UserError
from experiments.tables import show

BENCHMARKS = {  # subject: (function that returns rows, what it takes)
    "color": (benchmark_color, ("size", "batch", "device")),
    "daisy": (benchmark_daisy, ("size", "batch", "device")),
    "data": (benchmark_data, ("size", "batch", "overrides")),
    "ddp": (benchmark_ddp, ("batch",)),
}


def parser():
    parser = Parser(
        "benchmark",
        "Speed and memory as ratios in one run. color: encoder and class loss. daisy: the descriptor. data: reading\n"
        "photographs, of a data set given by data=... data.root=..., or made for it in two sizes. ddp: two processes.",
        "chromafill benchmark color --size 64",
    )
    parser.add_argument("what", choices=tuple(BENCHMARKS))
    parser.add_argument(
        "--size", type=int, help="side of the class map (default 64), of the images (256), or of the crop (224)"
    )
    parser.add_argument("--batch", type=int, help="default: 4 class maps, 8 images, 16 photographs, 4 a process")
    parser.add_argument("--rounds", type=int, default=5, help="the best round counts, for data and ddp their median")
    parser.add_argument("--device", help="of color and daisy; default cpu")
    return parser.overrides()


def run(arguments):
    benchmark, takes = BENCHMARKS[arguments.what]
    options = {name: getattr(arguments, name) for name in ("size", "batch", "device", "overrides")}
    given = {name: value for name, value in options.items() if value}
    if refused := [name for name in given if name not in takes]:
        raise UserError(f"'benchmark {arguments.what}' takes no {refused[0]}, got {given[refused[0]]}")
    rows = benchmark(rounds=arguments.rounds, **given)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    show(table)
