"""Files and settings made to do harm: damaged, swollen, malicious, or written by a stranger."""

import random
import string
from copy import deepcopy

import torch

from experiments.checkpoints import load_module
from experiments.compose import build, compose_config
from experiments.errors import UserError
from experiments.reliability.finding import Finding
from experiments.reliability.hostile_bombs import bombs
from experiments.reliability.hostile_child import READERS, USUAL_BOUND, outcome
from experiments.reliability.hostile_fuzz import fuzz, outcomes
from experiments.reliability.hostile_seeds import commands, torch7_seeds
from lightning_modules.pretrained.checkpoint import CheckpointError

TITLE = "Hostile files and settings"
SEED = 0
STRANGE = (None, -1, 0, 1, 2.5, float("nan"), "", "x", b"x", True, [], [1], {}, {"_target_": "os.system"}, 10**12)
TARGETS = (
    "os.system",
    "subprocess.Popen",
    "builtins.eval",
    "torch.load",
    "datamodules.synthetic.Synthetic",
    "",
    None,
    3,
)
SETTINGS = 300  # random overrides, and checkpoints of strangers


def findings(effort, folder):
    for reader in READERS:
        if reader != "bomb":
            yield fuzz(reader, effort.files, folder / reader)
    yield refused_commands(folder / "commands")
    yield refused_bombs(folder / "bombs")
    yield settings_in_one_line(SETTINGS)
    yield strangers(SETTINGS, folder / "strangers")


def refused_commands(folder):
    """Every reader of weights, given pickles that run a command where they are trusted, and a Lua function."""
    folder.mkdir(parents=True)
    marker, path, wrong = folder / "marker", folder / "file", []
    cases = [(name, data) for name in ("checkpoint", "pth") for data in commands(marker)]
    cases += [("torch7", data) for data in torch7_seeds(marker)]
    for number, (name, data) in enumerate(cases):
        path.write_bytes(data)
        found = outcome(*READERS[name], path)
        if marker.exists() or found != ("read" if name == "torch7" else "refused"):
            wrong.append(f"{name} {number}: {found}")
            marker.unlink(missing_ok=True)
    what = "pickles and functions that run a command: not run"
    return Finding(what=what, tried=len(cases), held=len(cases) - len(wrong), note="; ".join(wrong))


def refused_bombs(folder):
    """Each image bomb, in a process of its own kind: see hostile_child."""
    folder.mkdir(parents=True)
    names = list(bombs())
    _, wrong = outcomes("bomb", len(names), folder)
    note = "; ".join(f"{names[number]}: {what}" for number, what in wrong.items())
    what = f"decompression bombs ({', '.join(names)}): within {USUAL_BOUND} MiB"
    return Finding(what=what, tried=len(names), held=len(names) - len(wrong), note=note)


def settings_in_one_line(count, compose=compose_config):
    """Random words as overrides: a configuration, or one line."""
    config = compose(["experiment=quickstart"])
    keys = [key for key in config if key != "experiment"] + [f"model.{key}" for key in config["model"]]
    keys += [f"data.{key}" for key in config["data"]] + ["experiment", "model", "data", "masks@data.masks", "trainer.x"]
    wrong = []
    for number in range(count):
        draw = random.Random(f"{SEED} {number}")
        words = [word(draw, keys) for _ in range(draw.randint(1, 3))]
        told = failure(lambda words=words: compose(words), UserError)
        wrong += [f"{words}: {told}"] if told else []
    what = "random settings: a configuration or one line"
    return Finding(what=what, tried=count, held=count - len(wrong), note="; ".join(wrong[:3])[:500])


def word(draw, keys):
    """`key=value`, or what is left of one."""
    key = draw.choice(("", "", "", "+", "~", "++")) + draw.choice(keys)
    value = draw.choice(
        ("", "1", "-1", "1e9", "null", "x", "[1,2", "{a: 1}", "${oc.env:HOME}", "${x}", "???", "'", "é\n")
    )
    noise = "".join(draw.choice(string.printable) for _ in range(draw.randint(1, 8)))
    return draw.choice((f"{key}={value}", f"{key}={value}", f"{key}={noise}", noise, key))


def strangers(count, folder, load=load_module):
    """Checkpoints whose settings and weights are not what they should be: a model of the project's own, or one line."""
    folder.mkdir(parents=True)
    config = compose_config(["experiment=colorful_synthetic", "model.width=2"])
    state = build(config["model"], "model").state_dict()
    path, wrong = folder / "stranger.ckpt", []
    for number in range(count):
        draw = random.Random(f"{SEED} {number}")
        content = strange({"state_dict": dict(state), "config": deepcopy(config), "iteration": 1}, draw)
        torch.save(content, path)
        told = failure(lambda: load(path), (UserError, CheckpointError))
        wrong += [f"{number}: {told}"] if told else []
    what = "checkpoints with strange settings or weights: loaded or refused in one line"
    return Finding(what=what, tried=count, held=count - len(wrong), note="; ".join(wrong[:3])[:500])


def strange(content, draw):
    """The content of a checkpoint with one part of it replaced."""
    model, state, kind = content["config"]["model"], content["state_dict"], draw.randrange(6)
    if kind <= 1:
        model[draw.choice(list(model))] = draw.choice(STRANGE)
    elif kind == 2:
        model["_target_"] = draw.choice(TARGETS)
    elif kind == 3:
        content["config"] = draw.choice([*STRANGE, {"model": draw.choice(STRANGE)}])
    elif kind == 4:
        state[draw.choice(list(state))] = draw.choice([*STRANGE, torch.zeros(1).expand(10**6, 10**6)])
    else:
        content["state_dict"] = draw.choice([*STRANGE, {1: torch.zeros(1)}, torch.zeros(2)])
    return content


def failure(work, allowed):
    """What is wrong with how a call ends; None where it returns, or raises `allowed` with one line."""
    try:
        work()
    except allowed as error:
        return None if "\n" not in str(error) else f"more than one line: {str(error)!r}"
    except Exception as error:  # whatever strange input makes the code raise is what is looked for
        return f"{type(error).__name__}: {error}"
    return None
