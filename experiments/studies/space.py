"""The search space of a sweep: configs/sweep/<name>.yaml, its checks, and what it is to Optuna.

method     grid | random | tpe
trials     how many, where the method is not grid
objective  score: a validation score such as val/psnr; direction: maximize | minimize
pruning    none | median | hyperband; or {method, startup_trials (before median prunes), warmup (iterations before it)}
space      config key: {choices: [...]}, or {low, high} with log: true or step: x; integers where both ends are
"""

import itertools
import math
import re
from pathlib import Path

import optuna
from numpy.random import SeedSequence
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from yaml import YAMLError

import configs
from experiments.compose import build, compose_config, first_line, flat
from experiments.errors import UserError, nearest
from experiments.verbs.config import build_settings

FOLDER = Path(configs.__file__).parent / "sweep"
KEYS = ("method", "trials", "objective", "pruning", "seed", "space")
METHODS = ("grid", "random", "tpe")
PRUNING = {"method": "none", "startup_trials": 5, "warmup": 0}
PRUNERS = ("none", "median", "hyperband")
PLAIN = re.compile(r"(?!(null|true|false|nan|inf)$)[A-Za-z_/][\w./@:+-]*", re.IGNORECASE)  # Hydra reads it as it is


def read_space(name):
    """The content of a sweep's file, given by its name in configs/sweep or by a path, with every key; checked as far as
    it can be without an experiment."""
    path = Path(name) if str(name).endswith(".yaml") else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = [each.stem for each in FOLDER.glob("*.yaml")]
        raise UserError(f"sweep '{name}' not found{nearest(str(name), known)}")
    try:
        read = OmegaConf.to_container(OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from None
    if not isinstance(read, dict) or not isinstance(read.get("space"), dict) or not read["space"]:
        raise UserError(f"{path}: expected `space:` with config keys and their ranges")
    known_only(read, KEYS, str(path))
    pruning = read.get("pruning", "none")
    pruning = PRUNING | (pruning if isinstance(pruning, dict) else {"method": pruning})
    objective = read.get("objective")
    if not isinstance(objective, dict) or set(objective) != {"score", "direction"}:
        raise UserError(f"{path}: objective must be {{score: val/..., direction: maximize}}, got {objective}")
    if not isinstance(objective["score"], str) or not objective["score"].startswith("val/"):
        raise UserError(
            f"{path}: objective.score must be a validation score such as val/psnr, got {objective['score']}"
        )
    known_only(pruning, PRUNING, f"{path}: pruning")
    one_of(read.get("method"), METHODS, f"{path}: method")
    one_of(pruning["method"], PRUNERS, f"{path}: pruning")
    one_of(objective["direction"], ("maximize", "minimize"), f"{path}: objective.direction")
    for key in ("startup_trials", "warmup"):
        whole(pruning[key], f"{path}: pruning.{key}")
    whole(read.get("seed", 0), f"{path}: seed")
    found = {"method": read["method"], "trials": read.get("trials"), "seed": read.get("seed", 0)}
    found |= {"objective": objective, "pruning": pruning, "space": read["space"]}
    for key, values in found["space"].items():
        distribution(key, values)
    if found["method"] == "grid":
        grid(found["space"])
    return found


def known_only(found, known, where):
    for key in found:
        if key not in known:
            raise UserError(f"{where}: no setting '{key}'{nearest(str(key), known)}")


def one_of(value, known, where):
    if value not in known:
        raise UserError(f"{where} must be one of {', '.join(known)}; got {value}")


def whole(value, where):
    if type(value) is not int or value < 0:
        raise UserError(f"{where} must be a whole number from 0 on, got {value}")


def is_plain(value):
    """Text, a finite number, true, false or null. NaN would make the study another one each time it is read."""
    return value is None or isinstance(value, str | bool) or is_number(value)


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def distribution(key, values):
    """Optuna's distribution of one parameter."""
    if not isinstance(values, dict) or not ({"choices"} == set(values) or {"low", "high"} <= set(values)):
        raise UserError(f"space.{key}: expected {{choices: [...]}} or {{low: x, high: y}}, got {values}")
    if "choices" in values:
        choices = values["choices"]
        if not isinstance(choices, list) or not choices or not all(is_plain(choice) for choice in choices):
            raise UserError(f"space.{key}: choices must be a list of plain values, got {choices}")
        return CategoricalDistribution(choices)
    known_only(values, ("low", "high", "log", "step"), f"space.{key}")
    low, high, log, step = values["low"], values["high"], values.get("log", False), values.get("step")
    if not (is_number(low) and is_number(high)):
        raise UserError(f"space.{key}: low and high must be numbers, got {low} and {high}")
    if not isinstance(log, bool):
        raise UserError(f"space.{key}: log must be true or false, got {log}")
    if step is not None and not (is_number(step) and step > 0):
        raise UserError(f"space.{key}: step must be a number above 0, got {step}")
    try:
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log, step=step or 1)
        return FloatDistribution(low, high, log=log, step=step)
    except ValueError as error:
        raise UserError(f"space.{key}: {first_line(error)}") from None


