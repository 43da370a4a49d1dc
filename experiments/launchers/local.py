"""Jobs of this machine, in the background, through submitit: what a cluster would run, without one.

submitit's controller of a job keeps the standard streams and the session of the process that starts it, so that a shell
which reads what was printed would wait for the job, and Ctrl-C there would end it. Therefore that is a process of its
own: this file as a program.
"""

import os
import pickle
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import UserError
from experiments.launchers.command import Command

A_YEAR = 365 * 24 * 60  # minutes; submitit ends a local job after five otherwise


@dataclass(kw_only=True)
class Settings:
    """Keys of launcher=local."""

    jobs: int = 1  # of the same command, at the same time
    gpus: int | None = None  # per job, each its own; None: all jobs see all of them


def visible(settings, number):
    """CUDA_VISIBLE_DEVICES of a job: its share of those visible here, or what it is here."""
    here = os.environ.get("CUDA_VISIBLE_DEVICES")
    if settings.gpus is None:
        return here
    import torch

    devices = here.split(",") if here else [str(device) for device in range(torch.cuda.device_count())]
    first, last = number * settings.gpus, (number + 1) * settings.gpus
    if last > len(devices):
        raise UserError(f"job {number} would need GPU number {last - 1} of the {len(devices)} that are visible here")
    return ",".join(devices[first:last])


def training(settings):
    """Settings of a training that go with these."""
    return {} if settings.gpus is None else {"trainer.devices": settings.gpus}


def script(commands, settings, folder, trains):
    """The commands as a shell would run them."""
    if settings.gpus is None:
        return "\n".join(f"{shlex.join(words)} &" for words in commands)
    shares = [visible(settings, number) for number in range(len(commands))]
    return "\n".join(
        f"CUDA_VISIBLE_DEVICES={share} {shlex.join(words)} &" for share, words in zip(shares, commands, strict=True)
    )


def submit(commands, settings, folder, trains):
    """Starts the commands. -> [submitit.Job]; logs are written to `folder`. They go on when this process ends."""
    import submitit

    jobs = [
        Command(words=words, environment={"CUDA_VISIBLE_DEVICES": visible(settings, number)})
        for number, words in enumerate(commands)
    ]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.launchers.local", str(folder)],
        input=pickle.dumps(jobs),
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
    )
    return [submitit.LocalJob(folder, job_id) for job_id in done.stdout.decode().split()]


def main(folder):
    """Starts pickled jobs, given as standard input, and prints their numbers. What they print goes to their logs, and
    what their controllers print to controllers.log."""
    import submitit

    jobs = pickle.load(sys.stdin.buffer)
    executor = submitit.LocalExecutor(folder=folder)
    executor.update_parameters(timeout_min=A_YEAR)
    with os.fdopen(os.dup(1), "w") as answer:  # not inherited, other than 0, 1 and 2
        with (folder / "controllers.log").open("a") as log, open(os.devnull) as nothing:
            for number, file in enumerate((nothing, log, log)):
                os.dup2(file.fileno(), number)
        print(*(executor.submit(job).job_id for job in jobs), file=answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
