"""A run's folder: where it is, what it holds, and the record of how it was made."""

import json
import os
import platform
import secrets
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import lightning.pytorch as pl
import torch
import yaml

from experiments.errors import UserError

LIBRARIES = ("torch", "torchvision", "lightning", "torchmetrics", "kornia", "numpy", "pillow", "wandb")
RUN_DIR = "CHROMAFILL_RUN_DIR"  # how rank 0 tells the processes that it starts


def run_folder(config):
    """The folder of this run, made with its sub-folders. The same on every rank."""
    chosen = os.environ.get(RUN_DIR) or config["run_dir"]
    if chosen is None:
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise UserError("run_dir=... is needed when the processes are started from outside, to be the same for all")
        chosen = Path("runs", config["experiment"], f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")
    os.environ[RUN_DIR] = str(chosen)
    folder = Path(chosen)
    try:
        for part in ("checkpoints", "samples"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"run_dir {folder} cannot be made: {error.strerror}") from None
    return folder


def write_text(path, text):
    """Writes a file under a temporary name and renames it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def commit():
    """(commit of the code or None, whether the tree was clean)."""
    code = Path(__file__).parent

    def git(*words):
        return subprocess.run(["git", "-C", code, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), not git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return None, False


def device_name(device):
    """'NVIDIA H100', or the processor and the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def peak_memory(device):
    """Bytes: of the GPU, or of this process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class RunRecord(pl.Callback):
    """config.yaml and run.json: status, command, seed, commit, versions, device, speed, peak memory, wall time."""

    def __init__(self, folder, config):
        self.folder, self.config = folder, config

    def write(self, status, **more):
        write_text(self.folder / "run.json", json.dumps(self.record | {"status": status} | more, indent=2) + "\n")

    def on_fit_start(self, trainer, module):
        if not trainer.is_global_zero:
            return
        revision, clean = commit()
        self.started, self.first_iteration = time.time(), module.iteration
        self.record = {
            "command": ["chromafill", *sys.argv[1:]],
            "experiment": self.config["experiment"],
            "seed": self.config["seed"],
            "commit": revision,
            "clean": clean,
            "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
            "device": device_name(module.device),
            "processes": trainer.world_size,
            "parameters": sum(p.numel() for p in module.parameters()),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_text(self.folder / "config.yaml", yaml.safe_dump(self.config, sort_keys=False))
        self.write("running")

    def finish(self, trainer, module, status, **more):
        if not trainer.is_global_zero:
            return
        seconds = time.time() - self.started
        self.write(
            status,
            iteration=module.iteration,
            wall_seconds=round(seconds, 1),
            iterations_per_second=round((module.iteration - self.first_iteration) / seconds, 3),
            peak_memory_bytes=peak_memory(module.device),
            scores={k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("val/")},
            **more,
        )

    def on_train_end(self, trainer, module):
        if trainer.state.status != "interrupted":
            self.finish(trainer, module, "finished")

    def on_exception(self, trainer, module, exception):
        if hasattr(self, "record"):
            interrupted = isinstance(exception, KeyboardInterrupt)
            self.finish(trainer, module, "interrupted" if interrupted else "failed", reason=str(exception))
