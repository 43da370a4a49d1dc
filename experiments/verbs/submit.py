"""`chromafill submit`: any other verb as a job of a cluster, of several nodes, or in the background here."""

import secrets
import sys
import time
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.arguments import Parser
from experiments.cli import VERBS
from experiments.compose import compose_config, settings_given
from experiments.errors import UserError, nearest
from experiments.launchers import local, slurm

LAUNCHERS = {"slurm": slurm, "local": local}
LEAST = {"jobs": 1, "nodes": 1, "gpus": 0, "cpus": 1, "memory_gb": 1, "notice": 0, "parallel": 1}


class CommandParser(Parser):
    """Leaves what follows `--` alone."""

    def parse_args(self, args=None, namespace=None):
        before, marker, after = split(args)
        parsed = super().parse_args(before, namespace)
        parsed.command = after if marker else []
        return parsed


def split(words):
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place : place + 1], words[place + 1 :]


def parser():
    keys = "; ".join(f"{name}: {', '.join(setting_names(module))}" for name, module in LAUNCHERS.items())
    parser = CommandParser(
        "submit",
        "Runs another verb as a job: launcher=slurm, or launcher=local for the background of this machine, its"
        " launcher.key=value, then -- and the command. A training is given trainer.devices, trainer.num_nodes, run_dir"
        " and resume=auto, and is checked before it queues. launcher.jobs=8 starts the same command eight times, as the"
        " workers of one study. Any verb with launcher=... among its words is submitted the same way.\n"
        f"Keys of {keys}",
        "chromafill submit launcher=slurm launcher.partition=gpu launcher.nodes=2 launcher.gpus=8"
        " launcher.time=24:00:00 -- train experiment=colorful_imagenet data.root=/data/imagenet",
    )
    parser.add_argument("settings", nargs="*", metavar="launcher.key=value", help="where and with what")
    parser.add_argument("--dry-run", action="store_true", help="print what would be submitted")
    parser.add_argument("--logs", metavar="FOLDER", help="default: logs in the run_dir, or submitted/<time>")
    return parser


def setting_names(launcher):
    return [setting.name for setting in fields(launcher.Settings)]


def run(arguments):
    if find_spec("submitit") is None:
        raise UserError("jobs are started with submitit: pip install 'chromafill[slurm]'")
    launcher, settings = chosen(settings_given(arguments.settings))
    verb, *words = known(arguments.command)
    trains = verb == "train"
    logs = Path(arguments.logs or Path("submitted", f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"))
    if trains:
        words, run_dir = training(words, launcher.training(settings), settings.jobs)
        logs = Path(arguments.logs or run_dir / "logs")
    commands = [[sys.executable, "-m", "experiments.cli", verb, *words]] * settings.jobs
    if arguments.dry_run:
        print(launcher.script(commands, settings, logs.absolute(), trains))
        return
    for job in launcher.submit(commands, settings, logs.absolute(), trains):
        print(f"job {job.job_id}: {job.paths.stdout}")


def chosen(given):
    """(module of the launcher, its Settings) of {key: value}."""
    name = given.pop("launcher", None)
    if name not in LAUNCHERS:
        raise UserError(f"launcher must be one of {', '.join(LAUNCHERS)}; got {name}")
    launcher = LAUNCHERS[name]
    settings, names = OmegaConf.structured(launcher.Settings), setting_names(launcher)
    for key, value in given.items():
        place, _, setting = key.partition(".")
        if place != "launcher" or setting.split(".")[0] not in names:
            raise UserError(f"no setting '{key}' of launcher={name}{nearest(setting, names)}")
        try:
            OmegaConf.update(settings, setting, value)
        except (OmegaConfBaseException, ValueError) as error:
            raise UserError(f"{key}={value}: {str(error).splitlines()[0]}") from None
    settings = OmegaConf.to_object(settings)
    require_sizes(settings)
    return launcher, settings


def require_sizes(settings):
    """UserError for a job that no cluster could start."""
    for name, least in LEAST.items():
        value = getattr(settings, name, None)
        if value is not None and value < least:
            raise UserError(f"launcher.{name} must be at least {least}, got {value}")
    if isinstance(settings, slurm.Settings) and settings.notice >= 60 * slurm.minutes(settings.time):
        raise UserError(
            f"launcher.notice must be shorter than launcher.time = {settings.time}, got {settings.notice} seconds"
        )


def known(command):
    """The command, after a look at its verb."""
    if not command:
        raise UserError(
            "nothing to run; write the command behind --, as in: submit launcher=slurm -- train experiment=x"
        )
    if command[0] not in VERBS:
        raise UserError(f"no verb '{command[0]}'{nearest(command[0], VERBS)}")
    return command


def training(words, needed, jobs):
    """(overrides, run_dir) of a training: what it needs where the launcher puts it, and what makes it go on there."""
    if jobs > 1:
        raise UserError(f"launcher.jobs={jobs} would train the same run {jobs} times; start workers of a study instead")
    given = settings_given(words)
    for key, value in needed.items():
        if given.get(key, value) != value:
            raise UserError(f"{key}={given[key]} does not fit the launcher's settings, which make it {value}")
    experiment = Path(str(given.get("experiment", "custom"))).stem
    unnamed = Path("runs", experiment, f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")
    more = needed | {"run_dir": str(unnamed), "resume": "auto"}
    words = words + [f"{key}={value}" for key, value in more.items() if key not in given]
    config = compose_config(words)
    return words, Path(config["run_dir"])
