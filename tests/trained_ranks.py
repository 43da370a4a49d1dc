"""Trainings in several processes, by the program experiments/ranks.py."""

import subprocess
import sys
from pathlib import Path

import torch


def trained(folder, paper, processes, statistics, **options):
    """The weights of each rank after a few steps: [state dict of rank 0, ...]. options: those of ranks.py."""
    program = Path(__file__).parent / "experiments" / "ranks.py"
    words = [f"{name}={value}" for name, value in options.items()]
    command = [sys.executable, program, folder, paper, str(processes), statistics, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{processes}_rank{rank}.pt", weights_only=True) for rank in range(processes)]
