"""Ablations as files: rows of overrides on one experiment, with the paper's own numbers beside them.

A row is trained with its overrides, or it is another row's checkpoints decoded with other settings (`of`, `decoder`),
or it cannot run and says why (`cannot`).
"""

from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

import configs
from experiments.arguments import plain_name
from experiments.compose import compose_config, options_of
from experiments.errors import UserError, nearest
from experiments.evaluation.metrics import METRICS
from experiments.studies.space import composed_and_checked, override
from experiments.studies.study import TrialSpec

FOLDER = Path(configs.__file__).parent / "ablation"
PROTOCOLS = FOLDER.parent / "protocol"
WORDS = {
    **{str: "text", str | None: "text", bool: "true or false", dict: "keys with values"},
    list[str]: "a list of key=value",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    group: str  # the factor that it varies
    overrides: list[str] = field(default_factory=list)  # on the experiment
    of: str | None = None  # the row whose checkpoints it decodes, without a training of its own
    decoder: dict = field(default_factory=dict)  # model settings that act when predicting
    start_from: str | None = None  # the row whose network, of the same seed, is where its training starts
    published: dict = field(default_factory=dict)  # {metric, or what else was measured: number}
    source: str = ""  # of the published numbers
    from_memory: bool = False  # they were not read in the source
    claim: str = ""  # what the paper says without a number
    note: str = ""
    cannot: str = ""  # why it does not run


@dataclass(frozen=True, kw_only=True)
class Ablation:
    name: str  # of the paper's file, such as colorful
    experiment: str  # the paper's full recipe
    protocol: str  # by which the paper's own data are scored
    base: str  # the row that the others are compared with
    rows: dict[str, Row]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What becomes of a row with some experiment. Where neither is set, it is trained."""

    row: Row
    same_as: str | None = None  # a row before it whose configuration is the same, so that it is not trained again
    reason: str | None = None  # why it cannot run

    @property
    def trained(self):
        return self.reason is None and self.same_as is None and self.row.of is None


def read_ablation(name):
    """From configs/ablation/<name>.yaml, or from a file of the user's own, given by a path that ends in .yaml."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        if path.parent != FOLDER:
            raise UserError(f"no ablation file {path}") from None
        known = [each.stem for each in FOLDER.glob("*.yaml")]
        raise UserError(f"no ablation '{name}'{nearest(name, known)}") from None
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return checked(path, content)


def checked(path, content):
    """The Ablation that a file holds. UserError naming the file, the row and what is wrong."""
    required = {"experiment", "protocol", "base", "rows"}
    if not isinstance(content, dict) or set(content) != required or not isinstance(content["rows"], dict):
        raise UserError(f"{path} must have the keys {', '.join(sorted(required))}, with rows by name")
    rows = {row.name: row for row in (checked_row(path, *each) for each in content["rows"].items())}
    base = content["base"]
    if base != next(iter(rows), None) or rows[base].of or rows[base].cannot:
        raise UserError(f"{path}: base must name the first row, and that must be trained; got '{base}'")
    for row in rows.values():
        for key in ("of", "start_from"):
            other = getattr(row, key)
            if other is not None and (other not in rows or rows[other].of or rows[other].start_from):
                raise UserError(f"{path}: row '{row.name}': {key} must name a row that is trained, got '{other}'")
    require_protocol(path, content["protocol"], content["experiment"])
    return Ablation(
        name=path.stem, experiment=content["experiment"], protocol=content["protocol"], base=base, rows=rows
    )


def require_protocol(path, protocol, experiment):
    """UserError for a protocol that is not there or scores another task than the experiment trains for."""
    if protocol not in options_of("protocol"):
        raise UserError(f"{path}: protocol '{protocol}' not found{nearest(str(protocol), options_of('protocol'))}")
    scored = yaml.safe_load((PROTOCOLS / f"{protocol}.yaml").read_text())["protocol"]["task"]
    task = task_of_config(compose_config([f"experiment={experiment}"]))
    if scored != task:
        raise UserError(f"{path}: protocol '{protocol}' is for {scored}, and {experiment} trains for {task}")


def checked_row(path, name, values):
    if not isinstance(values, dict):
        raise UserError(f"{path}: row '{name}' must have keys such as group and overrides, got {values}")
    known = {each.name: each.type for each in fields(Row) if each.name != "name"}
    for key, value in values.items():
        if key not in known:
            raise UserError(f"{path}: row '{name}' has no key '{key}'{nearest(str(key), known)}")
        if not fits(value, known[key]):
            raise UserError(f"{path}: row '{name}': {key} must be {WORDS[known[key]]}, got {value!r}")
    if "group" not in values:
        raise UserError(f"{path}: row '{name}' needs a group, the factor that it varies")
    if bool(values.get("of")) != bool(values.get("decoder")) or (values.get("of") and values.get("overrides")):
        raise UserError(f"{path}: row '{name}': of and decoder go together, and without overrides")
    return Row(name=plain_name(f"{path}: a row", name), **values)


def fits(value, kind):
    """Whether a value of a file is of the type of a field."""
    if kind == list[str]:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, kind)


