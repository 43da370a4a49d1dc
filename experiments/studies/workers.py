"""Workers on this machine: started, each pinned to its share of the machine, and stopped."""

import logging
import os
import subprocess
import sys
import threading
import time

from experiments.cli import quiet
from experiments.errors import UserError
from experiments.run_record import set_actions
from experiments.studies.study import Study
from experiments.studies.worker import POLL, Worker, work
from lightning_modules.callbacks.stop_on_signal import EX_TEMPFAIL, SIGNALS

log = logging.getLogger(__name__)

STORAGE = "CHROMAFILL_STORAGE"  # tells a worker a URL whose password other users could read on a command line
CPUS = "CHROMAFILL_CPUS"  # tells a worker the numbers of its CPUs
PATIENCE = 20.0  # seconds that workers get to interrupt their trainings and give the trials back


def run_workers(study, count, *, pin=True):
    """Starts `count` workers and waits until all have ended. -> exit code: 1 where one was killed or crashed, or where
    a trial of the study has failed.

    KeyboardInterrupt stops them within seconds and is raised again; their trials can be resumed. A scheduler's signal
    is passed on to them, and when they have saved and put their trials back, this process leaves with exit code 75.
    UserError where a worker met one. Workers also stop when this process is gone, however it went.
    """
    if count < 1:
        raise UserError(f"workers must be at least 1, got {count}")
    shares = machine_shares(count) if pin else [{}] * count
    received = []
    before = set_actions(dict.fromkeys(SIGNALS, lambda number, frame: received.append(number)))
    workers = [start(study, share) for share in shares]
    passed_on = 0
    try:
        while any(worker.poll() is None for worker in workers):
            time.sleep(POLL)
            for number in received[passed_on:]:
                passed_on += 1
                for worker in workers:
                    worker.send_signal(number)
    finally:
        stop(workers)
        set_actions(before)
    for worker in workers:
        if worker.returncode < 0:
            log.warning("worker %s was killed by signal %s", worker.pid, -worker.returncode)
    codes = [worker.returncode for worker in workers]
    if received or EX_TEMPFAIL in codes:
        log.warning("stopped by a signal; the same command goes on")
        raise SystemExit(EX_TEMPFAIL)
    if 2 in codes:
        raise UserError("a worker stopped; it says why above")
    return int(any(codes))


def start(study, share):
    """A worker in a process group of its own, so that Ctrl-C reaches only this process, which passes it on."""
    environment = os.environ | share | {STORAGE: study.storage}
    command = [sys.executable, "-m", "experiments.studies.workers", str(study.folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)


def stop(workers):
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + PATIENCE
    for worker in workers:
        try:
            worker.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        worker.stdin.close()


def machine_shares(count):
    """The environment of each worker: its GPUs, or its number of CPU threads where there is none."""
    gpus = visible_gpus()
    return [
        {"CUDA_VISIBLE_DEVICES": ",".join(share(gpus, count, number))} if gpus else cpu_share(count, number)
        for number in range(count)
    ]


def cpu_share(count, number):
    """CPUs by number, and OMP_NUM_THREADS as the user has it, else a thread each."""
    mine = share(cpus(), count, number)
    own = {CPUS: ",".join(map(str, mine))}
    return own if "OMP_NUM_THREADS" in os.environ else own | {"OMP_NUM_THREADS": str(len(mine))}


def share(things, count, number):
    """The part of a list that belongs to worker `number` of `count`: disjoint while there are enough."""
    if count >= len(things):
        return [things[number % len(things)]]
    return things[number * len(things) // count : (number + 1) * len(things) // count]


def cpus():
    """Numbers of the CPUs that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count()))


def visible_gpus():
    """Names of the GPUs as CUDA_VISIBLE_DEVICES lists them."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    return [name for name in given.split(",") if name.strip()]


def main(folder):
    """A worker that stops when its standard input, a pipe from `run_workers`, ends. Exit code."""
    if mine := os.environ.pop(CPUS, None):
        pin_to({int(number) for number in mine.split(",")})
    quiet()
    try:
        study = Study.open(folder, os.environ.pop(STORAGE))
        worker = Worker(study)
        threading.Thread(target=stop_at_end_of_input, args=[worker], daemon=True).start()
        return work(worker)
    except UserError as error:
        log.error("%s", error)
        return 2


def pin_to(numbers):
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, numbers)


def stop_at_end_of_input(worker):
    while os.read(0, 1):
        pass
    worker.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
