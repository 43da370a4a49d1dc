import json
import os
import subprocess
import sys
from numbers import Integral

import pytest
import wandb
import yaml
from wandb.apis.public.sweeps import _validate_config_and_fill_distribution
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args, load_sweep_config
from wandb.wandb_agent import Agent, AgentProcess

from experiments.compose import compose_config
from experiments.studies.space import FOLDER, read_space
from experiments.studies.wandb_sweep import sweep_yaml

SPACE = {
    "model.lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "model.lam": {"low": 0.25, "high": 1.0},
    "model.neighbours": {"low": 1, "high": 10},
    "model.width": {"low": 2, "high": 64, "log": True},
    "data.batch_size": {"low": 2, "high": 8, "step": 3},
    "clip_norm": {"choices": [None, 1.0, 1e-05]},
    "data.flip": {"choices": [True, False]},
    "model.prior": {"choices": [None, "it's, here.npy"]},
}
TINY = [
    "model=colorful",
    "model.width=4",
    "data=synthetic",
    "data.crop=32",
    "data.workers=0",
    "data.train_count=8",
    "data.val_count=2",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "iterations=2",
]


def definition(space=SPACE, method="random"):
    objective = {"score": "val/psnr", "direction": "maximize"}
    return {
        "kind": "sweep",
        "method": method,
        "trials": None if method == "grid" else 7,
        "objective": objective,
        "space": space,
    }


def violations(sweep):
    """What wandb's controller of sweeps (the package `sweeps`) finds wrong with it."""
    sweeps = pytest.importorskip("sweeps.config", reason="the package `sweeps` has the schema of wandb's sweeps")
    return sweeps.schema_violations_from_proposed_config(sweep)


@pytest.mark.parametrize("method", ["grid", "random", "tpe"])
@pytest.mark.filterwarnings("ignore")
def test_wandb_accepts_the_sweep(method, tmp_path):
    space = {key: values for key, values in SPACE.items() if method != "grid" or "low" not in values}
    path = tmp_path / "sweep.yaml"
    path.write_text(sweep_yaml(definition(space, method), TINY))
    sweep = load_sweep_config(str(path))
    assert _validate_config_and_fill_distribution(sweep) == sweep  # no range is left to be guessed
    assert violations(sweep) == []
    assert sweep["method"] == {"grid": "grid", "random": "random", "tpe": "bayes"}[method]
    assert sweep.get("run_cap") == (None if method == "grid" else 7)
    assert sweep["metric"] == {"name": "val/psnr", "goal": "maximize"}


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
@pytest.mark.filterwarnings("ignore")
def test_wandb_accepts_every_sweep_that_comes_with_the_project(name):
    sweep = yaml.safe_load(sweep_yaml(read_space(name), TINY))
    assert violations(sweep) == [] and _validate_config_and_fill_distribution(sweep) == sweep


def test_ranges_keep_their_ends_kind_and_scale():
    parameters = yaml.safe_load(sweep_yaml(definition(), TINY))["parameters"]
    assert parameters["model.lr"] == {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2}
    assert parameters["model.lam"] == {"distribution": "uniform", "min": 0.25, "max": 1.0}
    assert parameters["model.neighbours"] == {"distribution": "int_uniform", "min": 1, "max": 10}
    assert parameters["model.width"] == {"distribution": "q_log_uniform_values", "q": 1, "min": 2, "max": 64}
    assert parameters["data.batch_size"] == {"values": [2, 5, 8]}


@pytest.mark.filterwarnings("ignore")
def test_wandbs_own_sampler_draws_whole_numbers_where_the_setting_is_one():
    sweeps = pytest.importorskip("sweeps", reason="the package `sweeps` draws as wandb's server does")
    sweep = yaml.safe_load(sweep_yaml(definition(), TINY))
    for run in sweeps.next_runs(sweep, [], n=20):
        for key, low, high in (("model.width", 2, 64), ("model.neighbours", 1, 10)):
            value = run.config[key]["value"]
            assert isinstance(value, Integral) and low <= value <= high


def agent_command(sweep, chosen, monkeypatch, folder):
    """The command that wandb's agent starts for one choice of values, {key: value}, and its environment."""
    started = {}

    def keep(self, command=None, env=None, **more):
        started.update(command=command, env=env)

    monkeypatch.chdir(folder)
    monkeypatch.setattr(AgentProcess, "__init__", keep)
    monkeypatch.setenv("WANDB_SWEEP_ID", "swee1234")
    monkeypatch.setenv("WANDB_RUN_ID", "")  # so that what the agent sets is taken back after the test
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")
    agent = Agent.__new__(Agent)
    agent._sweep_command, agent._function, agent._in_jupyter = sweep["command"], None, False
    agent._run_processes, agent._forward_signals, agent._log = {}, False, []
    values = {key: {"value": value} for key, value in chosen.items()}
    response = agent._process_command(
        {"type": "run", "id": 1, "run_id": "run56789", "program": sweep["program"], "args": values}
    )
    assert "exception" not in response, response
    return started["command"], started["env"]


@pytest.mark.parametrize("key", ["clip_norm", "data.flip", "model.prior", "data.batch_size"])
def test_every_value_arrives_as_it_was_meant(key):
    values = yaml.safe_load(sweep_yaml(definition(), TINY))["parameters"][key]["values"]
    meant = SPACE[key].get("choices", [2, 5, 8])
    for value, expected in zip(json.loads(json.dumps(values)), meant, strict=True):
        words = create_sweep_command_args({"args": {key: {"value": value}}})["args_no_hyphens"]
        config = compose_config([*TINY, *words])
        for part in key.split("."):
            config = config[part]
        assert config == expected and type(config) is type(expected)


def test_what_an_agent_runs_is_a_training_in_a_folder_of_its_own_that_resumes(tmp_path, monkeypatch):
    sweep = yaml.safe_load(sweep_yaml(definition(), TINY))
    chosen = {"clip_norm": "null", "data.flip": True, "model.lr": 1e-05, "data.batch_size": 2, "model.width": 4}
    monkeypatch.setenv("WANDB_SERVICE", "")
    monkeypatch.delenv("WANDB_SERVICE")
    wandb.setup()  # as an agent has: what it starts shares its wandb process, whose working directory is another
    command, env = agent_command(sweep, chosen, monkeypatch, tmp_path)
    assert command[:5] == ["/usr/bin/env", "python", "-m", "experiments.cli", "train"]
    folder = os.path.dirname(sys.executable)
    done = subprocess.run(
        command,
        env=env | {"PATH": f"{folder}:{env['PATH']}", "WANDB_MODE": "offline"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    run = tmp_path / "studies" / "swee1234" / "runs" / "run56789"
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["clip_norm"], config["data"]["flip"], config["model"]["lr"]) == (None, True, 1e-05)
    assert json.loads((run / "run.json").read_text())["iteration"] == 2
    assert list(run.glob("wandb/offline-run-*-run56789/run-run56789.wandb"))  # the run that the agent speaks of
