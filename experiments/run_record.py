"""A run's folder: where it is, what it holds, and the record of how it was made."""

import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import lightning.pytorch as pl
import torch
import yaml

from experiments.errors import UserError
from experiments.processes import this_process

LIBRARIES = ("torch", "torchvision", "lightning", "torchmetrics", "kornia", "numpy", "pillow", "wandb")
RUN_DIR = "CHROMAFILL_RUN_DIR"  # how rank 0 tells the processes that it starts


def run_folder(config):
    """The folder of this run, made with its sub-folders. The same on every rank."""
    chosen = os.environ.get(RUN_DIR) or config["run_dir"]
    if chosen is None:
        if int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1) > 1:
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
    """Writes a file under a temporary name and renames it. OSError leaves the file that was there, and no other."""
    content, temporary = text.encode(), path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


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


def set_actions(actions):
    """{signal: what it did before}. The old handlers may raise once more while they are replaced."""
    before = None
    while True:
        try:
            before = before or {number: signal.getsignal(number) for number in actions}
            for number, action in actions.items():
                signal.signal(number, action)
        except (RuntimeError, KeyboardInterrupt, SystemExit):
            continue
        return before


@contextmanager
def undisturbed():
    """Signals are left aside inside. When a run is broken off, loader processes die too, and PyTorch's handler raises
    for each of them wherever the main thread happens to be; a second SIGTERM may come on top."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = {"SIGTERM": signal.SIG_IGN, "SIGINT": signal.SIG_IGN, "SIGCHLD": signal.SIG_DFL}
    numbers = {getattr(signal, name): action for name, action in names.items() if hasattr(signal, name)}
    before = set_actions(numbers)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def is_finished(folder):
    """Whether the run's record says that it came to its end."""
    try:
        return json.loads((folder / "run.json").read_text())["status"] == "finished"
    except (OSError, ValueError, KeyError):
        return False


class RunRecord(pl.Callback):
    """config.yaml and run.json: status, command, process, seed, commit, versions, device, speed, memory, wall time."""

    def __init__(self, folder, config, pruning=None):
        """pruning: the run's StopWhenPruned."""
        self.folder, self.config, self.pruning = folder, config, pruning
        self.measured = {}  # at the last validation; kept in the checkpoint, which may be all that is left of a run

    def write(self, status, **more):
        write_text(self.folder / "run.json", json.dumps(self.record | {"status": status} | more, indent=2) + "\n")

    def on_fit_start(self, trainer, module):
        self.started, self.first_iteration = time.time(), module.iteration
        if not trainer.is_global_zero:
            return
        revision, clean = commit()
        self.record = {
            "command": ["chromafill", *sys.argv[1:]],
            "process": this_process(),
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

    def speed(self, module):
        """Iterations per second since this process began to train; where it has not, those of the one before it."""
        if module.iteration == self.first_iteration:
            return self.measured.get("iterations_per_second", 0.0)
        return round((module.iteration - self.first_iteration) / (time.time() - self.started), 3)

    def on_validation_end(self, trainer, module):
        scores = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
        self.measured = {"scores": scores, "iterations_per_second": self.speed(module)}

    def state_dict(self):
        return self.measured

    def load_state_dict(self, state_dict):
        self.measured = state_dict

    def finish(self, trainer, module, status, **more):
        if not trainer.is_global_zero:
            return
        self.write(
            status,
            iteration=module.iteration,
            wall_seconds=round(time.time() - self.started, 3),
            iterations_per_second=self.speed(module),
            peak_memory_bytes=peak_memory(module.device),
            scores=self.measured.get("scores", {}),
            **more,
        )

    def on_train_end(self, trainer, module):
        if trainer.state.status != "interrupted":
            pruned = self.pruning is not None and self.pruning.pruned
            self.finish(trainer, module, "pruned" if pruned else "finished")

    def on_exception(self, trainer, module, exception):
        if hasattr(self, "record"):
            # Lightning's answer to SIGTERM is a SystemExit
            interrupted = isinstance(exception, KeyboardInterrupt | SystemExit) or trainer.received_sigterm
            status, reason = "interrupted" if interrupted else "failed", str(exception) or type(exception).__name__
            with undisturbed(), suppress(OSError):  # of a full disk, which may be what ended the run
                self.finish(trainer, module, status, reason=reason)
