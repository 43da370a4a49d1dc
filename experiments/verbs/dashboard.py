"""`chromafill dashboard`: makes the wandb workspace of a task, or prints what would be sent."""

import importlib.util
import json
import os

from experiments.arguments import Parser
from experiments.dashboards import SAMPLES, specification, workspace
from experiments.errors import UserError, nearest
from experiments.loggers.wandb_run import PROJECT, wandb_mode


def parser():
    parser = Parser(
        "dashboard",
        "Make the wandb workspace of a task: losses, validation, samples, speed, studies, evaluations.\n"
        "It stands beside the workspaces that the project has; none is changed.",
        "chromafill dashboard inpainting --entity my-team",
    )
    parser.add_argument("task", help=", ".join(SAMPLES))
    parser.add_argument("--entity", help="user or team; default: WANDB_ENTITY, else the one wandb is set up for")
    parser.add_argument("--project", default=os.environ.get("WANDB_PROJECT", PROJECT), help="default: %(default)s")
    parser.add_argument("--print", action="store_true", help="print the specification as JSON; nothing is sent")
    return parser


def run(arguments):
    if arguments.task not in SAMPLES:
        raise UserError(f"no task '{arguments.task}'{nearest(arguments.task, SAMPLES)}")
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise UserError("dashboards need a package: pip install chromafill[dashboards]")
    entity = arguments.entity or os.environ.get("WANDB_ENTITY")
    if arguments.print:
        print(json.dumps(specification(workspace(arguments.task, entity or "", arguments.project)), indent=2))
        return
    if wandb_mode() != "online":
        raise UserError("wandb is not logged in or does not answer; run `wandb login`, or give --print")
    send(arguments.task, entity, arguments.project)


def send(task, entity, project):
    import wandb

    try:
        made = workspace(task, entity or wandb.Api().default_entity, project).save()
    except (wandb.Error, ValueError) as error:  # wandb.Api raises ValueErrors for what does not exist
        raise UserError(f"wandb: {error}") from error
    print(made.url)
