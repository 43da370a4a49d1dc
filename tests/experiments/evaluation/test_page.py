"""The page of an evaluation: what it says, and what it does in a real browser."""

import copy
import json
import re

import pytest
import torch
from browser import colours, opened, seen, share

from experiments.evaluation.examples import Example
from experiments.evaluation.page import best_value, bucket_of, cost, evaluation_page, verdict

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=document.title='taken'>.png"
NETWORK, MEAN = "runs/tiny/one/checkpoints/best.ckpt", "baseline/mean_fill"
NAMES = ["street/a.png", HOSTILE, "sea/c.png"]


def mean(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def metric(title, unit, better, digits, over="images"):
    return {"title": title, "unit": unit, "better": better, "digits": digits, "over": over}


RECORD = {
    "protocol": {
        "name": "inpainting_default",
        "task": "inpainting",
        "data": "photos",
        "split": "test",
        "count": 3,
        "images_sha256": "ab" * 32,
        "rule": {"resize": 128, "crop": 64, "squash": False, "limit": None, "split_by": "regions"},
        "masks": {"_target_": "datamodules.masks.centre.Centre", "side": 0.5},
        "seed": 4,
        "decoder": {},
        "networks": {"inception": {"sha256": "cd" * 32, "weights": "published"}},
    },
    "protocol_sha256": "ef" * 32,
    "metrics": {
        "psnr": metric("PSNR", "dB", "higher", 2),
        "l1": metric("L1", "%", "lower", 1),
        "fid": metric("FID", "", "lower", 1, over="set"),
    },
    "absent": {"lpips": f"needs the file alexnet.pth, https://{'long-' * 30}"},
    "rows": [
        {
            "name": NETWORK,
            "checkpoint": {"sha256": "12" * 32, "experiment": "tiny", "iteration": 2000, "model": {"width": 4}},
            "means": {"psnr": mean(24.5, 22.25, 26.75), "l1": mean(3.04, 2.0, 4.0), "fid": mean(31.5)},
            "cost": {"seconds_per_image": 0.0123, "peak_memory_bytes": 3 * 2**20},
        },
        {
            "name": MEAN,
            "checkpoint": None,
            "means": {"psnr": mean(19.0, 18.0, 20.0), "l1": mean(3.01, 2.0, 4.0)},
            "cost": {"seconds_per_image": 0.0004, "peak_memory_bytes": None},
        },
    ],
    "buckets": [
        {"low": 0.0, "high": 0.2, "count": 2, "rows": [{"name": NETWORK, "means": {"psnr": mean(27.0)}}]},
        {"low": 0.2, "high": 0.4, "count": 1, "rows": []},
    ],
    "comparisons": [
        {"metric": "psnr", "first": NETWORK, "second": MEAN, "difference": 5.5, "low": 4.0, "high": 7.0, "p": 0.0004}
        | {"p_holm": 0.0008},
    ],
    "command": ["chromafill", "evaluate", f"checkpoint={NETWORK}"],
    "commit": "0123456",
    "clean": False,
    "versions": {"torch": "2.14"},
}
VALUES = {NETWORK: {"psnr": [22.0, 25.0, 26.5], "l1": [4.0, 3.0, 2.0]}, MEAN: {"psnr": [18.0, 19.0, 20.0]}}


def flat(red, green, blue):
    return torch.tensor([red, green, blue], dtype=torch.uint8)[:, None, None].expand(3, 64, 64).contiguous()


def examples():
    """Three images, each with a place and a hole ratio of its own."""
    ratios = {"worst": 0.3, "median": 0.2, "best": 0.1}
    return [
        Example(
            index=index,
            name=NAMES[index],
            hole_ratio=ratio,
            place=place,
            pictures={"input": flat(255, 255, 255), "mask": flat(0, 0, 0), "truth": flat(0, 120, 0)},
            answers={NETWORK: flat(0, 0, 200), MEAN: flat(90, 90, 90)},
            scores={NETWORK: {"psnr": 22.25, "l1": 4.0}, MEAN: {"psnr": 18.0}},
        )
        for index, (place, ratio) in enumerate(ratios.items())
    ]


def written(folder, record=RECORD, of=None):
    path = folder / "page.html"
    path.write_text(evaluation_page(record, examples() if of is None else of, VALUES, "psnr"))
    return path


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    """One browser for all."""
    with opened(written(tmp_path_factory.mktemp("page"))) as page:
        yield page


@pytest.fixture
def page(window):
    window.set_viewport_size({"width": 1280, "height": 900})
    window.reload()
    return window


def table(page, section):
    """Texts of the cells of the first table of a section, row by row."""
    rows = page.query_selector(f"#{section} table").query_selector_all("tr")
    return [[" ".join(cell.inner_text().split()) for cell in row.query_selector_all("th, td")] for row in rows]


# What it says


def test_scores_have_units_arrows_intervals_and_a_mark_at_the_best(page):
    head, network, apart, baseline = table(page, "scores")
    assert head == ["", "PSNR, dB ↑", "L1, % ↓", "FID ↓", "time per image"]
    assert network[0] == f"■ tiny {NETWORK}, iteration 2,000"
    assert network[1:] == ["24.50 22.25 to 26.75", "3.0 2.0 to 4.0", "31.5", "12.3 ms, 3 MiB"]
    assert apart == ["Answers without training"]
    assert baseline == ["■ mean colour baseline/mean_fill", "19.00 18.00 to 20.00", "3.0 2.0 to 4.0", "–", "0.4 ms"]
    assert [each.inner_text() for each in page.query_selector_all(".best")] == ["24.50", "3.0", "3.0"]
    assert "lpips: needs the file alexnet.pth" in page.inner_text("#scores")


def test_a_comparison_says_who_is_better(page):
    assert page.inner_text("#comparisons summary").replace("\xa0", " ") == "■ tiny minus ■ mean colour"
    head, row = table(page, "comparisons")
    assert head[-1] == "tiny is"
    assert row == ["PSNR, dB ↑", "+5.50", "4.00 to 7.00", "below 0.001", "below 0.001", "better"]


def test_scores_by_hole_ratio_leave_out_what_is_not_there(page):
    head, network, _, baseline = table(page, "buckets")
    assert head[1:3] == ["0 to 20 % 2 images", "20 to 40 % 1 images"]
    assert network[1:3] == ["27.00", "–"] and baseline[1:3] == ["–", "–"]
    assert len(page.query_selector_all("#buckets details")) == 1  # no other score has values by ratio


def test_distributions_are_drawn_for_the_scores_of_images_and_put_in_words(page):
    titles = [each.inner_text() for each in page.query_selector_all("#distributions figcaption")]
    assert titles == ["PSNR, dB ↑", "L1, % ↓"]
    words = [each.get_attribute("aria-label") for each in page.query_selector_all("#distributions svg")]
    assert words[0].startswith("tiny: median 25.00, half of the images between 23.50 and 25.75")
    assert [each.split(":")[0] for each in words] == ["tiny", "mean colour", "tiny"]


def test_the_protocol_is_there_in_words_and_as_it_is_stored(page):
    page.click("summary")
    text = page.inner_text("dl.facts")
    for fact in (
        "3 of the test split of photos",
        "shorter side resized to 128 pixels, then a centre crop of 64 x 64",
        "split_by regions",
        "centre: side 0.5",
        "ab" * 32,
        "cd" * 32,
        f"chromafill evaluate checkpoint={NETWORK}",
        "0123456, with changes that are not committed",
    ):
        assert fact in text
    stored = json.loads(page.query_selector("pre").text_content())
    assert stored["protocol"] == RECORD["protocol"] and stored["protocol_sha256"] == "ef" * 32


def test_something_is_seen_of_it(page):
    pixels = seen(page)
    assert pixels.shape == (900, 1280, 3) and colours(pixels) > 50
    page.click(".card >> nth=0 >> [aria-label='enlarge: tiny']")
    enlarged = seen(page)
    for colour in ((0, 0, 200), (0, 120, 0)):  # the answer left of the slider, the truth right of it
        assert share(enlarged, colour) > 0.02 > share(pixels, colour)


# What it does


def shown_names(page):
    return [card.get_attribute("data-name") for card in page.query_selector_all(".card") if card.is_visible()]


def test_filters_hide_cards_and_count_them(page):
    assert shown_names(page) == NAMES and "3 of 3 images" in page.inner_text("#count")
    page.select_option("#place", "median")
    assert shown_names(page) == [HOSTILE] and "1 of 3 images" in page.inner_text("#count")
    page.select_option("#place", "")
    page.select_option("#ratio", label="0 to 20 %")
    assert shown_names(page) == NAMES[1:]
    page.fill("#name", "SEA")
    assert shown_names(page) == NAMES[2:]
    page.select_option("#ratio", label="20 to 40 %")
    assert shown_names(page) == [] and "0 of 3 images" in page.inner_text("#count")


def test_a_click_enlarges_a_picture_beside_the_truth_and_the_slider_wipes(page):
    page.click(".card >> nth=0 >> [aria-label='enlarge: tiny']")
    assert page.is_visible("#viewer") and page.inner_text("#viewed") == NAMES[0]
    assert page.get_attribute("#over", "alt") == "tiny" and page.get_attribute("#under", "alt") == "truth"
    assert page.inner_text("#left-scores") == "PSNR 22.25 dB, L1 4.0 %"
    assert page.query_selector("#over").bounding_box()["width"] > 300
    page.focus("#wipe")
    page.keyboard.press("Home")
    assert page.evaluate("getComputedStyle(document.getElementById('over')).clipPath") == "inset(0px 100% 0px 0px)"
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("getComputedStyle(document.getElementById('over')).clipPath") == "inset(0px 97% 0px 0px)"
    page.keyboard.press("Escape")
    assert not page.is_visible("#viewer")


def test_any_two_pictures_can_be_compared_and_the_next_image_keeps_the_two(page):
    page.click(".card >> nth=0 >> [aria-label='enlarge: truth']")
    assert (page.get_attribute("#over", "alt"), page.get_attribute("#under", "alt")) == ("truth", "input")
    options = page.eval_on_selector_all("#left option", "each => each.map(option => option.textContent)")
    expected = ["input", "mask", "truth", "tiny", "error of tiny", "mean colour", "error of mean colour"]
    assert options == expected
    page.select_option("#left", "mean colour")
    page.select_option("#right", "tiny")
    page.click("#next")
    assert page.inner_text("#viewed") == HOSTILE
    assert (page.get_attribute("#over", "alt"), page.get_attribute("#under", "alt")) == ("mean colour", "tiny")
    page.click("#previous")
    page.click("#previous")
    assert page.inner_text("#viewed") == NAMES[2]


def test_the_picture_is_dragged_too(page):
    page.click(".card >> nth=0 >> [aria-label='enlarge: tiny']")
    box = page.query_selector("#stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + 20)
    assert page.input_value("#wipe") == "25"


def test_a_hostile_name_is_shown_and_does_nothing(page):
    page.click(".card >> nth=1 >> [aria-label='enlarge: input']")
    assert page.inner_text(".card >> nth=1 >> h3") == HOSTILE == page.inner_text("#viewed")
    assert page.title() == "inpainting_default on photos"
    assert page.eval_on_selector_all("img", "each => each.every(image => image.src.startsWith('data:'))")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click(".card >> nth=0 >> [aria-label='enlarge: tiny']")
    box = page.query_selector("#viewer").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width


# Less of it


def test_without_examples_buckets_and_comparisons_their_parts_are_left_out(tmp_path):
    record = copy.deepcopy(RECORD) | {"buckets": [], "comparisons": [], "absent": {}}
    text = written(tmp_path, record, of=[]).read_text()
    assert re.findall(r'<section id="(\w+)">', text) == ["scores", "distributions"]
    assert "<script" not in text and "<dialog" not in text and "Not computed" not in text


def test_colorization_has_no_masks_and_its_own_scale(tmp_path):
    record = copy.deepcopy(RECORD)
    record["protocol"] |= {"task": "colorization", "masks": None}
    of = examples()
    for example in of:
        example.hole_ratio = None
        del example.pictures["mask"]
    text = written(tmp_path, record | {"buckets": []}, of).read_text()
    assert "distance in ab" in text and 'data-label="mask"' not in text and 'id="ratio"' not in text


# In numbers


@pytest.mark.parametrize(
    ("p_holm", "difference", "better", "expected"),
    [
        (0.05, 9, "higher", "not shown to differ"),
        (0.04, 9, "higher", "better"),
        (0.04, -9, "higher", "worse"),
        (0.04, -9, "lower", "better"),
        (0.04, 9, "lower", "worse"),
        (0.04, 9, None, "higher"),
        (0.04, -9, None, "lower"),
    ],
)
def test_a_verdict_needs_a_small_p_and_knows_which_way_is_better(p_holm, difference, better, expected):
    assert verdict({"p_holm": p_holm, "difference": difference}, better) == expected


def test_the_photograph_itself_competes_with_nobody(tmp_path):
    record, of = copy.deepcopy(RECORD), examples()
    record["rows"].append(record["rows"][1] | {"name": "baseline/truth", "means": {"psnr": mean(60.0, 60.0, 60.0)}})
    text = written(tmp_path, record, of).read_text()
    assert re.findall(r'class="best" title="best">([\d.]+)', text) == ["24.50", "3.0", "3.0"]
    assert "60.00" in text and 'data-label="the photograph itself"' not in text


def test_no_candidate_is_best_alone_or_where_nothing_is_better():
    rows = RECORD["rows"]
    assert best_value("psnr", RECORD["metrics"]["psnr"], rows) == "24.50"
    assert best_value("psnr", RECORD["metrics"]["psnr"] | {"better": "lower"}, rows) == "19.00"
    assert best_value("psnr", RECORD["metrics"]["psnr"] | {"better": None}, rows) is None
    assert best_value("fid", RECORD["metrics"]["fid"], rows) is None


@pytest.mark.parametrize(("ratio", "bucket"), [(None, None), (0.0, 0), (0.2, 0), (0.21, 1), (0.4, 1), (0.5, None)])
def test_a_bucket_has_its_upper_end_and_the_first_one_nothing_too(ratio, bucket):
    assert bucket_of(ratio, RECORD) == bucket


def test_costs_have_memory_only_where_it_was_measured():
    assert cost({"seconds_per_image": 0.5, "peak_memory_bytes": None}) == "500.0 ms"
    assert cost({"seconds_per_image": 0.00004, "peak_memory_bytes": 2**31}) == "0.04 ms, 2,048 MiB"
