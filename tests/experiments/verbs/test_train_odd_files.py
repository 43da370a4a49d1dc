"""Training on a folder in which most files are odd and many are broken."""

import logging

from odd_files import encoded, quarters, write_odd_files

from datamodules.errors import UnreadableImage
from datamodules.folder import Folder
from experiments.cli import main
from lightning_modules.pretrained.checkpoint import read_checkpoint


def test_training_goes_on_and_names_every_file_that_it_cannot_read(tmp_path, caplog):
    (tmp_path / "data" / "train").mkdir(parents=True)
    odd = write_odd_files(tmp_path / "data" / "train")
    for split in ("val", "test"):
        (tmp_path / "data" / split).mkdir()
        (tmp_path / "data" / split / "fine.png").write_bytes(encoded(quarters(), "PNG"))
    files = Folder(root=str(tmp_path / "data"), crop=16).source("train")
    names = [files.name(position) for position in range(len(files))]
    broken = [name for position, name in enumerate(names) if not readable(files, position)]
    assert len(broken) >= 10 and len(names) - len(broken) >= 10 and len(odd) >= 20

    run = tmp_path / "run"
    iterations = -(-len(names) // 4) + 1  # a whole epoch and a little more
    settings = ["model=colorful", "model.width=2", "data=folder", f"data.root={tmp_path / 'data'}", "data.crop=16"]
    settings += ["data.batch_size=4", "data.workers=1", "logger=none", f"iterations={iterations}", f"run_dir={run}"]
    with caplog.at_level(logging.WARNING):
        assert main(["train", *settings, "trainer.accelerator=cpu", "trainer.devices=1"]) == 0
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["iteration"] == iterations
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("skipped ")]
    assert sorted(line.split(": ")[0].removeprefix("skipped ") for line in lines) == sorted(broken)
    assert all("\n" not in line and "unreadable so far)" in line for line in lines)


def readable(source, position):
    try:
        source.read(position)
    except UnreadableImage:
        return False
    return True


def test_validation_does_not_pass_over_an_unreadable_image(tmp_path, capsys):
    for split in ("train", "val", "test"):
        (tmp_path / "data" / split).mkdir(parents=True)
        (tmp_path / "data" / split / "fine.png").write_bytes(encoded(quarters(), "PNG"))
    (tmp_path / "data" / "val" / "broken.png").write_bytes(b"")
    settings = ["model=colorful", "model.width=2", "data=folder", f"data.root={tmp_path / 'data'}", "data.crop=16"]
    settings += ["data.batch_size=2", "data.workers=0", "logger=none", "iterations=1", f"run_dir={tmp_path / 'run'}"]
    assert main(["train", *settings, "trainer.accelerator=cpu", "trainer.devices=1"]) == 2
    assert "broken.png: empty file" in capsys.readouterr().err
