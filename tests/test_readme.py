"""README says nothing that is not there: commands parse, experiments exist, links and pictures lead somewhere."""

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

from experiments.cli import VERBS, elsewhere
from experiments.compose import compose_config, options_of
from experiments.config_store import data_sets, mask_generators, papers
from experiments.verbs.ablate import read_request, trained_rows

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [
    shlex.split(line.split("chromafill ", 1)[1], comments=True)
    for block in re.findall(r"```\n(.*?)```", README, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if re.search(r"(^|&& )chromafill [a-z]", line)
]


def test_the_first_run_and_the_tests_set_themselves_up():
    first, second = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert first.endswith("pip install -e . && chromafill train experiment=quickstart")
    assert second.endswith('pip install -e ".[dev]" && pytest')


def test_ci_runs_the_readmes_test_command():
    assert "README.md" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_parses(words):
    verb, *rest = elsewhere(words)
    arguments = importlib.import_module(VERBS[verb][0]).parser().parse_args(rest)
    if verb == "submit":
        verb, *rest = arguments.command
        arguments = importlib.import_module(VERBS[verb][0]).parser().parse_args(rest)
    if verb == "train":
        assert compose_config(arguments.overrides)["iterations"] >= 1


@pytest.mark.parametrize(
    "record", (ROOT / "experiments" / "results").glob("*/report.json"), ids=lambda p: p.parent.name
)
def test_the_commands_of_an_ablation_in_the_results_are_those_that_made_it(record):
    found = json.loads(record.read_text())
    assert found["command"][1:] in COMMANDS
    asked = [read_request(words[1:]) for words in COMMANDS if words[0] == "ablate" and words[1] != "report"]
    (made,) = (each for each in asked if each.folder.name == found["study"])
    assert made.overrides == found["overrides"]
    rows = [row for row in found["rows"] if row["seeds"] and not row["of"]]
    assert [row.name for row in trained_rows(made)] == [row["name"] for row in rows]
    assert all([int(seed) for seed in row["seeds"]] == made.seeds for row in rows)


def test_there_are_commands_for_the_main_verbs():
    assert {"train", "evaluate", "colorize", "inpaint", "data", "config"} <= {words[0] for words in COMMANDS}


def test_links_and_pictures_lead_to_files():
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("http")]
    assert targets and all((ROOT / target).is_file() for target in targets)


def test_every_verb_paper_data_set_mask_and_experiment_is_mentioned():
    names = [*VERBS, *papers(), *data_sets(), *mask_generators()]
    assert [name for name in names if f"`{name}" not in README] == []
    shorthand = {experiment for experiment in options_of("experiment") if f"`{experiment}`" not in README}
    endings = re.findall(r"`(_\w+)`", README)
    assert [name for name in shorthand if not any(name.endswith(ending) for ending in endings)] == []


@pytest.mark.parametrize("name", papers())
def test_parameter_counts_are_those_of_the_modules(name):
    row = next(line for line in README.splitlines() if line.startswith(f"| [`{name}`]"))
    trained = sum(p.numel() for p in papers()[name][1]().parameters() if p.requires_grad)
    assert f"| {trained:,} |" in row


def test_no_placeholder_was_left():
    assert re.findall(r"\b[A-Z]+_(?:TEXT|RESULTS)\b", README) == []
