"""`chromafill config show|list|check`: what a run would be made of, before it is."""

import yaml
from rich.table import Table

from experiments.arguments import Parser
from experiments.compose import build, compose_config, options_of
from experiments.errors import UserError
from experiments.tables import show

GROUPS = ("experiment", "model", "data", "masks", "protocol")


def parser():
    parser = Parser(
        "config",
        "show: the composed configuration of a run. list: the options of each group. check: compose every experiment.",
        "chromafill config show experiment=quickstart model.width=32",
    )
    parser.add_argument("action", choices=("show", "list", "check"))
    return parser.overrides()


def run(arguments):
    return {"show": print_yaml, "list": list_options, "check": check}[arguments.action](arguments.overrides)


def print_yaml(overrides):
    """Prints YAML that can be read back."""
    print(yaml.safe_dump(compose_config(overrides), sort_keys=False), end="")


def list_options(overrides):
    table = Table("group", "options")
    for group in GROUPS:
        table.add_row(group, ", ".join(options_of(group)))
    show(table)


def check(overrides):
    """Composes every experiment (with the overrides) and builds its paper's settings; exit code 2 if one fails."""
    failed = 0
    for name in options_of("experiment"):
        try:
            config = compose_config([f"experiment={name}", *overrides])
            build(config["data"], "data")
            build_settings(config["model"])
        except UserError as error:
            failed += 1
            print(f"FAILED {name}: {error}")
        else:
            print(f"ok     {name}")
    return 2 if failed else 0


def build_settings(model):
    """The paper's Config without its network, which may be large."""
    from experiments.config_store import targets

    settings = {key: value for key, value in model.items() if key != "_target_"}
    try:
        return targets()[model["_target_"]].Config(**settings)
    except ValueError as error:
        raise UserError(f"model: {error}") from error