def chosen(ablation, names):
    """The rows of these names (None: all) in the file's order, with the base and the rows that they build on."""
    if names is None:
        return list(ablation.rows.values())
    for name in names:
        if name not in ablation.rows:
            raise UserError(f"rows: {ablation.name} has no row '{name}'{nearest(name, ablation.rows)}")
    wanted = {ablation.base, *names}
    wanted |= {other for name in names for other in (ablation.rows[name].of, ablation.rows[name].start_from) if other}
    return [row for name, row in ablation.rows.items() if name in wanted]


def experiment_for(ablation, data=None):
    """Overrides that name the experiment: <paper>_<data> where there is such a file, else the paper's full recipe with
    data=<data>. UserError where there is no such data."""
    if data is None:
        return [f"experiment={ablation.experiment}"]
    own = f"{ablation.name}_{data}"
    if own in options_of("experiment"):
        return [f"experiment={own}"]
    overrides = [f"experiment={ablation.experiment}", f"data={data}"]
    compose_config(overrides)
    return overrides


def plan(rows, overrides):
    """[Planned] of the rows, the base first. overrides: of the whole study; a row's own come after them."""
    found, seen = [], {}
    for row in rows:
        if row.cannot:
            found.append(Planned(row=row, reason=row.cannot))
            continue
        try:
            config = composed_and_checked([*overrides, *decoded_with(row, rows)])
        except UserError as error:
            found.append(Planned(row=row, reason=str(error)))
            continue
        if row.of:
            found.append(Planned(row=row))
            continue
        config["start_from"] = row.start_from
        same_as = next((name for name, other in seen.items() if other == config), None)
        if same_as is None:
            seen[row.name] = config
        found.append(Planned(row=row, same_as=same_as))
    return found


def decoded_with(row, rows):
    """The overrides of the row that a row decodes, and the settings that it decodes with: what composes is spelt
    right."""
    source = next((each for each in rows if each.name == row.of), row)
    return [*source.overrides, *(override(f"model.{key}", value) for key, value in row.decoder.items())]


def trial_name(row, seed):
    return f"{row}-seed{seed}"


def spec_of(row, seed, folder):
    """The trial that trains a row with a seed, in the study's folder."""
    overrides = [*row.overrides, f"seed={seed}"]
    if row.start_from:
        overrides.append(f"model.init_from={last_checkpoint(folder, row.start_from, seed)}")
    return TrialSpec(name=trial_name(row.name, seed), overrides=overrides, attrs={"row": row.name, "seed": seed})


def last_checkpoint(folder, row, seed):
    """Where a trial leaves its weights: those of its last iteration, the same number for every row."""
    return Path(folder) / "runs" / trial_name(row, seed) / "checkpoints" / "last.ckpt"


def task_of_config(config):
    """colorization | inpainting, by the paper of a composed configuration."""
    task = config["model"]["_target_"].split(".")[1]
    if task not in METRICS:
        raise UserError(f"an ablation scores pictures; {config['experiment']} trains for {task}")
    return task
