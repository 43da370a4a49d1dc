"""Which runs lie on disk, and what their run.json and config.yaml say.

What was read is kept in a small database in $CHROMAFILL_CACHE (or ~/.cache/chromafill) and read again where a file's
time or size changed. Nothing here imports torch: listing takes as long as looking at the folders.
"""

import json
import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from experiments.errors import UserError
from experiments.processes import lives

QUIET = 3600  # seconds without a sign of life after which a run on another machine is taken for dead
SETTLED = 2  # seconds: file systems count time in steps, so a file that changed just now may change again unseen
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LEAVING = ".deleted-"  # begins the name of a folder that is being deleted, or could not be to its end
TABLE = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, stamp TEXT, content TEXT)"


@dataclass(kw_only=True)
class Run:
    """One run folder. record: run.json, {} where there is none or it is damaged (`damage` says how)."""

    folder: Path
    record: dict
    damage: str | None = None
    config: dict = field(default_factory=dict)  # {dotted key: value}, where it was asked for
    quiet: float = QUIET

    @property
    def status(self):
        """finished, pruned, failed, interrupted or running as run.json says; stale: it says running but nothing runs
        there; empty: no run.json; damaged."""
        if self.damage is not None:
            return "damaged"
        status = self.record.get("status", "empty")
        if status != "running":
            return status
        alive = lives(self.record["process"]) if "process" in self.record else None
        if alive is None:
            alive = time.time() - self.last_sign() < self.quiet
        return "running" if alive else "stale"

    def last_sign(self):
        """When the run last wrote something, in seconds since 1970."""
        places = [self.folder / name for name in ("run.json", "metrics.csv", "checkpoints", "samples")]
        return max((place.stat().st_mtime for place in places if place.exists()), default=0.0)


def default_folders():
    """./runs and the runs of every study below ./studies."""
    return [folder for folder in (Path("runs"), *sorted(Path().glob("studies/*/runs"))) if folder.is_dir()]


def is_run(folder):
    """Whether a folder was made by a training. Links are not followed."""
    if os.path.isfile(os.path.join(folder, "run.json")):
        return True
    return all(os.path.isdir(os.path.join(folder, part)) for part in ("checkpoints", "samples"))


def find(folders):
    """Paths of run folders, as text, in and below these folders, without those inside another run and without links."""
    for folder in folders:
        if not os.path.isdir(folder):
            raise UserError(f"no folder {folder} to look for runs in")
        yield from below(os.fspath(folder))


def below(folder):
    try:
        with os.scandir(folder) as scan:
            entries = {entry.name: entry.is_dir(follow_symlinks=False) for entry in scan}
    except PermissionError:
        return
    subfolders = sorted(name for name, is_folder in entries.items() if is_folder)
    if entries.get("run.json") is False or {"checkpoints", "samples"} <= set(subfolders):
        yield folder
        return
    for name in subfolders:
        if name.startswith(LEAVING):
            continue
        yield from below(os.path.join(folder, name))


def read_runs(folders, *, configs=False, quiet=QUIET):
    """[Run] below these folders. configs: whether config.yaml is read as well, which takes a millisecond each."""
    found = list(find(folders))
    with closing(Cache()) as cache:
        runs = []
        for folder in found:
            record, damage = cache.read(f"{folder}/run.json", read_record)
            config = cache.read(f"{folder}/config.yaml", read_config)[0] if configs else {}
            runs.append(Run(folder=Path(folder), record=record, damage=damage, config=config, quiet=quiet))
    return runs


def read_record(path):
    """run.json; ValueError where it is none."""
    record = json.loads(Path(path).read_bytes())
    if not isinstance(record, dict) or not isinstance(record.get("status"), str):
        raise ValueError("no object with a status")
    for key in ("process", "scores", "versions"):
        if not isinstance(record.get(key, {}), dict):
            raise ValueError(f"{key} is no object")
    if not {"host", "pid", "began"} <= record.get("process", {"host": 0, "pid": 0, "began": 0}).keys():
        raise ValueError("process needs host, pid and began")
    return record


def read_config(path):
    """config.yaml as {dotted key: value}; ValueError where it is none."""
    try:
        config = yaml.load(Path(path).read_bytes(), LOADER)
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if not isinstance(config, dict):
        raise ValueError("no mapping of settings")
    return dict(flat(config))


def flat(config, prefix=""):
    """(dotted key, value) of a nested configuration; a part that names a class is also a key: its module's name."""
    for key, value in config.items():
        if isinstance(value, dict):
            if isinstance(value.get("_target_"), str):
                yield f"{prefix}{key}", value["_target_"].split(".")[-2:][0]
            yield from flat(value, f"{prefix}{key}.")
        elif key != "_target_":
            yield f"{prefix}{key}", value


class Cache:
    """What files said when they were last read. Every failure of the database means reading the files instead."""

    def __init__(self):
        folder = Path(os.environ.get("CHROMAFILL_CACHE") or "~/.cache/chromafill").expanduser()
        self.here, self.database, self.known, self.new = os.getcwd(), None, {}, []
        with suppress(sqlite3.Error, OSError):
            folder.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(folder / "runs.sqlite", timeout=5)
            self.database.execute(TABLE)
            rows = self.database.execute("SELECT path, stamp, content FROM files")
            self.known = {path: (stamp, content) for path, stamp, content in rows}

    def read(self, path, reader):
        """(content, None) of a file, ({}, None) where there is none, or ({}, what is wrong with it)."""
        try:
            status = os.stat(path)
        except OSError:
            return {}, None
        name, stamp = os.path.join(self.here, path), f"{status.st_mtime_ns} {status.st_size}"
        known = self.known.get(name)
        if known is not None and known[0] == stamp:
            return json.loads(known[1])
        try:
            answer = reader(path), None
        except (ValueError, OSError, RecursionError) as error:
            answer = {}, f"{os.path.basename(path)}: {error}"
        if time.time() - status.st_mtime > SETTLED:
            self.new.append((name, stamp, json.dumps(answer, default=str)))
        return answer

    def close(self):
        if self.database is None:
            return
        with suppress(sqlite3.Error):
            if self.new:
                with self.database:
                    self.database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", self.new)
            self.database.close()
