"""Ending a run that is not worth its time, as somebody else has found: a file in its folder says so."""

import lightning.pytorch as pl

PRUNE = "prune"  # the file


class StopWhenPruned(pl.Callback):
    """A file `prune` in the run's folder ends the run as one that has come to its end, with `pruned` set.

    The run ends after an iteration that moved the weights, without a validation of its own, or after the validation of
    that iteration, with a last checkpoint of its end, as any run has. It is enough that the first rank sees the file.
    """

    def __init__(self, folder, checkpoints):
        """checkpoints: the run's CheckpointByIteration."""
        self.path, self.checkpoints = folder / PRUNE, checkpoints
        self.pruned = False

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if not self.checkpoints.validates(module.iteration):
            self.stop_if_asked(trainer, module)

    def on_validation_end(self, trainer, module):
        self.stop_if_asked(trainer, module)

    def stop_if_asked(self, trainer, module):
        """Called by all ranks at the same iteration."""
        iteration = module.iteration
        if iteration >= self.checkpoints.iterations or iteration % module.accumulate:
            return
        asked = trainer.is_global_zero and self.path.exists()
        if trainer.strategy.reduce_boolean_decision(asked, all=False):
            if not self.checkpoints.is_due(iteration):
                self.checkpoints.save(trainer, "last")
            self.pruned = trainer.should_stop = True
            trainer.limit_val_batches = 0  # Lightning validates before such an end otherwise
