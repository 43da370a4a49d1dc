import json
import math
import re

import pytest
from turing_studies import GREY, SMALL, run, session

from experiments.errors import UserError
from experiments.turing.answers import read_manifest, read_session, read_sessions


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "study"
    run("make", *GREY, *SMALL, "-o", folder)
    return folder


@pytest.fixture
def manifest(study):
    return read_manifest(study)[1]


def written(path, answers):
    path.write_text(json.dumps(answers))
    return path


def test_a_session_is_read_with_the_truth_of_the_manifest(tmp_path, manifest):
    answers = session(manifest, "anna", fooled=3, caught=False)
    read = read_session(manifest, written(tmp_path / "a.json", answers))
    assert (read.participant, read.page, read.session) == ("anna", 1, answers["session"])
    assert [trial.fooled for trial in read.trials if trial.role == "scored"] == [True] * 3 + [False] * 6
    assert [trial.fooled for trial in read.trials if trial.role == "catch"] == [True]
    assert len(read.trials) == 10  # practice is not among them
    assert read.trials[0].exposure == (0.02, 0.02) and read.trials[0].response == 0.5


def test_the_side_on_which_a_picture_was_shown_does_not_change_what_was_chosen(tmp_path, manifest):
    answers = session(manifest, "anna", fooled=3)
    for trial in answers["trials"]:
        trial["left"], trial["right"] = trial["right"], trial["left"]
        trial["answer"] = {"left": "right", "right": "left"}[trial["answer"]]
    read = read_session(manifest, written(tmp_path / "a.json", answers))
    assert sum(trial.fooled for trial in read.trials) == 3


def test_a_void_trial_is_passed_over_and_its_pair_may_come_again(tmp_path, manifest):
    answers = session(manifest, "anna")
    void = answers["trials"][-1] | {"void": "hidden", "answer": None, "response": None}
    answers["trials"].insert(4, void)
    assert len(read_session(manifest, written(tmp_path / "a.json", answers)).trials) == 10


def test_answers_are_found_in_folders_and_by_name(tmp_path, manifest):
    for name in "ab":
        written(tmp_path / f"{name}.json", session(manifest, name))
    (tmp_path / "notes.txt").write_text("")
    assert [each.participant for each in read_sessions(manifest, [tmp_path])] == ["a", "b"]
    assert [each.participant for each in read_sessions(manifest, [tmp_path / "b.json"])] == ["b"]
    with pytest.raises(UserError, match="^no answers: give the files"):
        read_sessions(manifest, [])


def refused(path, manifest, message):
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}{message}") as error:
        read_session(manifest, path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " is damaged or no JSON: "),
        ('{"study": ', " is damaged or no JSON: "),
        (100_000 * "[" + 100_000 * "]", " is damaged or no JSON: "),
        ("[1, 2]", " holds no JSON object"),
        ("{}", " is of study None, not of "),
        ('{"study": "0123456789abcdef"}', " is of study 0123456789abcdef, not of "),
    ],
)
def test_damaged_files_and_those_of_another_study_are_refused(tmp_path, manifest, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    refused(path, manifest, message)


def test_bytes_that_are_no_text_and_a_missing_file_are_refused(tmp_path, manifest):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe\x00")
    refused(path, manifest, " is damaged or no JSON: ")
    refused(tmp_path / "none.json", manifest, " cannot be read: No such file or directory")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda answers: answers.update(page=7), ": the study has no page 7"),
        (lambda answers: answers.update(page="1"), ": 'page' is missing or not as the page writes it"),
        (lambda answers: answers.pop("participant"), ": 'participant' is missing"),
        (lambda answers: answers.update(participant="<b>"), ": the participant's name must be up to 40 letters"),
        (lambda answers: answers.update(participant="\ud800"), ": the participant's name must be up to 40 letters"),
        (lambda answers: answers.update(trials={}), ": 'trials' is missing"),
        (lambda answers: answers["trials"].insert(0, 5), ": trial 1 is no object"),
        (lambda answers: answers["trials"][3].update(pair="zzzzzz"), ": trial 4: page 1 has no such pair"),
        (lambda answers: answers["trials"][3].update(left="zzzzzz"), ": trial 4: page 1 has no such pair"),
        (lambda answers: answers["trials"][3].update(left=None), ": trial 4: page 1 has no such pair"),
        (lambda answers: answers["trials"][3].update(answer="up"), ": trial 4: the answer must be left or right"),
        (lambda answers: answers["trials"][3].update(answer=[1]), ": trial 4: the answer must be left or right"),
        (lambda answers: answers["trials"][3].update(exposure=[1]), ": trial 4: exposure must be two numbers"),
        (lambda answers: answers["trials"][3].update(exposure=[1, 10**400]), ": trial 4: exposure must be two numbers"),
        (
            lambda answers: answers["trials"][3].update(exposure=[math.inf, 1]),
            ": trial 4: exposure must be two numbers",
        ),
        (lambda answers: answers["trials"][3].update(exposure=[-1, True]), ": trial 4: exposure must be two numbers"),
        (lambda answers: answers["trials"][3].update(response=math.nan), ": trial 4: 'response' is missing or not"),
        (lambda answers: answers["trials"][3].update(response=10**400), ": trial 4: 'response' is missing or not"),
        (lambda answers: answers["trials"][3].update(response=None), ": trial 4: 'response' is missing"),
        (lambda answers: answers["trials"].append(answers["trials"][3]), ": trial 13: pair .* was answered before"),
    ],
)
def test_answers_that_no_page_writes_are_refused(tmp_path, manifest, change, message):
    answers = session(manifest, "anna")
    change(answers)
    refused(written(tmp_path / "a.json", answers), manifest, message)


def test_a_manifest_is_found_by_its_folder_or_its_path(study):
    assert read_manifest(study) == read_manifest(study / "manifest.json")


@pytest.mark.parametrize("text", ["{}", '{"study": "1", "format": 99}'])
def test_a_file_that_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="is no manifest that `chromafill turing make` wrote, of format 1"):
        read_manifest(tmp_path)


def test_a_manifest_that_was_changed_is_refused(tmp_path, manifest):
    pair = manifest["pages"][0]["pairs"][5]
    pair["fake"] = 1 - pair["fake"]
    written(tmp_path / "manifest.json", manifest)
    with pytest.raises(UserError, match="was changed after it was made: its contents do not give study [0-9a-f]{16}$"):
        read_manifest(tmp_path)
