"""From overrides on the command line to a plain configuration, and from that to objects."""

import re
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import yaml
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from experiments.config_store import store, targets
from experiments.errors import UserError, nearest

EXPERIMENT_FILE = re.compile(r"experiment=.*\.ya?ml['\"]?$")


def compose_config(overrides, name="train"):
    """The composed configuration as a plain dict; `experiment` holds the name of the experiment file.

    overrides: `key=value` strings, as Hydra reads them. Raises UserError with one line for a misspelt key, group or
    value.
    """
    config, _ = compose_with_choices(overrides, name)
    return config


def compose_with_choices(overrides, name):
    """What `compose_config` gives, and {group: option} of the options chosen."""
    try:
        return composed(overrides, name)
    except MissingConfigException as error:
        raise UserError(in_one_line(missing_option(error))) from None
    except UserError:
        raise
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # Hydra raises plain ValueErrors too
        raise UserError(in_one_line(explanation(error, overrides, name))) from None


def composed(overrides, name):
    store()
    GlobalHydra.instance().clear()
    with files_stored(overrides) as overrides, initialize_config_module("configs", version_base="1.3"):
        config = compose(config_name=name, overrides=overrides, return_hydra_config=True)
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    own = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    plain = OmegaConf.to_container(own, resolve=True, throw_on_missing=False)
    for key, value in flat(plain):
        if value == "???":
            raise UserError(f"{key} has no value; give {key}=... or an experiment=... that sets it")
    return {"experiment": choices.get("experiment") or "custom"} | plain, choices


@contextmanager
def files_stored(overrides):
    """The overrides with experiment=FOLDER/NAME.yaml as experiment=NAME, under which Hydra finds the file inside."""
    try:
        yield [stored_file(override) if EXPERIMENT_FILE.match(override) else override for override in overrides]
    finally:
        ConfigStore.instance().repo.pop("experiment", None)


def stored_file(override):
    """The override with the name alone."""
    path = Path(override.partition("=")[2].strip("'\""))
    if path.stem in (entry.stem for entry in (files("configs") / "experiment").iterdir()):
        raise UserError(f"{path}: there is an experiment '{path.stem}' already; give the file another name")
    try:
        content = OmegaConf.load(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path} is no YAML: {first_line(error)}") from None
    if not isinstance(content, DictConfig):
        raise UserError(
            f"{path} holds no settings: an experiment file is a mapping, such as configs/experiment/quickstart.yaml"
        )
    ConfigStore.instance().store(group="experiment", name=path.stem, node=content, package="_global_")
    return f"experiment={path.stem}"


def options_of(group):
    """Names of the options of a group, from files and from dataclasses."""
    store()
    GlobalHydra.instance().clear()
    with initialize_config_module("configs", version_base="1.3"):
        return GlobalHydra.instance().config_loader().get_group_options(group)


def experiments_of(model):
    """Names of the experiments that train a paper, given by its model name."""
    composed_models = {name: compose_config([f"experiment={name}"])["model"] for name in options_of("experiment")}
    return [name for name, config in composed_models.items() if config["_target_"].split(".")[-2] == model]


def missing_option(error):
    """A group option, such as an experiment, that does not exist."""
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not error.options:
        return first_line(error)
    return f"{group} '{option}' not found{nearest(option, error.options)}"


def explanation(error, overrides, name):
    """One line for an override that cannot be applied."""
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}': {first_line(error)}"
    key = refused_key(error)
    if key is None:
        return setting_of_a_file(error) or first_line(error)
    base, parts = without_refused(overrides, name), key.split(".")
    for depth, part in enumerate(parts):
        if not isinstance(base, dict):
            return f"'{'.'.join(parts[:depth])}' has no keys of its own, so '{key}' cannot be set"
        if part not in base:
            return f"no setting '{key}'{nearest(part, [k for k in base if not k.startswith('_')])}"
        base = base[part]
    return first_line(error)


def setting_of_a_file(error):
    """One line for a file with a setting that has no place in what was chosen beside it; None for other errors."""
    file, cause = re.match("In '([^']+)'", str(error)), error.__context__
    if file is None or not isinstance(cause, ConfigKeyError):
        return None
    return (
        f"{file[1]} sets {cause.full_key}, which {cause.object_type.__name__} has not; for another choice give a "
        "mended copy of that file as experiment=FILE.yaml"
    )


def refused_key(error):
    """The key of the override that Hydra could not apply, or None where that is not what is wrong."""
    match = re.search(r"Could not override '([^']+)'", str(error))
    return match and match.group(1).lstrip("+~").split("@")[0]


def without_refused(overrides, name):
    """The configuration without the overrides that are refused; {} where what is left does not compose either."""
    while True:
        try:
            return composed(overrides, name)[0]
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            key = refused_key(error)
            kept = [each for each in overrides if not re.match(rf"[+~]*{re.escape(key or '')}[@=]", each)]
            if key is None or len(kept) == len(overrides):
                return {}
            overrides = kept


def in_one_line(text):
    """A message that quotes what was typed, whose line breaks become spaces."""
    return " ".join(text.split())


def first_line(error):
    """The first line of a message, without Hydra's and OmegaConf's context below it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and cause is not None:
        lines += [line.strip() for line in str(cause).splitlines()[:1]]
    return ": ".join(lines[:2]) if len(lines) > 1 and lines[0].startswith("Error merging") else lines[0]


def flat(config, prefix=""):
    """(dotted key, value) pairs of a nested configuration."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_given(overrides):
    """{key: value} of what the user typed."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise UserError(in_one_line(first_line(error))) from None
    return {override.key_or_group: override.value() for override in parsed}


def build(config, where):
    """The object that a part of a configuration describes: its `_target_`, called with the other keys.

    Only the papers, data sets and mask generators of this project can be named. Raises UserError where a value is
    refused; `where` is the key of that part.
    """
    if isinstance(config, list):
        return [build(part, f"{where}[{number}]") for number, part in enumerate(config)]
    if not isinstance(config, dict):
        return config
    values = {key: build(value, f"{where}.{key}") for key, value in config.items() if key != "_target_"}
    if "_target_" not in config:
        return values
    known, target = targets(), str(config["_target_"])
    if target not in known:
        raise UserError(f"{where}._target_ '{target}' is none of the project's{nearest(target, known)}")
    require_types(known[target], config, where)
    try:
        return known[target](**values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # the last two: of sizes beyond all memory
        raise UserError(f"{where}: {in_one_line(str(error))}") from error


def require_types(cls, config, where):
    """UserError for keys that a class does not have and values of another type than its settings: what a checkpoint
    says of itself was not composed."""
    given = {key: value for key, value in config.items() if key != "_target_"}
    try:
        OmegaConf.merge(OmegaConf.structured(getattr(cls, "Config", cls)), given)
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{where}: {in_one_line(first_line(error))}") from None
