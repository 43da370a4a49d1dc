"""Jobs of this machine, in the background, through submitit: what a cluster would run, without one."""

import os
import shlex
from dataclasses import dataclass

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

    executor = submitit.LocalExecutor(folder=folder)
    executor.update_parameters(timeout_min=A_YEAR)
    jobs = [
        Command(words=words, environment={"CUDA_VISIBLE_DEVICES": visible(settings, number)})
        for number, words in enumerate(commands)
    ]
    return [executor.submit(job) for job in jobs]
