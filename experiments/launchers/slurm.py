"""Jobs of a SLURM cluster: one node, several, or an array, through submitit.

A training gets one task per GPU, as Lightning's SLURM environment wants it. Anything else, such as a worker of a study,
gets one task per node and starts processes of its own. Before the time is up SLURM sends SIGUSR2; a training answers
with a checkpoint and exit code 75 (StopOnSignal), upon which the batch script puts the job back into the queue, where
resume=auto goes on from that checkpoint. A worker has its training do so, puts the trial back and leaves with 75 as
well; a process that the signal meets before it listens dies of it (128 + 12) and is put back too. Preempted jobs are
put back by SLURM itself (--requeue), after SIGTERM and the same checkpoint.
"""

import re
import shlex
import sys
from dataclasses import dataclass, field
from typing import Any

from experiments.errors import UserError
from experiments.launchers.command import Command

REQUEUE = [  # the last job of an array has the array's own number, so that its index must be named
    "code=$?",
    "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
    'if [ "$code" -eq 75 ] || [ "$code" -eq 140 ]; then scontrol requeue "${job:-$SLURM_JOB_ID}"; fi',
    'exit "$code"',
]
ALONE = {"SLURM_JOB_NAME": "interactive"}  # Lightning's word for: this task may start processes itself


@dataclass(kw_only=True)
class Settings:
    """Keys of launcher=slurm."""

    jobs: int = 1  # of the same command, as an array
    partition: str | None = None
    nodes: int = 1
    gpus: int = 1  # per node; 0: a training on CPUs, in one process per node
    cpus: int = 8  # per GPU, or per node where there is none
    memory_gb: int | None = None  # per node
    time: str = "24:00:00"  # minutes, hours:minutes:seconds or days-hours:minutes:seconds
    notice: int = 120  # seconds between SIGUSR2 and the end of the time
    parallel: int = 256  # jobs of an array that run at once
    name: str = "chromafill"
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    setup: list[str] = field(default_factory=list)  # shell lines before the command, such as [module load cuda]
    extra: dict[str, Any] = field(default_factory=dict)  # other #SBATCH directives, such as {mail-type: END}


def training(settings):
    """Settings of a training that go with these."""
    processes = {"trainer.devices": max(1, settings.gpus), "trainer.num_nodes": settings.nodes}
    return processes | ({} if settings.gpus else {"trainer.accelerator": "cpu"})


def parameters(settings, trains):
    """What SlurmExecutor.update_parameters takes. trains: whether each GPU gets a task."""
    tasks = max(1, settings.gpus) if trains else 1
    cores = settings.cpus if trains else settings.cpus * max(1, settings.gpus)
    chosen = {
        "job_name": settings.name,
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "nodes": settings.nodes,
        "ntasks_per_node": tasks,
        "gpus_per_node": settings.gpus or None,
        "cpus_per_task": cores,
        # srun has not taken the first over from sbatch since SLURM 22.05; one failed task is to end the others
        "srun_args": [f"--cpus-per-task={cores}", "--kill-on-bad-exit=1"],
        "mem": None if settings.memory_gb is None else f"{settings.memory_gb}GB",
        "time": minutes(settings.time),
        "signal_delay_s": settings.notice,
        "array_parallelism": settings.parallel,
        "setup": settings.setup or None,
        "teardown": REQUEUE,
        "additional_parameters": {"requeue": True} | settings.extra,
    }
    return {name: value for name, value in chosen.items() if value is not None}


def minutes(time):
    """Minutes of a time as SLURM writes it, rounded up."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+)(?::(\d+))?|(\d+)", time)
    if match is None:
        raise UserError(f"launcher.time must be minutes, h:mm:ss or d-hh:mm:ss; got {time}")
    days, first, second, third, bare = (int(part or 0) for part in match.groups())
    if match[5]:
        return bare
    if match[1]:  # days-hours:minutes, with or without seconds
        return (days * 24 + first) * 60 + second + (third > 0)
    if match[4]:
        return first * 60 + second + (third > 0)
    return first + (second > 0)  # minutes:seconds


def command(words, trains):
    return Command(words=words, environment={} if trains else ALONE)


def script(commands, settings, folder, trains):
    """The batch script, without a cluster, and below it the command of each job of the array."""
    from submitit.slurm import slurm

    runner = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    count = {"map_count": len(commands)} if len(commands) > 1 else {}
    text = slurm._make_sbatch_string(command=runner, folder=folder, **parameters(settings, trains), **count)
    lines = [f"# {number}: {shlex.join(words)}" for number, words in enumerate(commands)]
    return "\n".join([text, "", "# What each job runs:", *lines])


def submit(commands, settings, folder, trains):
    """Hands the commands in, as an array where there are several. -> [submitit.Job]; logs are written to `folder`."""
    import submitit

    try:
        executor = submitit.SlurmExecutor(folder=folder)
        executor.update_parameters(**parameters(settings, trains))
    except RuntimeError as error:  # no srun
        raise UserError(f"launcher=slurm: {error}; --dry-run prints the script, launcher=local runs it here") from None
    try:
        return executor.submit_array([command(words, trains) for words in commands])
    except submitit.core.utils.FailedJobError as error:
        raise UserError(f"sbatch refused it: {str(error).strip().splitlines()[-1]}") from None
