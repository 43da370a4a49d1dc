"""The tables of a record that was made by hand: tests/ablation_studies.py."""

import pytest
from ablation_studies import record_by_hand, row

from experiments.studies.ablation_tables import (
    difference_table,
    interval,
    latex_tables,
    main_table,
    markdown,
    number,
    p_value,
    print_tables,
    published,
    runtime,
    settings,
    tex,
    tex_row,
)

DEPARTS = (
    "Row full departs from the paper's model settings (in brackets) in model.width=2 (64), and from its full recipe"
    " colorful_imagenet in data=synthetic (imagenet), iterations=4 (450000)."
)


def test_a_score_stands_with_its_spread_where_there_are_seeds_to_spread():
    assert number({"mean": 21.0, "sd": 1.41421}, 2) == "21.00 ± 1.41"
    assert number({"mean": 21.0, "sd": None}, 1) == "21.0"
    assert number(None, 2) == "–"


def test_published_numbers_come_with_source_unit_and_the_mark_of_memory():
    full, second = record_by_hand()["rows"][:2]
    assert published(full, "colorization") == "AuC 89.5 %, AMT fooled 32.3 % (Table 1)"
    assert published(second, "colorization") == "PSNR 22.0 dB (a later paper; from memory); claim: worse | or so"
    assert published(row("none"), "colorization") == "–"


@pytest.mark.parametrize(
    "seconds, text", [({"mean": 120.0, "sd": 6.0}, "2.0 ± 0.1 min"), ({"mean": 30.4, "sd": None}, "30 s"), (None, "–")]
)
def test_runtime_is_in_seconds_or_minutes(seconds, text):
    assert runtime({"seconds": seconds}) == text


def test_settings_say_what_a_row_changes():
    assert settings(row("full")) == "the experiment as it is"
    assert settings(row("l2", overrides=["model.loss=l2"], start_from="full")) == "model.loss=l2, started from full"
    assert settings(row("cold", of="full", decoder={"temperature": 0.1})) == "full, decoded with temperature=0.1"
    assert settings(row("never", cannot="no data")) == "–"


def test_p_and_intervals_are_as_short_as_they_can_be_believed():
    assert (p_value(0.00099), p_value(0.001), p_value(None)) == ("< 0.001", "0.001", "–")
    assert interval({"low": -1.0, "high": 2.5}, 1) == "-1.0 to +2.5"
    assert interval({"low": None, "high": None}, 1) == "–"


def test_the_main_table_has_every_row_published_ours_difference_seeds_and_runtime():
    heads, rows = main_table(record_by_hand())
    assert heads == ["row", "settings", "published", "PSNR, dB ↑", "Δ PSNR", "seeds", "runtime"]
    assert [each[0] for each in rows][:4] == ["full", "l2", "same [1]", "cold_5%"]
    assert rows[1][3:] == ["22.50 ± 2.12", "+1.50", "2", "30 s"]
    assert [each[3] for each in rows[2:5]] == ["as l2", "no score", "cannot run"]
    assert rows[4][0] == "<script>alert(1)</script> [2]" and rows[4][4:] == ["–", "0", "–"]
    assert rows[5][0] == "baseline/grey" and rows[5][3] == "18.25"


def test_a_difference_shows_each_seed_and_both_tests():
    _, rows = difference_table(record_by_hand(), "psnr")
    assert rows == [["l2", "+1.50", "+1.00, +2.00", "-4.85 to +7.85", "0.205", "0.205", "+1.10 to +1.90", "< 0.001"]]


def test_markdown_says_who_made_it_and_names_what_did_not_run():
    text = markdown(record_by_hand())
    assert "Made by: chromafill ablate report tiny (commit abc, with changes that are not committed)" in text
    assert "- [1] **same**: with this experiment its settings are those of l2; see there" in text
    assert "- [2] **<script>alert(1)</script>**: no data" in text and "| cannot run | – | 0 |" in text
    assert DEPARTS in text
    assert "claim: worse \\| or so" in text
    assert "- no lpips: no file" in text and "not in this report: class" in text
    widths = {
        line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("| ") and "PSNR" in line
    }
    assert widths == {8}


def test_latex_escapes_names_and_opens_with_the_command():
    text = latex_tables(record_by_hand())
    assert text.startswith("% Made by: chromafill ablate report tiny")
    assert r"cold\_5\% & full, decoded with temperature=0.1 & -- & no score & -- & 0 & -- \\" in text
    assert r"(a later paper; from memory); claim: worse | or so & 22.50 $\pm$ 2.12 & +1.50 & 2 & 30 s \\" in text


def test_latex_has_all_that_the_markdown_has():
    record = record_by_hand()
    text = latex_tables(record)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2  # scores, and the differences in PSNR
    assert text.count(r" \\") == 1 + 6 + 1 + 1  # heads and rows: five, the baseline, and one difference
    for _, rows in (main_table(record), difference_table(record, "psnr")):
        for each in rows:
            assert tex_row(each) in text
    assert r"\par\footnotesize [2] $<$script$>$alert(1)$<$/script$>$: no data" in text
    assert tex(DEPARTS) in text and r"p (Holm)" in text and r"PSNR, dB $\uparrow$" in text


def test_the_terminal_shows_names_that_look_like_markup_as_they_are(capsys):
    record = record_by_hand()
    record["rows"][0]["name"] = "[red]full"
    print_tables(record)
    shown = capsys.readouterr().out
    assert "[red]full" in shown and "[2] <script>alert(1)</script>: no data" in shown
