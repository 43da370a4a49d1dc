"""What participants answered: files of one session each, checked against the manifest of the study."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from datamodules.base import printable
from experiments.errors import UserError
from experiments.turing.design import PRACTICE
from experiments.turing.study import FORMAT, study_id

SIDES = ("left", "right")
LONGEST = 1e9  # seconds that a picture is shown or an answer takes
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")  # of a participant, as the page takes it


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One answer without feedback that is not void."""

    role: str  # scored or catch
    image: int  # place in the study's list of photographs
    fooled: bool  # whether the fake was taken for the photograph
    exposure: tuple[float, float]  # seconds, left and right
    response: float  # seconds from the question to the answer


@dataclass(frozen=True, kw_only=True)
class Session:
    file: str
    participant: str
    session: str  # made up by the page, different each time
    page: int
    started: str  # ISO 8601, in UTC
    trials: list[Trial]


def read_json(path):
    """The object of a JSON file. UserError where there is none."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged or no JSON: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object")
    return found


def read_manifest(place):
    """(path, manifest) from a study's folder or the path of its manifest."""
    path = Path(place)
    path = path / "manifest.json" if path.is_dir() else path
    manifest = read_json(path)
    if "study" not in manifest or manifest.get("format") != FORMAT:
        raise UserError(f"{path} is no manifest that `chromafill turing make` wrote, of format {FORMAT}")
    if study_id({key: value for key, value in manifest.items() if key != "study"}) != manifest["study"]:
        raise UserError(f"{path} was changed after it was made: its contents do not give study {manifest['study']}")
    return path, manifest


def read_sessions(manifest, places):
    """[Session] of files of answers and of the .json files in folders."""
    files = []
    for place in map(Path, places):
        files += sorted(place.glob("*.json")) if place.is_dir() else [place]
    if not files:
        raise UserError("no answers: give the files that the pages wrote, or the folder that they are in")
    return [read_session(manifest, path) for path in files]


def read_session(manifest, path):
    answers = read_json(path)
    if answers.get("study") != manifest["study"]:
        raise UserError(f"{path} is of study {answers.get('study')}, not of {manifest['study']}")
    participant = value(path, answers, "participant", str)
    if not NAME.fullmatch(participant):
        raise UserError(f"{path}: the participant's name must be up to 40 letters, digits, - and _")
    pages = {page["page"]: page for page in manifest["pages"]}
    page = value(path, answers, "page", int)
    if page not in pages:
        raise UserError(f"{path}: the study has no page {page}")
    pairs = {pair["id"]: pair for pair in pages[page]["pairs"]}
    trials, seen = [], set()
    for number, record in enumerate(value(path, answers, "trials", list), 1):
        where = f"{path}: trial {number}"
        if not isinstance(record, dict):
            raise UserError(f"{where} is no object")
        pair = pairs.get(value(where, record, "pair", str))
        if pair is None or sorted((record.get("left"), record.get("right")), key=str) != sorted(pair["pictures"]):
            raise UserError(f"{where}: page {page} has no such pair")
        if pair["role"] == PRACTICE or record.get("void") is not None:
            continue
        if pair["id"] in seen:
            raise UserError(f"{where}: pair {pair['id']} was answered before")
        seen.add(pair["id"])
        trials.append(trial(where, record, pair))
    return Session(
        file=printable(str(path)),
        participant=participant,
        session=value(path, answers, "session", str),
        page=page,
        started=value(path, answers, "started", str),
        trials=trials,
    )


def trial(where, record, pair):
    answer = record.get("answer")
    if answer not in SIDES:
        raise UserError(f"{where}: the answer must be left or right, got {answer!r}")
    exposure = value(where, record, "exposure", list)
    if len(exposure) != 2 or not all(map(is_time, exposure)):
        raise UserError(f"{where}: exposure must be two numbers of seconds")
    response = record.get("response")
    if not is_time(response):
        raise UserError(f"{where}: 'response' is missing or not as the page writes it")
    return Trial(
        role=pair["role"],
        image=pair["image"],
        fooled=record[answer] != pair["pictures"][pair["fake"]],
        exposure=tuple(exposure),
        response=response,
    )


def is_time(found):
    """Whether a value of JSON, which Python reads with NaN, infinity and integers of any length, is a time."""
    return isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found <= LONGEST


def value(where, record, key, kind):
    """record[key]. UserError where it is missing or of another type."""
    found = record.get(key)
    if not isinstance(found, kind) or isinstance(found, bool):
        raise UserError(f"{where}: '{key}' is missing or not as the page writes it")
    return found
