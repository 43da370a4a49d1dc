import pytest

from experiments.loggers.attempts import Attempts


class Refused(Exception):
    pass


def test_the_first_failure_is_said_once_and_nothing_is_called_after_it(caplog):
    calls = []

    def action():
        calls.append(1)
        raise Refused("no room\nand a page of details")

    attempt = Attempts("mlflow", Refused)
    assert attempt(lambda: 3) == 3
    assert attempt(action) is None and attempt(action) is None and attempt(lambda: 3) is None
    assert calls == [1]
    assert [record.getMessage() for record in caplog.records] == ["mlflow: no room; going on without it"]


def test_an_error_without_a_text_is_named(caplog):
    def fail():
        raise BrokenPipeError

    Attempts("wandb")(fail)
    assert caplog.records[0].getMessage() == "wandb: BrokenPipeError; going on without it"


def test_a_mistake_of_the_caller_is_not_hidden():
    with pytest.raises(TypeError):
        Attempts("wandb", Refused)(lambda: len(3))
