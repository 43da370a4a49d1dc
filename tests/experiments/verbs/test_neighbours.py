"""`chromafill neighbours` from the command line to its page, with small networks of random weights."""

import csv
import html
import re

import numpy as np
import pytest
import torch
from browser import opened
from PIL import Image
from tiny_checkpoints import scene, untrained

from experiments import cli
from experiments.compose import build
from experiments.verbs.neighbours import drawn
from lightning_modules.color.lab import rgb_to_lab

SCENES = [
    "data=synthetic",
    "data.crop=32",
    "data.batch_size=4",
    "data.workers=0",
    "data.train_count=24",
    "data.val_count=3",
    "data.test_count=8",
]
COLOR, HOLES = "runs/color/one/checkpoints/best.ckpt", "runs/holes/one/checkpoints/best.ckpt"
HOSTILE = "<img src=x onerror=document.title=1>.png"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the runs of a colorizer and of an inpainter."""
    folder = tmp_path_factory.mktemp("place")
    untrained(folder / COLOR, *SCENES, "model=colorful", "model.width=2")
    holes = ["model=context_encoder_features", "model.fine_size=67", "model.width=4", "data.crop=67"]
    untrained(folder / HOLES, *SCENES, *holes, "masks@data.masks=centre")
    return folder


@pytest.fixture(autouse=True)
def here(place, monkeypatch):
    monkeypatch.chdir(place)


def neighbours(*words):
    """The exit code of `chromafill neighbours`."""
    return cli.main(["neighbours", "trainer.accelerator=cpu", *words])


def rows(folder):
    with (folder / "neighbours.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def page(place, tmp_path_factory):
    """The output folder of a colorizer's neighbours, eight queries of which four are shown."""
    folder = tmp_path_factory.mktemp("page") / "alike"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setitem(cli.VERBS, "neighbours", ("experiments.verbs.neighbours", ""))
        words = [f"checkpoint={COLOR}", "layer=network.model2", "k=3", "shown=4", f"output={folder}"]
        assert neighbours(*words) == 0
    return folder


def test_neighbours_are_those_of_the_features_by_hand(page, place):
    """model2 of a colorizer of width 2: (4,8,8), which 2,048 numbers hold as it is."""
    content = torch.load(place / COLOR, weights_only=True)
    module = build(content["config"]["model"], "model").eval()
    module.load_state_dict(content["state_dict"])
    data = build(content["config"]["data"], "data")

    def vectors(split):
        images = torch.stack([data.dataset(split)[0, place]["image"] for place in range(len(data.dataset(split)))])
        lightness = rgb_to_lab(images.float() / 255)[:, :1]
        with torch.no_grad():
            return module.network.model2(module.network.model1((lightness - 50) / 100)).flatten(1)

    queries, answers = vectors("test"), vectors("train")
    cosine = torch.nn.functional.cosine_similarity(queries[:, None], answers[None], dim=2)
    found = rows(page)
    assert len(found) == 8 * 3
    for row, expected in zip(found, cosine.topk(3).values.flatten().tolist(), strict=True):
        assert float(row["similarity"]) == pytest.approx(expected, abs=1e-4)
    names = [data.dataset("train").source.name(place) for place in cosine.argmax(1).tolist()]
    assert [row["neighbour"] for row in found if row["rank"] == "1"] == names
    assert found[0]["query_label"] == "coast" and found[0]["query"] == "coast_test_0"


def test_the_accuracy_is_that_of_the_votes(page, capsys, tmp_path):
    words = [f"checkpoint={COLOR}", "layer=network.model2", "k=1", "shown=1", f"output={tmp_path}"]
    assert neighbours(*words) == 0
    printed = capsys.readouterr().out
    right = sum(row["query_label"] == row["neighbour_label"] for row in rows(tmp_path))
    assert f"8 images of test among 24 of train: 1-NN accuracy {100 * right / 8:.2f} %" in printed
    assert "the commonest label: 12.50 %" in printed and str(tmp_path / "neighbours.html") in printed


def test_holes_change_an_inpainters_neighbours_and_what_is_in_them_does_not(tmp_path):
    words = [f"checkpoint={HOLES}", "layer=network.encoder.pool5", "k=2", "shown=1"]
    assert neighbours(*words, f"output={tmp_path / 'centre'}") == 0
    assert neighbours(*words, "masks@data.masks=rectangle", f"output={tmp_path / 'other'}") == 0
    centre, other = (rows(tmp_path / folder) for folder in ("centre", "other"))
    assert [row["similarity"] for row in centre] != [row["similarity"] for row in other]
    assert "with the holes that are white here" in (tmp_path / "centre" / "neighbours.html").read_text()


def test_the_output_is_in_the_runs_folder_by_default(place):
    assert neighbours(f"checkpoint={COLOR}", "layer=network.model1", "queries=2", "answers=3", "k=1", "split=val") == 0
    folder = place / "runs/color/one/neighbours/synthetic-val-network.model1"
    assert len(rows(folder)) == 2 and sorted(path.name for path in folder.iterdir()) == [
        "neighbours.csv",
        "neighbours.html",
    ]


def test_positions_are_drawn_each_once_and_by_the_seed():
    few = drawn(1000, 20, seed=0)
    assert few == sorted(set(few)) and len(few) == 20 and few == drawn(1000, 20, seed=0) != drawn(1000, 20, seed=1)
    assert len({place % 8 for place in few}) > 4 and drawn(3, 9, seed=0) == [0, 1, 2]


