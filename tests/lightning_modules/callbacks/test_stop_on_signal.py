import os
import signal

import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from toys import Flat, fit, synthetic

from lightning_modules.callbacks.checkpoint_by_iteration import CheckpointByIteration
from lightning_modules.callbacks.record import StopAtIteration
from lightning_modules.callbacks.stop_on_signal import StopOnSignal, Stopped, leaving_at_once
from lightning_modules.pretrained.checkpoint import read_checkpoint

ITERATIONS, VALIDATE_EVERY = 10, 4


class Signalled(Flat):
    """Sends its own process a signal in the middle of a training step or of a validation. Keeps a list of the
    validation batches that it is given: (iteration, number)."""

    def __init__(self, signum=None, step=None, validation=None):
        super().__init__()
        self.signum, self.step, self.validation, self.validated = signum, step, validation, []

    def training_step(self, batch, batch_idx):
        if self.iteration == self.step:
            os.kill(os.getpid(), self.signum)
        super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        self.validated.append((self.iteration, batch_idx))
        if (self.iteration, batch_idx) == (self.validation, 0):
            os.kill(os.getpid(), self.signum)
        super().validation_step(batch, batch_idx)


def run(folder, module, accumulate=1, checkpoint=None, done=0):
    """A run with a checkpoint at its end only, unless it is stopped."""
    folder.mkdir(exist_ok=True)
    module.accumulate = accumulate
    data = synthetic(ITERATIONS)
    data.done, data.seen = done, 4 * done
    saver = CheckpointByIteration(folder, {}, every=1000, validate_every=VALIDATE_EVERY, iterations=ITERATIONS)
    callbacks = [EMAWeightAveraging(decay=0.9), StopAtIteration(ITERATIONS), saver, StopOnSignal(saver)]
    fit(module, data, callbacks, validate_every=VALIDATE_EVERY, checkpoint=checkpoint)
    return read_checkpoint(folder / "last.ckpt")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize(
    ("step", "validation", "accumulate", "saved"),
    [
        (2, None, 1, 2),  # in the middle of a step: at its end
        (4, None, 1, 4),  # in a step that is followed by a validation: before it
        (None, 4, 1, 4),  # in a validation
        (5, None, 2, 6),  # never between a gradient and the step of its optimiser
        (10, None, 1, 10),  # in the last step
        (None, 10, 1, 10),  # in the last validation, which is none of every fourth iteration
    ],
)
def test_a_signalled_run_saves_and_resumed_equals_one_that_was_not(
    signum, step, validation, accumulate, saved, tmp_path
):
    whole = run(tmp_path / "whole", Flat(), accumulate)
    before = signal.getsignal(signum)
    with pytest.raises(Stopped) as stopped:
        run(tmp_path / "stopped", Signalled(signum, step, validation), accumulate)
    assert stopped.value.code == 75  # EX_TEMPFAIL of sysexits.h
    assert str(stopped.value).startswith(f"{signum.name}; last.ckpt holds iteration {saved}, resume=auto goes on")
    assert signal.getsignal(signum) == before
    left = tmp_path / "stopped" / "last.ckpt"
    assert read_checkpoint(left)["iteration"] == saved
    resumed = run(tmp_path / "stopped", Flat(), accumulate, checkpoint=left, done=saved)
    assert (resumed["iteration"], resumed["callbacks"]) == (ITERATIONS, whole["callbacks"])
    best = [read_checkpoint(tmp_path / name / "best.ckpt") for name in ("stopped", "whole")]
    for first, second in ((resumed, whole), best):
        for part in ("state_dict", "current_model_state"):
            assert torch.equal(first[part]["ab"], second[part]["ab"])


def test_a_validation_that_was_cut_off_is_done_once_by_the_resumed_run(tmp_path):
    stopped, resumed = Signalled(signal.SIGTERM, validation=8), Signalled()
    with pytest.raises(Stopped):
        run(tmp_path, stopped)
    assert stopped.validated == [(4, 0), (4, 1), (8, 0)]
    run(tmp_path, resumed, checkpoint=tmp_path / "last.ckpt", done=8)
    assert resumed.validated == [(8, 0), (8, 1), (10, 0), (10, 1)]


def test_a_signal_in_the_validation_that_the_resumed_run_begins_with_stops_it_too(tmp_path):
    for checkpoint, done in ((None, 0), (tmp_path / "last.ckpt", 4)):
        module = Signalled(signal.SIGTERM, validation=4)
        with pytest.raises(Stopped):
            run(tmp_path, module, checkpoint=checkpoint, done=done)
        assert module.validated == [(4, 0)]
        assert read_checkpoint(tmp_path / "last.ckpt")["iteration"] == 4


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


def test_a_signal_after_the_last_validation_does_not_keep_a_run_from_finishing(tmp_path):
    class SignalledAtTheEnd(Flat):
        def on_validation_epoch_end(self):
            super().on_validation_epoch_end()
            if self.iteration == ITERATIONS:
                os.kill(os.getpid(), signal.SIGTERM)

    assert run(tmp_path, SignalledAtTheEnd())["iteration"] == ITERATIONS
