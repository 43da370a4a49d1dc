"""A sweep's definition written as a wandb sweep, whose agents run `chromafill train`.

What the two have in common is the space and the objective. Where they differ:
  bayes for tpe          another model of the same idea
  grid                   the same points; wandb hands them out in its own order
  steps                  written as values, since wandb rounds to multiples of the step, wherever the range begins
  pruning                left out: wandb's counts validations, and stops a run with the signal by which clusters take a
                         machine away, after which it would put the run back into its queue
  objective              wandb takes the best validation of a run, a study its last
A value is written as Hydra reads it back from `key=value`: an agent turns wandb's values into text with Python's str(),
which would make None of null.
"""

import yaml

from experiments.loggers.wandb_run import PROJECT
from experiments.studies.space import override, points

METHODS = {"grid": "grid", "random": "random", "tpe": "bayes"}
RUN_DIR = "run_dir=studies/${oc.env:WANDB_SWEEP_ID}/runs/${oc.env:WANDB_RUN_ID}"  # expanded by OmegaConf, in the run
HEAD = "# wandb sweep THIS_FILE, then on every machine: wandb agent SWEEP_ID. One agent a job, not one a GPU.\n"


def sweep_yaml(definition, experiment_overrides):
    """The file for `wandb sweep`. definition: what `read_space` of experiments/studies/space.py gives.
    experiment_overrides: key=value of every run."""
    objective = definition["objective"]
    sweep = {
        "project": PROJECT,
        "program": "experiments.cli",
        "method": METHODS[definition["method"]],
        "metric": {"name": objective["score"], "goal": objective["direction"]},
        "parameters": {key: parameter(key, values) for key, values in definition["space"].items()},
        "command": [
            *("${env}", "${interpreter}", "-m", "${program}", "train"),
            *experiment_overrides,
            "${args_no_hyphens}",  # key=value, one word each
            *(RUN_DIR, "resume=auto", "logger=wandb"),
        ],
    }
    if definition["trials"] is not None:
        sweep["run_cap"] = definition["trials"]
    return HEAD + yaml.safe_dump(sweep, sort_keys=False, width=1000)


def parameter(key, values):
    """One parameter of wandb's."""
    if "choices" in values or values.get("step") is not None:
        return {"values": [written(key, value) for value in points(key, values)]}
    low, high = values["low"], values["high"]
    whole = isinstance(low, int) and isinstance(high, int)
    ends = {"min": low, "max": high} if whole else {"min": float(low), "max": float(high)}
    if not values.get("log"):
        return {"distribution": "int_uniform" if whole else "uniform"} | ends
    if whole:
        return {"distribution": "q_log_uniform_values", "q": 1} | ends
    return {"distribution": "log_uniform_values"} | ends


def written(key, value):
    """The value that, as text after `key=`, is read back as this one; numbers and booleans stay what they are."""
    if isinstance(value, bool | int | float):
        return value
    return override(key, value).partition("=")[2]
