"""`chromafill turing` from the making of a study over people at its pages to the rates."""

import json
import re

import numpy as np
import pytest
from browser import opened
from PIL import Image
from turing_studies import GREY, HOLES, SCENES, SMALL, Player, run, session

from experiments import cli
from experiments.evaluation.setup import prepare
from experiments.verbs.turing import parser


@pytest.fixture(autouse=True)
def a_verb(monkeypatch):
    monkeypatch.setitem(cli.VERBS, "turing", ("experiments.verbs.turing", ""))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Of two algorithms."""
    folder = tmp_path_factory.mktemp("made") / "study"
    run("make", "checkpoint=[baseline/grey,baseline/random_colour]", *SCENES, *SMALL, "-o", folder)
    return folder


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def written(folder, *sessions):
    folder.mkdir(exist_ok=True)
    for answers in sessions:
        (folder / f"answers-{answers['participant']}-{answers['page']}.json").write_text(json.dumps(answers))
    return folder


def scored(study, answers, *words):
    """turing.json of these answers."""
    output = answers.parent / "scored"
    assert run("score", study, answers, "-o", output, *words) == 0
    return json.loads((output / "turing.json").read_text())


def fooled_in(count, also_catch=False):
    """A judgement that takes the fake for the photograph in the first `count` trials that are scored."""
    left = [count]

    def fooled(pair):
        if pair["role"] == "catch":
            return also_catch
        left[0] -= pair["role"] == "scored"
        return pair["role"] == "scored" and left[0] >= 0

    return fooled


def played(study, answers, people):
    """Sessions of {name: (judgement, how the person answers, width of the window)} at page 1 in one browser, one after
    the other, each saved by the page's own download."""
    answers.mkdir()
    with opened(study / "page-1.html") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        for name, (fooled, by, width) in people.items():
            page.set_viewport_size({"width": width, "height": 844})
            Player(page, manifest_of(study), fooled, by).play(name)
            with page.expect_download() as download:
                page.click("#download")
            download.value.save_as(answers / download.value.suggested_filename)
            with page.expect_navigation():
                page.click("#end .forget")
    return answers


def test_the_rate_is_exactly_what_people_at_the_page_did(tmp_path, capsys):
    run("make", *GREY, *SMALL, "-o", tmp_path / "study")
    people = {
        "anna": (fooled_in(2), "keyboard", 1280),
        "bert": (fooled_in(5), "mouse", 390),
        "careless": (fooled_in(9, also_catch=True), "keyboard", 1280),
    }
    answers = played(tmp_path / "study", tmp_path / "answers", people)
    result = scored(tmp_path / "study", answers, "--drift", "5", "--fast", "0")
    (row,) = result["rows"]
    assert (row["participants"], row["trials"]) == (2, 18)
    assert row["fooled"]["value"] == pytest.approx(100 * 7 / 18)
    # Draws of two from {2, 5} of 9: 4, 7, 7 or 10 of 18; variance of the rate (3 / 18)^2 / 2.
    assert row["fooled"]["se"] == pytest.approx(100 * 3 / 18 / 2**0.5, rel=0.05)
    assert row["spotted"] == pytest.approx(100 * 2 / 3)
    assert [each["participant"] for each in result["excluded"]] == ["careless"]
    assert result["excluded"][0]["why"] == "0 of 1 catch trials right, 75% expected"
    judged = [(image["fooled"], image["judged"]) for image in row["images"]]
    assert [sum(counts) for counts in zip(*judged, strict=True)] == [7, 18]
    printed = " ".join(capsys.readouterr().out.split())
    assert "50 % is the best possible" in printed and "38.9" in printed
    assert re.search(r"left out: careless \(\S*answers-careless.json\): 0 of 1 catch", printed)


def test_completed_pictures_are_rated_alike(tmp_path):
    run("make", *HOLES, *SMALL, "-o", tmp_path / "study")
    answers = played(tmp_path / "study", tmp_path / "answers", {"anna": (fooled_in(4), "mouse", 390)})
    (row,) = scored(tmp_path / "study", answers, "--drift", "5", "--fast", "0")["rows"]
    assert (row["name"], row["fooled"]["value"]) == ("baseline/mean_fill", pytest.approx(100 * 4 / 9))


def test_a_page_is_made_for_each_algorithm_that_was_asked_for_and_for_no_other(study):
    pages = manifest_of(study)["pages"]
    assert [(page["file"], page["name"]) for page in pages] == [
        ("page-1.html", "baseline/grey"),
        ("page-2.html", "baseline/random_colour"),
    ]
    assert {path.name for path in study.iterdir()} == {"manifest.json", "page-1.html", "page-2.html", "pictures"}
    assert len(prepare(["checkpoint=baseline/grey", *SCENES]).candidates) > 1  # those of the protocol are not asked for


def test_algorithms_are_rated_apart_and_compared(study, tmp_path, capsys):
    manifest = manifest_of(study)
    people = [session(manifest, f"a{n}", fooled=n % 2, page=1) for n in range(6)]
    people += [session(manifest, f"b{n}", fooled=6 + n % 2, page=2) for n in range(6)]
    result = scored(study, written(tmp_path / "answers", *people))
    assert [row["fooled"]["value"] for row in result["rows"]] == pytest.approx([100 * 0.5 / 9, 100 * 6.5 / 9])
    (difference,) = result["comparisons"]
    assert difference["difference"] == pytest.approx(-100 * 6 / 9) and difference["p"] < 0.001
    assert "minus" in capsys.readouterr().out


