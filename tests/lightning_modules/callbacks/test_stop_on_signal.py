import os
import signal

import pytest
import torch
from toys import Flat, fit, synthetic

from lightning_modules.callbacks.checkpoint_by_iteration import CheckpointByIteration
from lightning_modules.callbacks.record import StopAtIteration
from lightning_modules.callbacks.stop_on_signal import StopOnSignal, Stopped, leaving_at_once
from lightning_modules.pretrained.checkpoint import read_checkpoint

ITERATIONS, VALIDATE_EVERY = 7, 4


class Signalled(Flat):
    """Sends its own process a signal in the middle of a training step, or of the first validation (step None)."""

    def __init__(self, signum, step):
        super().__init__()
        self.signum, self.step, self.sent = signum, step, False

    def training_step(self, batch, batch_idx):
        if self.iteration == self.step:
            os.kill(os.getpid(), self.signum)
        super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        if self.step is None and not self.sent:
            self.sent = True
            os.kill(os.getpid(), self.signum)
        super().validation_step(batch, batch_idx)


def run(folder, module, accumulate=1, checkpoint=None, done=0):
    """A run with a checkpoint at its end only, unless it is stopped."""
    folder.mkdir(exist_ok=True)
    module.accumulate = accumulate
    data = synthetic(ITERATIONS)
    data.done, data.seen = done, 4 * done
    saver = CheckpointByIteration(folder, {}, every=1000, validate_every=VALIDATE_EVERY, iterations=ITERATIONS)
    callbacks = [StopAtIteration(ITERATIONS), saver, StopOnSignal(saver)]
    fit(module, data, callbacks, validate_every=VALIDATE_EVERY, checkpoint=checkpoint)
    return read_checkpoint(folder / "last.ckpt")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize(
    ("step", "accumulate", "saved"),
    [
        (2, 1, 2),  # in the middle of a step: at its end
        (4, 1, 4),  # in a step that is followed by a validation: after it
        (None, 1, 4),  # in a validation: after it
        (5, 2, 6),  # never between a gradient and the step of its optimiser
    ],
)
def test_a_signalled_run_saves_and_resumed_equals_one_that_was_not(signum, step, accumulate, saved, tmp_path):
    whole = run(tmp_path / "whole", Flat(), accumulate)
    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as stopped:
        run(tmp_path / "stopped", Signalled(signum, step), accumulate)
    assert stopped.value.code == 75  # EX_TEMPFAIL of sysexits.h
    assert str(stopped.value).startswith(f"{signum.name}; last.ckpt holds iteration {saved}, resume=auto goes on")
    assert signal.getsignal(signum) == before
    left = tmp_path / "stopped" / "last.ckpt"
    assert read_checkpoint(left)["iteration"] == saved
    resumed = run(tmp_path / "stopped", Flat(), accumulate, checkpoint=left, done=saved)
    assert resumed["iteration"] == ITERATIONS
    assert torch.equal(resumed["state_dict"]["ab"], whole["state_dict"]["ab"])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_before_training_a_signal_is_answered_at_once_and_only_once(signum):
    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as stopped, leaving_at_once():
        try:
            os.kill(os.getpid(), signum)
        finally:
            os.kill(os.getpid(), signum)  # does not disturb the leaving
    assert stopped.value.code == 75
    assert str(stopped.value) == f"{signum.name} before training began; resume=auto starts it, or goes on with it"
    assert signal.getsignal(signum) == before


def test_a_forked_process_does_not_answer_in_its_parents_place():
    with leaving_at_once():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_a_signal_in_the_last_step_does_not_keep_a_run_from_finishing(tmp_path):
    assert run(tmp_path, Signalled(signal.SIGTERM, ITERATIONS))["iteration"] == ITERATIONS
