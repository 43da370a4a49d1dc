from lightning.pytorch.loggers import Logger
from toys import Flat, fit, synthetic

from lightning_modules.callbacks.record import Record, StopAtIteration


class Memory(Logger):
    name = version = None

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))

    def log_hyperparams(self, *args, **kwargs):
        pass


def test_rows_count_iterations_and_hold_bare_terms_rates_and_validations():
    memory = Memory()
    fit(Flat(), synthetic(6), [Record(2), StopAtIteration(6)], logger=memory, validate_every=4)
    assert [step for step, _ in memory.rows] == [2, 4, 4, 6, 6]  # a last validation though 6 is no multiple of 4
    train, validation = memory.rows[1][1], memory.rows[2][1]
    assert set(train) == {"train/g/l2", "train/g/total", "lr", "iterations_per_second"}
    assert set(validation) == {"val/psnr", "val/psnr_grey"}
    assert train["lr"] == 0.5 and train["iterations_per_second"] > 0


def test_a_network_that_does_not_learn_in_an_iteration_has_no_terms_there():
    class Phases(Flat):
        def training_step(self, batch, batch_idx):
            self.terms[f"train/{'g' if self.iteration < 3 else 'd'}/total"] = batch["image"].mean()

    memory = Memory()
    fit(Phases(), synthetic(3), [Record(1), StopAtIteration(3)], logger=memory, validate_every=3)
    terms = [{name for name in row if name.startswith("train/")} for _, row in memory.rows[:3]]
    assert terms == [{"train/g/total"}, {"train/g/total"}, {"train/d/total"}]


def test_stop_at_iteration_ends_a_longer_stream():
    assert fit(Flat(), synthetic(50), [StopAtIteration(3)]).lightning_module.iteration == 3