def test_a_query_opens_larger_and_the_filter_leaves_the_chosen_ones(page):
    with opened(page / "neighbours.html") as shown:
        assert shown.locator("#queries .query").count() == 4
        assert shown.locator("#queries .query:first-child .near li").count() == 3
        assert not shown.locator("dialog").is_visible()
        shown.click("#queries .query:first-child > button")
        assert shown.locator("dialog").is_visible()
        name = shown.locator("#queries .query:first-child > button .name").inner_text()
        assert name.endswith(shown.locator("dialog .query > button .name").inner_text()) and "_test_" in name
        shown.click("dialog form button")
        assert not shown.locator("dialog").is_visible()
        label = shown.locator("#queries .query").nth(1).get_attribute("data-label")
        shown.select_option("#filter", f"label:{label}")
        visible = shown.locator("#queries .query:visible")
        assert [each.get_attribute("data-label") for each in visible.all()] == [label] * visible.count()
        assert shown.inner_text("#count") == f"{visible.count()} of 4 queries"
        shown.select_option("#filter", "wrong")
        wrong = shown.locator("#queries .query[data-right=false]").count()
        assert shown.locator("#queries .query:visible").count() == wrong
        shown.check("#grey")
        filters = shown.locator("#queries img").first.evaluate("image => getComputedStyle(image).filter")
        assert filters == "grayscale(1)"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_reaches_over_the_edge(page, width):
    with opened(page / "neighbours.html", width=width) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        shown.click("#queries .query:first-child > button")
        assert shown.locator("dialog").evaluate("box => box.scrollWidth <= box.clientWidth")


@pytest.fixture
def photographs(tmp_path):
    """A data set of files without labels, one of which has a name that a page could take for an element."""
    for split in ("train", "test"):
        (tmp_path / "photos" / split).mkdir(parents=True)
        for seed, name in enumerate([HOSTILE, "b.png", "c.png"]):
            Image.fromarray(scene(40, 48, seed)).save(tmp_path / "photos" / split / name)
    return [f"checkpoint={COLOR}", "data=folder", f"data.root={tmp_path / 'photos'}", "data.crop=32", "data.workers=0"]


def test_names_of_files_are_shown_and_do_nothing(photographs, tmp_path, capsys):
    assert neighbours(*photographs, "layer=network.model3", "k=2", f"output={tmp_path / 'out'}") == 0
    assert "the images have no labels" in capsys.readouterr().out
    text = (tmp_path / "out" / "neighbours.html").read_text()
    assert HOSTILE not in text and html.escape(HOSTILE) in text
    with opened(tmp_path / "out" / "neighbours.html") as shown:
        assert HOSTILE in shown.inner_text("#queries") and shown.title() == "Neighbours in network.model3"
        assert shown.locator("#filter").count() == 0
    assert rows(tmp_path / "out")[0]["query_label"] == ""


def test_an_image_is_its_own_nearest_neighbour(photographs, tmp_path):
    assert neighbours(*photographs, "layer=network.model3", "k=1", f"output={tmp_path / 'out'}") == 0
    for row in rows(tmp_path / "out"):
        assert row["query"].rpartition("/")[2] == row["neighbour"].rpartition("/")[2]
        assert float(row["similarity"]) == pytest.approx(1, abs=1e-5)


def test_features_that_are_no_numbers_are_one_line(photographs, place, tmp_path, capsys):
    checkpoint = torch.load(place / COLOR, weights_only=True)
    checkpoint["state_dict"]["network.model2.0.weight"][0] = torch.nan
    torch.save(checkpoint, tmp_path / "broken.ckpt")
    words = [f"checkpoint={tmp_path / 'broken.ckpt'}", *photographs[1:], "k=1", f"output={tmp_path / 'out'}"]
    assert neighbours(*words, "layer=network.model3") == 2
    assert ".png: features of network.model3 are no numbers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert neighbours(*words, "layer=network.model1") == 0


def test_an_image_that_cannot_be_read_leaves_nothing_behind(photographs, tmp_path, capsys):
    broken = tmp_path / "photos" / "train" / "b.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(broken)
    broken.write_bytes(broken.read_bytes()[:2000])
    assert neighbours(*photographs, "layer=network.model3", "k=1", f"output={tmp_path / 'out'}") == 2
    assert f"{broken}: image file is truncated" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give layer=NAME; there are, among others: network.model1, network.model2"),
        (["layer=network.modl5"], "layer: no layer 'network.modl5' in Colorful; nearest: network.model5"),
        (["layer=network.model_out"], "layer 'network.model_out' ran for 0 of 4 images"),
        (["layer=network.model1", "k=0"], "k must be an integer of at least 1, got 0"),
        (["layer=network.model1", "shown=few"], "shown must be an integer of at least 1, got few"),
        (["layer=network.model1", "k=5", "answers=4"], "k = 5 neighbours cannot be found among 4 images"),
        (["layer=network.model1", f"output={COLOR}"], "output .* is a file; give a folder"),
        (["layer=network.model1", "spilt=val"], "no setting 'spilt'; nearest: split"),
        (["layer=network.model1", f"checkpoint=[{COLOR},baseline/grey]", "output=/proc/no"], "cannot be written"),
        (["layer=network.model1", "checkpoint=baseline/grey", "data=synthetic"], "checkpoint=... names 0"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(words, message, capsys):
    given = words if any(word.startswith("checkpoint=") for word in words) else [f"checkpoint={COLOR}", *words]
    assert neighbours(*given) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "batches" not in line]
    assert len(error) == 1 and re.search(message, error[0]), error
