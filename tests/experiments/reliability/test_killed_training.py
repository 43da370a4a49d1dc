import pytest

from experiments.reliability.killed_training import (
    KILLED,
    at_call,
    in_step,
    killed_and_resumed,
    output_of,
    random_moments,
    run,
)
from experiments.reliability.small_runs import small
from lightning_modules.pretrained.checkpoint import read_checkpoint

SETTINGS = [*small("deep_colorization"), "iterations=4"]


def test_a_child_dies_at_its_moment_and_goes_on_from_its_checkpoint(tmp_path):
    folder = tmp_path / "run"
    assert run(SETTINGS, folder, in_step(4)) == KILLED
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["iteration"] == 2
    assert run(SETTINGS, folder) == 0
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["iteration"] == 4


def test_only_kills_that_happened_are_counted(tmp_path):
    assert killed_and_resumed(SETTINGS, tmp_path / "run", [in_step(1), in_step(99), in_step(1)]) == 1


def test_a_run_that_cannot_end_says_so_with_its_last_words(tmp_path):
    with pytest.raises(RuntimeError, match="exit code 2.*no setting 'model.lrr'"):
        killed_and_resumed([*SETTINGS, "model.lrr=1"], tmp_path / "run", [])
    assert "Traceback" not in output_of(tmp_path / "run")


def test_acts_come_before_or_after_the_chosen_calls_only():
    class Owner:
        def work(self, number):
            calls.append(number)

    calls = []
    at_call(Owner, "work", lambda owner, number: number == 2, act=lambda: calls.append("before"))
    at_call(Owner, "work", lambda owner, number: number == 3, act=lambda: calls.append("after"), after=True)
    for number in (1, 2, 3):
        Owner().work(number)
    assert calls == [1, "before", 2, 3, "after"]


def test_random_moments_are_those_of_their_seed_and_some_come_before_training():
    first, again, other = (random_moments(8, 2.0, seed) for seed in (0, 0, 1))
    assert [m.name for m in first] == [m.name for m in again] != [m.name for m in other]
    assert [m.name.endswith("after the start") for m in first] == [True, False, False, False] * 2
