"""Giving a machine back: a checkpoint between two iterations, and an exit code that says the run is to go on."""

import os
import signal
import threading
from contextlib import contextmanager

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging

from lightning_modules.ops.distributed import gather_objects

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
EX_TEMPFAIL = 75  # sysexits.h: a temporary failure, try again later


class Stopped(SystemExit):
    """A run that a signal ended. The process leaves with exit code 75, its other ranks with 0.

    iteration: that of last.ckpt; None where training had not begun.
    """

    def __init__(self, signum, iteration, code):
        super().__init__(code)
        self.signum, self.iteration = signum, iteration

    def __str__(self):
        name = signal.Signals(self.signum).name if self.signum else "a signal to another rank"
        if self.iteration is None:
            return f"{name} before training began; resume=auto starts it, or goes on with it"
        return f"{name}; last.ckpt holds iteration {self.iteration}, resume=auto goes on from there"


@contextmanager
def leaving_at_once():
    """Inside, before training begins, such a signal raises Stopped where it meets the process: there is nothing to save
    yet. `StopOnSignal` takes over when training begins."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def leave(signum, frame):
        if os.getpid() == process:  # not in the loader processes that it has forked
            for other in SIGNALS:
                signal.signal(other, signal.SIG_IGN)
            raise Stopped(signum, None, EX_TEMPFAIL)

    before = {signum: signal.signal(signum, leave) for signum in SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler or signal.SIG_DFL)


class StopOnSignal(pl.Callback):
    """SIGTERM, SIGUSR1 and SIGUSR2, which schedulers send before they take a machine away, end a run with `last.ckpt`.

    The run ends after an iteration that moved the weights; where that validates, also between two of its batches, in
    which case the resumed run begins with the whole validation. It is enough that one rank gets the signal. Replaces
    Lightning's own answers, which save in the middle of a step (SLURM) or not at all, and leave with exit code 0.
    """

    def __init__(self, checkpoints):
        """checkpoints: the run's CheckpointByIteration; stands before this one in the Trainer's list."""
        self.checkpoints = checkpoints
        self.signum = None

    def on_train_start(self, trainer, module):
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                signal.signal(signum, self.remember)
        iteration = module.iteration
        if iteration and self.checkpoints.validates(iteration) and self.checkpoints.validated != iteration:
            validate(trainer)

    def remember(self, signum, frame):
        self.signum = signum

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        iteration = module.iteration
        if not self.checkpoints.validates(iteration) and iteration % module.accumulate == 0 and self.is_asked(trainer):
            self.stop(trainer, module, saved=self.checkpoints.is_due(iteration))

    def on_validation_start(self, trainer, module):
        self.shared_batches = min(gather_objects(trainer.num_val_batches[0]))
        if self.is_asked(trainer):
            self.stop(trainer, module)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        if batch_idx < self.shared_batches and self.is_asked(trainer):
            for callback in trainer.callbacks:
                if isinstance(callback, WeightAveraging):
                    callback.on_validation_epoch_end(trainer, module)  # gives back the weights that train
            self.stop(trainer, module)

    def on_validation_end(self, trainer, module):
        iteration = module.iteration
        if iteration < self.checkpoints.iterations and self.is_asked(trainer):
            self.stop(trainer, module, saved=self.checkpoints.is_due(iteration))

    def is_asked(self, trainer):
        """Whether any rank has a signal. All of them call it together."""
        return trainer.strategy.reduce_boolean_decision(self.signum is not None, all=False)

    def stop(self, trainer, module, saved=False):
        if not saved:
            self.checkpoints.save(trainer, "last")
        raise Stopped(self.signum, module.iteration, EX_TEMPFAIL if trainer.is_global_zero else 0)


def validate(trainer):
    """Validates before the first training step, as Lightning does after one."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    loop.restarting = False  # from its first batch
    trainer.validating = True
    loop.run()
    trainer.training = True
