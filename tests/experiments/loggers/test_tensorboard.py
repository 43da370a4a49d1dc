import pytest
import torch

from experiments.loggers.tensorboard import TensorBoard
from lightning_modules.callbacks.sample_grid import Samples

pytest.importorskip("tensorboard", reason="pip install chromafill[tensorboard]")


def read(folder):
    """What TensorBoard itself reads of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def scalars(folder, name):
    return [(event.step, event.value) for event in read(folder).Scalars(name)]


def test_numbers_stand_at_their_iteration_and_pictures_under_their_panel(tmp_path):
    log = TensorBoard(tmp_path, {"model": {"lr": 0.125}})
    log.log_metrics({"train/g/total": 0.5, "lr": 0.25}, 10)
    log.log_metrics({"val/psnr": 20.0}, 20)
    image = torch.full((2, 3, 8, 8), 255, dtype=torch.uint8)
    log.log_samples(Samples({"truth": image}, [4, 7]), 20)
    log.finalize("success")
    assert scalars(tmp_path, "train/g/total") == [(10, 0.5)] and scalars(tmp_path, "val/psnr") == [(20, 20.0)]
    pictures = read(tmp_path).Tags()["images"]
    assert pictures == ["samples/truth/image"] or pictures == ["samples/truth"]
    assert read(tmp_path).Images(pictures[0])[0].step == 20
    (config,) = read(tmp_path).Tensors("config/text_summary")
    assert b"lr: 0.125" in config.tensor_proto.string_val[0]
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def test_a_resumed_run_hides_what_came_after_its_checkpoint(tmp_path):
    for start, value in ((0, 1.0), (3, 2.0)):
        log = TensorBoard(tmp_path, {}, start=start)
        for step in range(start + 1, 6):
            log.log_metrics({"loss": value}, step)
        log.finalize("success")
    assert scalars(tmp_path, "loss") == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0)]


def test_a_folder_that_cannot_be_written_does_not_stop_the_run(tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("in the way")
    log = TensorBoard(tmp_path, {})
    log.log_metrics({"loss": 1.0}, 1)
    log.log_metrics({"loss": 1.0}, 2)
    log.finalize("success")
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("experiments")]
    assert line.startswith("tensorboard: ") and line.endswith("; going on without it")
