import pytest
import yaml

from experiments.cli import main
from experiments.compose import compose_config
from experiments.errors import UserError
from experiments.verbs.config import build_settings


def test_show_prints_yaml_that_is_the_configuration(capsys):
    assert main(["config", "show", "experiment=quickstart", "seed=5"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == compose_config(["experiment=quickstart", "seed=5"])


def test_list_names_the_options_of_each_group(capsys):
    assert main(["config", "list"]) == 0
    printed = capsys.readouterr().out
    for option in ("quickstart", "colorful", "photos", "free_form", "protocol"):
        assert option in printed


def test_check_composes_every_experiment(capsys):
    assert main(["config", "check"]) == 0
    printed = capsys.readouterr().out
    assert "ok     quickstart" in printed and "FAILED" not in printed


def test_check_fails_where_a_setting_is_refused(capsys):
    assert main(["config", "check", "data.batch_size=0"]) == 2
    assert "FAILED quickstart: data: data.batch_size must be at least 1, got 0" in capsys.readouterr().out


def test_a_papers_settings_are_checked_without_its_network():
    model = compose_config(["model=colorful", "data=synthetic"])["model"]
    assert build_settings(model).width == 64
    with pytest.raises(UserError, match="model: model.temperature must be 0 .mode. or more"):
        build_settings(model | {"temperature": -1.0})
