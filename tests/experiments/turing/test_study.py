import hashlib
import io
import json
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from turing_studies import GREY, HOLES, SMALL, run

from experiments.errors import UserError
from experiments.evaluation.candidates import Candidate
from experiments.evaluation.setup import prepare
from experiments.turing.study import eight_bits, page_html, study_id, true_and_fake


@pytest.fixture(scope="module", params=["colorization", "inpainting"])
def study(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "study"
    assert run("make", *{"colorization": GREY, "inpainting": HOLES}[request.param], *SMALL, "-o", folder) == 0
    return folder


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def picture(folder, page, name):
    return np.asarray(Image.open(folder / "pictures" / f"{page['page']}-{name}.png"))


def sides(folder):
    """(pair, photograph, fake) of every pair, uint8 (H,W,3)."""
    page = manifest_of(folder)["pages"][0]
    for pair in page["pairs"]:
        pictures = [picture(folder, page, name) for name in pair["pictures"]]
        yield pair, pictures[1 - pair["fake"]], pictures[pair["fake"]]


def data_of(manifest):
    return prepare(HOLES if manifest["protocol"]["masks"] else GREY).data


def test_photographs_and_fakes_are_what_the_manifest_says(study):
    manifest = manifest_of(study)
    dataset = data_of(manifest).dataset("test")
    for pair, real, fake in sides(study):
        source = dataset[0, manifest["images"][pair["image"]]["index"]]["image"]
        assert np.array_equal(real, source.permute(1, 2, 0).numpy())  # 32 px: neither reduced nor rounded again
        assert not np.array_equal(real, fake) and real.shape == fake.shape
        grey = np.ptp(fake.astype(int), axis=2).max() <= 1
        if manifest["protocol"]["task"] == "colorization":
            assert grey == (pair["role"] != "catch")  # the algorithm is baseline/grey; random colour is not grey
        else:
            inside = np.zeros((32, 32), bool)
            inside[8:24, 8:24] = True
            assert (fake[inside] == fake[16, 16]).all() and np.array_equal(fake[~inside], real[~inside])


def test_the_manifest_holds_the_study_whole(study):
    manifest = manifest_of(study)
    protocol = manifest["protocol"]
    assert (protocol["data"], protocol["split"], protocol["count"], protocol["seed"]) == ("synthetic", "test", 20, 3)
    names = [image["name"] for image in manifest["images"]]
    assert protocol["images_sha256"] == hashlib.sha256("\n".join(names).encode()).hexdigest()
    assert (protocol["masks_sha256"] is None) == (protocol["task"] == "colorization")
    assert Counter(pair["role"] for pair in manifest["pages"][0]["pairs"]) == {"practice": 2, "catch": 1, "scored": 17}
    assert manifest["design"]["scored"] == 9 and manifest["design"]["exposure"] == 0.02
    assert study_id({key: value for key, value in manifest.items() if key != "study"}) == manifest["study"]


def test_the_hash_of_a_mask_is_that_of_its_bits():
    setup = prepare(HOLES)
    bits = np.zeros((32, 32), bool)
    bits[8:24, 8:24] = True
    _, _, found = true_and_fake(setup, setup.candidates[:1], [4, 1, 2], torch.device("cpu"))
    assert found == 3 * [hashlib.sha256(np.packbits(bits).tobytes()).digest()]


def test_the_page_does_not_say_which_picture_of_a_counted_pair_is_the_fake(study):
    manifest = manifest_of(study)
    page = (study / "page-1.html").read_text()
    line = next(line for line in page.splitlines() if line.startswith("const STUDY = "))
    told = json.loads(line.removeprefix("const STUDY = ").removesuffix(";"))
    assert [len(pair) for pair in told["practice"]] == [4, 4]  # the last is the solution
    assert all(len(pair) == 3 for pair in told["scored"] + told["always"])
    assert not any(image["name"] in page for image in manifest["images"]) and "baseline" not in page
    line = next(line for line in page.splitlines() if line.startswith("const PICTURES = "))
    pictures = json.loads(line.removeprefix("const PICTURES = ").removesuffix(";"))
    assert list(pictures) == sorted(pictures) and len(pictures) == 40  # in an order that says nothing
    assert {uri.partition(",")[0] for uri in pictures.values()} == {"data:image/png;base64"}


def test_both_pictures_of_a_pair_have_the_same_format(study):
    page = manifest_of(study)["pages"][0]
    for pair in page["pairs"]:
        files = [study / "pictures" / f"1-{name}.png" for name in pair["pictures"]]
        headers = [file.read_bytes()[:33] for file in files]  # signature and IHDR: size, depth, colour type
        assert headers[0] == headers[1]
        assert [Image.open(io.BytesIO(file.read_bytes())).info for file in files] == [{}, {}]


def test_the_same_words_make_the_same_study_and_another_seed_another(tmp_path):
    for name, words in {"a": [], "again": [], "other": ["seed=4"]}.items():
        run("make", *GREY, *words, *SMALL, "-o", tmp_path / name)
    assert (tmp_path / "a/page-1.html").read_bytes() == (tmp_path / "again/page-1.html").read_bytes()
    assert manifest_of(tmp_path / "a") == manifest_of(tmp_path / "again")
    assert manifest_of(tmp_path / "a")["study"] != manifest_of(tmp_path / "other")["study"]


def test_a_larger_picture_is_reduced_alike_on_both_sides(tmp_path):
    run("make", *GREY, *SMALL, "--side", "16", "-o", tmp_path / "study")
    for _, real, fake in sides(tmp_path / "study"):
        assert real.shape == fake.shape == (16, 16, 3)


def test_an_answer_that_is_not_finite_is_one_line():
    with pytest.raises(UserError, match="^a.ckpt answers with values that are not finite; is the checkpoint sound"):
        eight_bits(torch.tensor([0.0, float("nan")]), "a.ckpt")
    assert eight_bits(torch.tensor([0.0, 0.5, 1.2]), "a").tolist() == [0, 128, 255]


def test_nothing_is_left_where_making_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(Candidate, "answer", lambda self, batch: batch["image"] / 0)
    with pytest.raises(UserError, match="not finite"):
        run("make", *GREY, *SMALL, "-o", tmp_path / "study")
    monkeypatch.undo()
    monkeypatch.setattr("experiments.turing.study.page_html", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("make", *GREY, *SMALL, "-o", tmp_path / "study")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="^-o .*/file/study cannot be written: (Not a directory|File exists)$"):
        run("make", *GREY, *SMALL, "-o", tmp_path / "file" / "study")


def test_a_page_tells_how_long_pictures_are_shown():
    design = {"side": 32, "exposure": 1.0, "pause": 0.3, "scored": 9, "trials": 10}
    manifest = {"study": "x", "design": design, "protocol": {"task": "inpainting"}}
    page = {"page": 1, "pairs": []}
    assert "appears for one second," in page_html(manifest, page, {})
    design["exposure"] = 0.5
    assert "appears for 0.5 seconds," in page_html(manifest, page, {})
