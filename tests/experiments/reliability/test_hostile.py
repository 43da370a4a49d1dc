import pytest
import torch

from experiments.compose import compose_config
from experiments.errors import UserError
from experiments.reliability import hostile
from experiments.reliability.finding import Effort


def test_pickles_and_functions_that_run_a_command_are_not_run(tmp_path):
    found = hostile.refused_commands(tmp_path / "commands")
    assert found.held == found.tried == 14, found.note


def test_a_reader_that_trusts_pickles_is_noticed(tmp_path, monkeypatch):
    def trusting(path):
        return torch.load(path, weights_only=False)

    monkeypatch.setitem(hostile.READERS, "pth", (trusting, ValueError))
    found = hostile.refused_commands(tmp_path / "commands")
    assert found.held < found.tried and "pth 7: read" in found.note


def test_bombs_are_refused_in_little_memory(tmp_path):
    found = hostile.refused_bombs(tmp_path / "bombs")
    assert found.held == found.tried == 12, found.note


def test_random_settings_are_a_configuration_or_one_line():
    found = hostile.settings_in_one_line(80)
    assert found.held == found.tried == 80, found.note


def test_settings_that_end_in_a_traceback_are_noticed():
    def careless(words):
        if words == ["experiment=quickstart"]:
            return compose_config(words)
        raise KeyError("x")

    found = hostile.settings_in_one_line(5, careless)
    assert found.held == 0 and "KeyError" in found.note


def test_checkpoints_of_strangers_are_loaded_or_refused_in_one_line(tmp_path):
    found = hostile.strangers(60, tmp_path / "strangers")
    assert found.held == found.tried == 60, found.note


def test_a_loader_that_stumbles_over_them_is_noticed(tmp_path):
    def careless(path):
        return torch.load(path, weights_only=True)["config"]["model"]["_target_"].upper()

    found = hostile.strangers(60, tmp_path / "strangers", careless)
    assert 0 < found.held < found.tried and "Error" in found.note


def test_two_lines_are_one_too_many():
    def fail():
        raise UserError("one\ntwo")

    assert hostile.failure(fail, UserError) == "more than one line: 'one\\ntwo'"


@pytest.mark.slow
def test_ten_thousand_damaged_files_for_each_reader(tmp_path):
    assert [finding for finding in hostile.findings(Effort(), tmp_path) if finding.held < finding.tried] == []
