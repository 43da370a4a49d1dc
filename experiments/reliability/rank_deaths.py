"""What becomes of a training in several processes when one of them dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from experiments.reliability.small_runs import small

PROGRAM = "experiments.reliability.watched_rank"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
ITERATION = 4  # at which a process dies
START = 300.0  # seconds until then at most
MINUTE = 60.0  # from then to the end of everything
SILENCE = 9.0  # of a frozen process, after which it is lost; 45 in a training that nobody watches
LAST_LINES = 60  # of the output, where the cause must stand
TWO = ["trainer.devices=2"]


def of_lightning(program, port):
    return [[sys.executable, *program, *TWO]]


def of_torchrun(program, port):
    return [[*TORCHRUN, "--standalone", "--nproc-per-node=2", *program, *TWO]]


def of_two_nodes(program, port):
    meet = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}"]
    return [[*TORCHRUN, *meet, "--rdzv-id=two", *program, "trainer.num_nodes=2", "trainer.devices=1"]] * 2


LAUNCHERS = {"Lightning": of_lightning, "torchrun": of_torchrun, "torchrun, two nodes": of_two_nodes}


@dataclass(frozen=True)
class Ending:
    """How a run ended. seconds: from the fault until no process was left; `left` are those that were there at last.
    outputs: of each command, which are those of different nodes."""

    codes: list[int]
    seconds: float
    left: list[int]
    outputs: list[str]

    def shows(self, *causes):
        """Whether the last lines of a node name one of the causes."""
        last = ["\n".join(output.splitlines()[-LAST_LINES:]) for output in self.outputs]
        return any(cause in lines for lines in last for cause in causes)


def ending_of(launcher, kind, rank, folder, paper="colorful"):
    """Trains in two processes with loader processes, one of the two hit by a fault of watched_rank. folder: a new one,
    named in no other command line."""
    folder.mkdir(parents=True)
    mark = folder / "fault"
    task = json.dumps({"fault": [kind, rank, ITERATION, str(mark)], "silence": SILENCE})
    program = ["-m", PROGRAM, task, *small(paper), "data.workers=2", f"run_dir={folder / 'run'}"]
    commands = LAUNCHERS[launcher](program, free_port())
    outputs = [folder / f"output_{number}" for number in range(len(commands))]
    with ExitStack() as stack:
        files = [stack.enter_context(open(path, "wb")) for path in outputs]
        started = zip(commands, files, strict=True)
        runs = [subprocess.Popen(c, stdout=file, stderr=file, env=environment()) for c, file in started]
        try:
            wait_for(lambda: mark.exists() or all(run.poll() is not None for run in runs), START)
            if kind == "hang":
                runs[0].kill()
            wait_for(lambda: all(run.poll() is not None for run in runs) and not processes_of(folder), MINUTE)
            seconds = time.time() - mark.stat().st_mtime if mark.exists() else float("inf")
            left = processes_of(folder)
        finally:
            for pid in processes_of(folder):
                os.kill(pid, signal.SIGKILL)
            codes = [run.wait() for run in runs]
    return Ending(codes, seconds, left, [path.read_text(errors="replace") for path in outputs])


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def processes_of(folder):
    """Numbers of the living processes whose command line names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(folder) in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it ended
            pass
    return found


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def environment():
    """This one, with one thread a process and without what tells a process its place in another run."""
    places = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "CHROMAFILL_RUN_DIR")
    return {name: value for name, value in os.environ.items() if name not in places} | {"OMP_NUM_THREADS": "1"}
