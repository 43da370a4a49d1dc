"""Averaging gradients in `update` against DistributedDataParallel with a search for unused parameters.

Two processes on this machine's CPU, over gloo, take turns with both strategies; DistributedDataParallel without the
search fails on papers whose steps move one network at a time.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.errors import UserError

RANK = "experiments.benchmarks.ddp_rank"
PROCESSES = 2
PAPERS = {  # the adversarial ones, and one with one optimiser
    "context_encoder": ["experiment=context_encoder_synthetic"],
    "glcic": ["experiment=glcic_synthetic", "model.t_c=0", "model.t_d=0"],
    "colorful": ["experiment=colorful_synthetic"],
}


def benchmark_ddp(batch=4, rounds=5, papers=None, iterations=6):
    """Rows for each paper and strategy: ms_per_iteration (the median of all rounds' iterations), time_ratio to ours,
    and the collectives of one iteration and the values in them. batch: images per process."""
    settings = [f"data.batch_size={batch}", "data.workers=0", "data.train_count=64", "data.val_count=2", "logger=none"]
    given = {paper: [*overrides, *settings] for paper, overrides in (papers or PAPERS).items()}
    with tempfile.TemporaryDirectory(prefix="chromafill-") as folder:
        output = Path(folder, "figures.json")
        task = {"papers": given, "iterations": iterations, "rounds": rounds, "output": str(output)}
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={PROCESSES}"]
        done = subprocess.run(
            [*launch, "-m", RANK, json.dumps(task)],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        if done.returncode:
            raise UserError(f"the two processes could not be measured:\n{done.stderr.strip()[-2000:]}")
        figures = json.loads(output.read_text())
    return [
        {
            "paper": paper,
            "strategy": strategy,
            "ms_per_iteration": 1e3 * figure["seconds"],
            "time_ratio": figure["seconds"] / next(iter(strategies.values()))["seconds"],
            "collectives": figure["collectives"],
            "values": figure["values"],
        }
        for paper, strategies in figures.items()
        for strategy, figure in strategies.items()
    ]
