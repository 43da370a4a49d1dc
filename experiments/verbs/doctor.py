"""`chromafill doctor`: what a person would be asked for in a bug report."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from rich.table import Table

from experiments.arguments import Parser
from experiments.evaluation.networks import NETWORKS, why_not
from experiments.loggers.wandb_run import wandb_mode
from experiments.tables import show

LIBRARIES = (
    "chromafill torch torchvision lightning torchmetrics kornia wandb hydra-core omegaconf numpy pillow"
    " opencv-python-headless scikit-image scipy safetensors rich jinja2"
).split()
OPTIONAL = {"torch-fidelity": "FID, KID, U-IDS and P-IDS", "scikit-learn": "U-IDS and P-IDS"}


def parser():
    return Parser("doctor", "Versions, devices, wandb state and weight files found.", "chromafill doctor")


def run(arguments):
    table = Table("what", "found", show_header=False, title="chromafill doctor")
    for what, found in findings():
        table.add_row(what, found)
    show(table)


def findings():
    """(what, found) pairs."""
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "MISSING: pip install -e ."
    for name, use in OPTIONAL.items():
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, f"missing, for {use}: pip install -e '.[metrics]'"
    yield "processor", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        yield f"GPU {number}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    if not torch.cuda.is_available():
        yield "GPU", "none that this torch can use" + (" (MPS is there)" if torch.backends.mps.is_available() else "")
    yield "wandb", f"{wandb_mode()} (WANDB_MODE, or whether an API key is stored)"
    hub = Path(torch.hub.get_dir(), "checkpoints")
    files = sorted(hub.glob("*.pth")) if hub.is_dir() else []
    yield f"weight files in {hub}", "\n".join(file.name for file in files) or "none"
    for name, published in NETWORKS.items():
        path = hub / published.file
        yield f"network {name}", why_not(name, published, path) or str(path)
    runs = sorted(Path("runs").glob("*/*/checkpoints/last.ckpt"), key=lambda p: p.stat().st_mtime)
    yield "runs below ./runs", f"{len(runs)} with a checkpoint" + (f"; newest {runs[-1]}" if runs else "")
