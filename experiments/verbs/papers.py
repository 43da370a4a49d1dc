"""`chromafill papers`: which papers are implemented, where, and how to train them."""

import sys
from dataclasses import fields

from rich.table import Table

from experiments.arguments import Parser
from experiments.compose import experiments_of
from experiments.config_store import papers
from experiments.tables import show


def parser():
    return Parser("papers", "Table of the papers that are implemented.", "chromafill papers")


def run(arguments):
    table = Table("model", "task", "paper", "settings", "experiments", title="chromafill papers")
    for name, (task, cls) in papers().items():
        title = sys.modules[cls.__module__].__doc__.strip().splitlines()[0]
        table.add_row(name, task, title, str(len(fields(cls.Config))), "\n".join(experiments_of(name)))
    show(table)
