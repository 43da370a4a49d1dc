import base64
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from turing_studies import GREY, SMALL, run, session

from datamodules.errors import UnreadableImage
from experiments.errors import UserError
from experiments.turing.answers import read_manifest, read_sessions
from experiments.turing.fooling import Rule, judge
from experiments.turing.report import pair_of, pictures_listed, print_tables, turing_json, write_results


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "study"
    run("make", *GREY, *SMALL, "-o", folder)
    return folder


@pytest.fixture
def judged(study, tmp_path):
    """(manifest, result) of three who were fooled in 1, 2 and 4 of nine trials, and of one who cared for nothing."""
    _, manifest = read_manifest(study)
    for name, fooled in {"a": 1, "b": 2, "c": 4, "d": 9}.items():
        answers = session(manifest, name, fooled=fooled, caught=name != "d")
        (tmp_path / f"{name}.json").write_text(json.dumps(answers))
    return manifest, judge(manifest, read_sessions(manifest, [tmp_path]), Rule())


def test_the_pictures_that_fooled_most_and_least_come_with_their_counts(judged):
    manifest, result = judged
    most, least = pictures_listed(manifest, result.rows[0], 3)
    assert [(each["fooled"], each["judged"]) for each in most] == [(3, 3), (2, 3), (1, 3)]
    assert [(each["fooled"], each["judged"]) for each in least] == [(0, 3)] * 3
    scored = [pair["image"] for pair in manifest["pages"][0]["pairs"] if pair["role"] == "scored"]
    assert [each["image"] for each in most] == scored[:3]
    assert most[0]["name"] == manifest["images"][scored[0]]["name"]


@pytest.mark.parametrize("fooled", [0, 4, 9])
def test_no_picture_is_among_the_most_and_the_least(study, tmp_path, fooled):
    _, manifest = read_manifest(study)
    (tmp_path / "a.json").write_text(json.dumps(session(manifest, "a", fooled=fooled)))
    result = judge(manifest, read_sessions(manifest, [tmp_path]), Rule())
    most, least = pictures_listed(manifest, result.rows[0], 50)
    assert (len(most), len(least)) == (5, 4)  # of nine
    assert not {each["image"] for each in most} & {each["image"] for each in least}


def test_what_is_printed_names_the_best_value_the_rate_and_who_was_left_out(judged, capsys):
    manifest, result = judged
    print_tables(manifest, result, 2)
    printed = capsys.readouterr().out
    assert "50 % is the best possible: they cannot be told apart" in " ".join(printed.split())
    line = next(line for line in printed.splitlines() if "baseline/grey" in line and "│" in line)
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    assert cells[:2] + cells[4:] == ["baseline/grey", "25.9", "3", "27", "75.0"]  # 7 of 27; 3 of 4 catch trials
    assert "left out: d (" in printed and "0 of 1 catch trials right" in printed


def test_turing_json_holds_every_picture_that_was_judged(judged):
    manifest, result = judged
    record = json.loads(turing_json(manifest, result, 2))
    (row,) = record["rows"]
    assert row["fooled"]["value"] == pytest.approx(100 * 7 / 27) and row["spotted"] == 75
    assert [image["fooled"] for image in row["images"]] == [3, 2, 1, 1, 0, 0, 0, 0, 0]
    assert len(row["fooled_most"]) == len(row["fooled_least"]) == 2
    assert record["catch_fakes"] == "baseline/random_colour" and record["command"][0] == "chromafill"


def test_the_page_of_results_shows_the_photograph_first(study, judged):
    page = judged[0]["pages"][0]
    uris = pair_of(study / "pictures", page, page["pairs"][5]["image"])
    real, fake = (np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in uris)
    assert np.ptp(fake.astype(int), axis=2).max() <= 2 < np.ptp(real.astype(int), axis=2).max()  # the fake is grey


def test_without_the_pictures_the_scores_are_written_all_the_same(judged, tmp_path):
    written = write_results(tmp_path / "out", tmp_path / "no pictures", *judged, 2)
    assert list(written) == ["scores"] and [path.name for path in (tmp_path / "out").iterdir()] == ["turing.json"]


def test_a_folder_that_cannot_be_made_is_one_line(judged, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/out cannot be written: Not a directory$"):
        write_results(tmp_path / "file" / "out", tmp_path / "pictures", *judged, 2)


def test_a_picture_that_is_damaged_is_named_and_nothing_is_written(study, judged, tmp_path):
    shutil.copytree(study / "pictures", tmp_path / "pictures")
    for picture in (tmp_path / "pictures").iterdir():
        picture.write_bytes(b"none")
    with pytest.raises(UnreadableImage, match=f"^{tmp_path}/pictures/1-.*png: .*image"):
        write_results(tmp_path / "out", tmp_path / "pictures", *judged, 2)
    assert not (tmp_path / "out").exists()


def test_page_and_scores_are_written_as_one_whole(study, judged, tmp_path):
    out = tmp_path / "out"
    write_results(out, study / "pictures", *judged, 2)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "turing.json.tmp").mkdir()  # the second of the two cannot be written
    with pytest.raises(UserError, match="out cannot be written: Is a directory$"):
        write_results(out, study / "pictures", *judged, 1)
    assert sorted(before) == ["turing.html", "turing.json"]
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
