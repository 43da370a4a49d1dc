import signal
from functools import partial

import pytest

from experiments.reliability import stops
from experiments.reliability.finding import Effort
from experiments.reliability.killed_training import run
from experiments.reliability.stops import SETTINGS, moment_of, send, why_not_kept


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stops") / "whole"
    assert run(SETTINGS, folder) == 0
    return folder


@pytest.mark.parametrize(
    ("signum", "name", "code"),
    [
        (signal.SIGTERM, "while the data set is looked at", 75),
        (signal.SIGUSR1, "when the record is begun", 75),
        (signal.SIGTERM, "while a checkpoint is written", 75),
        (signal.SIGTERM, "when the record is closed", 0),
    ],
)
def test_a_signal_is_answered_wherever_it_comes(signum, name, code, whole, tmp_path):
    assert why_not_kept(SETTINGS, whole, tmp_path / "stopped", moment_of(name, partial(send, signum)), code) is None


def test_a_process_that_just_dies_is_told(whole, tmp_path):
    moment = moment_of("in the step of iteration 3", partial(send, signal.SIGKILL))
    assert why_not_kept(SETTINGS, whole, tmp_path / "killed", moment, 75).startswith("exit code -9 instead of 75")


@pytest.mark.slow
def test_all_signals_at_all_places(tmp_path):
    for finding in stops.findings(Effort(kills=5), tmp_path):
        assert finding.held == finding.tried > 0, finding