def points(key, values):
    """All values of one parameter of a grid."""
    if "choices" in values:
        return values["choices"]
    low, high, step = values["low"], values["high"], values.get("step")
    if step is None or values.get("log"):
        raise UserError(f"space.{key}: a grid needs choices, or low and high with a step; got {values}")
    return [low + number * step for number in range(math.floor((high - low) / step + 1e-9) + 1)]


def grid(space):
    """[{key: value}] of all combinations."""
    return [
        dict(zip(space, chosen, strict=True))
        for chosen in itertools.product(*(points(key, values) for key, values in space.items()))
    ]


def check_space(found, overrides):
    """The composed experiment; UserError where it lacks a key of the space, or its settings refuse an end of a range.

    One parameter at a time: what two refuse together shows when a trial starts.
    """
    config = composed_and_checked(overrides)
    known = dict(flat(config))
    for key, values in found["space"].items():
        if key not in known:
            raise UserError(f"space: no setting '{key}'{nearest(key, known)}")
        for value in values.get("choices", [values.get("low"), values.get("high")]):
            try:
                composed_and_checked([*overrides, override(key, value)])
            except UserError as error:
                raise UserError(f"space.{key} = {value}: {error}") from None
    return config


def composed_and_checked(overrides):
    config = compose_config(overrides)
    build(config["data"], "data")
    build_settings(config["model"])
    return config


def override(key, value):
    """key=value as Hydra reads it back."""
    if value is None or isinstance(value, bool):
        return f"{key}={'null' if value is None else str(value).lower()}"
    if not isinstance(value, str):
        return f"{key}={value!r}"
    if PLAIN.fullmatch(value):
        return f"{key}={value}"
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", "\\'"), value)
    return f"{key}='{escaped}'"


def distributions_of(definition):
    """{config key: distribution} that workers sample; none for a grid, whose trials have their values from the start,
    and for an ablation."""
    if definition["kind"] != "sweep":
        return {}
    if definition["method"] == "grid":
        return {key: CategoricalDistribution(points(key, v)) for key, v in definition["space"].items()}
    return {key: distribution(key, values) for key, values in definition["space"].items()}


def sampler_of(definition, number):
    """Draws for the trial of this number: the same with any worker on any machine."""
    seed = int(SeedSequence((definition.get("seed", 0), number)).generate_state(1)[0])
    if definition.get("method") == "tpe":
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    return optuna.samplers.RandomSampler(seed=seed)


def pruner_of(definition):
    """Compares trials at their validations."""
    pruning = definition.get("pruning", PRUNING)
    if pruning["method"] == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=pruning["startup_trials"],
            n_warmup_steps=pruning["warmup"],
            interval_steps=definition["validate_every"],
        )
    if pruning["method"] == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=definition["validate_every"], max_resource=definition["iterations"]
        )
    return optuna.pruners.NopPruner()
