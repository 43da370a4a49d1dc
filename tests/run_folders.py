"""Folders as trainings leave them, without a training."""

import json
import os

import yaml

from experiments.processes import this_process

CONFIG = {
    "experiment": "colorful_toy",
    "model": {"_target_": "lightning_modules.colorization.colorful.Colorful", "width": 8},
    "data": {"_target_": "datamodules.synthetic.Synthetic", "masks": None},
    "seed": 0,
    "clip_norm": None,
    "run_dir": None,
}
GONE = this_process() | {"began": 1}  # this number belonged to another process once


def made(folder, status="finished", *, config=None, checkpoint=True, old=10, **record):
    """`folder`, now that of a run which last wrote something `old` seconds ago. record: goes to run.json."""
    for part in ("checkpoints", "samples"):
        (folder / part).mkdir(parents=True)
    config = CONFIG | {"run_dir": str(folder)} | (config or {})
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "metrics.csv").write_text("iteration\n")
    known = {"status": status, "experiment": config["experiment"], "seed": config["seed"], "process": GONE}
    (folder / "run.json").write_text(json.dumps(known | {"commit": "1a2b3c4d" * 5, "iteration": 10} | record))
    if checkpoint:
        (folder / "checkpoints" / "last.ckpt").write_bytes(b"x" * 1000)
    aged(folder, old)
    return folder


def aged(folder, seconds):
    """Sets all times below a folder back."""
    for place in [folder, *folder.rglob("*")]:
        status = place.stat()
        os.utime(place, (status.st_atime, status.st_mtime - seconds))
