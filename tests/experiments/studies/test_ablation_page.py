"""The page of a record that was made by hand, as text and in a browser."""

import pytest
from ablation_studies import pictures_by_hand, record_by_hand
from browser import opened

from experiments.pages.plots import Axis
from experiments.studies.ablation_page import ablation_page, band, groups, plots


@pytest.fixture
def page_file(tmp_path):
    path = tmp_path / "index.html"
    path.write_text(ablation_page(record_by_hand(), pictures_by_hand()))
    return path


def test_a_curve_is_the_mean_over_seeds_between_the_lowest_and_the_highest():
    # Iterations 0 to 4 over 1000 units, values 0 to 4 over 400, upwards: 3 is at 100, the mean 2 at 200.
    axis = Axis((0, 1, 2, 3, 4), 0)
    found = band("full", {0: [[2, 1.0], [4, 1.0]], 1: [[2, 3.0]]}, axis, axis)
    assert found["mean"] == "500.0,200.0"  # at 4 there is one seed only
    assert found["band"] == "500.0,100.0 500.0,300.0"
    assert found["dots"] == [["500.0", "200.0"]]


def test_a_row_of_one_seed_has_a_line_and_no_band():
    axis = Axis((0, 4), 0)
    found = band("full", {7: [[0, 0.0], [4, 4.0]]}, axis, axis)
    assert (found["mean"], found["band"], found["seeds"]) == ("0.0,400.0 1000.0,0.0", None, 1)


def test_each_plot_has_the_base_row_beside_the_rows_of_one_factor():
    drawn = plots(record_by_hand())
    assert [(plot["title"], [line["name"] for line in plot["lines"]]) for plot in drawn] == [("loss", ["full", "l2"])]


def test_rows_stand_by_factor_in_the_order_of_the_file():
    found = groups(record_by_hand())
    assert [(group, len(rows)) for group, rows in found] == [("loss", 3), ("temperature", 1), ("other", 1)]
    second = found[0][1][1]
    assert second["cells"] == [{"score": "22.50 ± 2.12", "difference": "+1.50", "interval": "-4.85 to +7.85"}]


def test_a_row_without_scores_says_why_in_its_place_and_the_head_what_the_base_departs_in(page_file):
    text = page_file.read_text()
    assert '<td class="text" colspan="1">cannot run<small>no data</small></td>' in text
    assert '<td class="text" colspan="1">as l2<small>' in text
    assert "<p>Row full departs from the paper&#39;s model settings" in text


def test_names_are_text_and_nothing_else(page_file):
    text = page_file.read_text()
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    assert "<b>coast" not in text and "&lt;b&gt;coast" in text


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_table_curves_and_pictures_and_never_scrolls_sideways(page_file, width):
    with opened(page_file, width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("#table tbody tr").count() == 3 + 5 + 1 + 1  # factors, rows, heading and baseline
        assert page.locator("#curves svg polyline").count() == 2 and page.locator("#curves svg polygon").count() == 1
        loaded = page.locator("#images img").evaluate_all("all => all.map(each => each.complete && each.naturalWidth)")
        assert loaded == [1] * 4
        assert "l2" in page.locator("#differences tbody th").all_inner_texts()
        first, second = (page.locator("#table tbody th[scope=row]").nth(at).bounding_box() for at in (0, 1))
        assert first["width"] < width / 2 and second["y"] > first["y"]