def test_what_was_scored_is_kept_with_its_protocol_and_its_rule(study, tmp_path):
    manifest = manifest_of(study)
    result = scored(study, written(tmp_path / "answers", session(manifest, "anna", fooled=3)), "--catch", "0.5")
    assert result["study"] == manifest["study"] and result["protocol"] == manifest["protocol"]
    assert result["rule"] == {"catch": 0.5, "fast": 0.1, "fast_share": 0.2, "drift": 0.1}
    assert result["best"] == 50 and result["rows"][0]["fooled"]["se"] is None
    assert [each["fooled"] for each in result["rows"][0]["fooled_most"]] == [1, 1, 1, 0, 0]
    assert [each["fooled"] for each in result["rows"][0]["fooled_least"]] == [0, 0, 0, 0]  # nine were judged


def test_copies_and_second_sessions_count_once(study, tmp_path):
    manifest = manifest_of(study)
    once = session(manifest, "anna", fooled=3)
    second = session(manifest, "anna", fooled=9, page=2) | {"started": "2026-01-02T00:00:00.000Z"}
    answers = written(tmp_path / "answers", once, second)
    (answers / "copy.json").write_text(json.dumps(once))
    result = scored(study, answers)
    assert [row["participants"] for row in result["rows"]] == [1, 0]
    assert {each["why"] for each in result["excluded"]} == {
        "the same session again",
        "a second session of the same participant",
    }


def test_scores_land_beside_the_manifest_unless_told_otherwise(tmp_path):
    run("make", *GREY, *SMALL, "-o", tmp_path / "study")
    answers = written(tmp_path / "answers", session(manifest_of(tmp_path / "study"), "anna"))
    assert run("score", tmp_path / "study/manifest.json", answers) == 0
    assert (tmp_path / "study/turing.json").is_file() and (tmp_path / "study/turing.html").is_file()


# Mistakes: one line, exit code 2, nothing written


def refused(capsys, *words):
    assert cli.main(["turing", *(str(word) for word in words)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("chromafill turing: ")
    return error


def test_answers_of_another_study_are_one_line(study, tmp_path, capsys):
    manifest = manifest_of(study)
    answers = written(tmp_path / "answers", session(manifest, "anna") | {"study": "0" * 16})
    assert f"is of study {'0' * 16}, not of {manifest['study']}" in refused(
        capsys, "score", study, answers, "-o", tmp_path / "out"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score", "nowhere", "a.json"], "nowhere cannot be read: No such file or directory"),
        (["score", "{study}"], "no answers: give the files"),
        (["score", "{study}", "*.json"], "*.json cannot be read: No such file or directory"),
        (["score", "{study}", "a.json", "--catch", "3"], "--catch is a share from 0 to 1, got 3"),
        (["score", "{study}", "a.json", "--list", "0"], "--list must be at least 1, got 0"),
        (["make", *GREY, "--trials", "1"], "--trials must be at least 2"),
        (["make", *GREY], "a session needs 50 photographs"),
        (["make", *GREY, "--images", "40", "--trials", "20"], "--images 40: the split has 30"),
        (["make", *GREY, "-o", "{study}"], "exists and is not an empty folder; give another"),
        (["make", "data=synthetic"], "give checkpoint="),
        (["make"], "the following arguments are required: WORD"),
        (["look"], "invalid choice: 'look'"),
    ],
)
def test_mistakes_are_one_line(study, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *(word.format(study=study) for word in words))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken_and_a_file_is_not(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run("make", *GREY, *SMALL, "-o", tmp_path / "empty") == 0
    (tmp_path / "file").write_text("")
    capsys.readouterr()
    assert "exists and is not an empty folder" in refused(capsys, "make", *GREY, *SMALL, "-o", tmp_path / "file")


def test_options_may_stand_anywhere(tmp_path):
    parsed = parser().parse_args(["make", "-o", str(tmp_path), "seed=1", "--trials", "20"])
    assert (parsed.words, parsed.trials) == (["seed=1"], 20)


# Names from outside

HOSTILE = "<img src=x onerror=document.title='taken'>[bold].png"


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_are_shown_and_do_nothing(tmp_path, capsys, width):
    for split in ("train", "val", "test"):
        (tmp_path / "images" / split).mkdir(parents=True)
        for number in range(13):
            pixels = np.random.default_rng(number).integers(0, 255, (32, 32, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / split / f"{number}{HOSTILE}")
    words = [f"data.root={tmp_path / 'images'}", "data=folder", "data.crop=32", "data.workers=0"]
    run("make", "checkpoint=baseline/grey", *words, *SMALL, "--images", "13", "-o", tmp_path / "study")
    answers = written(tmp_path / "answers", session(manifest_of(tmp_path / "study"), "anna", fooled=4))
    careless = session(manifest_of(tmp_path / "study"), "bert", caught=False)
    (answers / f"0{HOSTILE}.json").write_text(json.dumps(careless))
    scored(tmp_path / "study", answers)
    assert HOSTILE in capsys.readouterr().out
    with opened(tmp_path / "scored/turing.html", width=width) as page:
        assert page.title().startswith("Turing test")
        text = page.inner_text("main")
        assert text.count(HOSTILE) == 9 + 1  # all that were judged, and the file that was left out
        assert page.evaluate("[...document.images].every(each => each.complete && each.naturalWidth === 32)")
        assert page.evaluate("document.documentElement.scrollWidth") == width
    with opened(tmp_path / "study/page-1.html", width=width) as page:
        assert page.title() == "Which picture is the fake?"
