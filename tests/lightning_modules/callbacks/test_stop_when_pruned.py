import pytest
from toys import Flat, fit, synthetic

from lightning_modules.callbacks.checkpoint_by_iteration import CheckpointByIteration
from lightning_modules.callbacks.record import StopAtIteration
from lightning_modules.callbacks.stop_when_pruned import StopWhenPruned

ITERATIONS, VALIDATE_EVERY = 7, 4


class Unpromising(Flat):
    """Is pruned in the middle of a training step, or of the first validation (step None)."""

    def __init__(self, folder, step):
        super().__init__()
        self.folder, self.step, self.validated = folder, step, []

    def training_step(self, batch, batch_idx):
        if self.iteration == self.step:
            (self.folder / "prune").touch()
        super().training_step(batch, batch_idx)

    def on_validation_start(self):
        self.validated.append(self.iteration)
        if self.step is None:
            (self.folder / "prune").touch()


@pytest.mark.parametrize(
    ("step", "accumulate", "ended", "validated"),
    [
        (2, 1, 2, []),  # in the middle of a step: at its end
        (4, 1, 4, [4]),  # in a step that is followed by a validation: after it
        (None, 1, 4, [4]),  # in a validation: after it
        (5, 2, 6, [4]),  # never between a gradient and the step of its optimiser
        (7, 1, 7, [4, 7]),  # in the last step: it has come to its end
    ],
)
def test_a_pruned_run_ends_as_one_that_has_finished(step, accumulate, ended, validated, tmp_path):
    module = Unpromising(tmp_path, step)
    module.accumulate = accumulate
    saver = CheckpointByIteration(tmp_path, {}, every=1000, validate_every=VALIDATE_EVERY, iterations=ITERATIONS)
    pruning = StopWhenPruned(tmp_path, saver)
    trainer = fit(
        module,
        synthetic(ITERATIONS),
        [StopAtIteration(ITERATIONS), saver, pruning],
        validate_every=VALIDATE_EVERY,
    )
    assert trainer.state.finished and (tmp_path / "last.ckpt").exists()
    assert (module.iteration, module.validated) == (ended, validated)
    assert pruning.pruned == (ended < ITERATIONS)
