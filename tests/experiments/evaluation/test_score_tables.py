import copy
import json

from experiments.evaluation.score_tables import best, latex, latex_table, markdown, print_comparisons, print_scores

PSNR = {"title": "PSNR", "unit": "dB", "better": "higher", "digits": 2, "over": "images"}
FID = {"title": "FID (random weights)", "unit": "", "better": "lower", "digits": 2, "over": "set"}


def mean(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


RECORD = {
    "protocol": {"name": "p_1", "data": "photos", "split": "test", "count": 2, "networks": {}},
    "protocol_sha256": "0123456789abcdef",
    "metrics": {"psnr": PSNR, "fid": FID},
    "absent": {"lpips": "no file"},
    "memory": "weights and more",
    "rows": [
        {
            "name": "runs/a_b/best.ckpt",
            "means": {"psnr": mean(20.504, 20.0, 21.0), "fid": mean(3.0)},
            "cost": {"seconds_per_image": 0.0125, "peak_memory_bytes": 3 * 2**20},
        },
        {
            "name": "baseline/grey",
            "means": {"psnr": mean(10.0, 9.0, 12.0)},
            "cost": {"seconds_per_image": 0.001, "peak_memory_bytes": None},
        },
    ],
    "buckets": [
        {"low": 0.01, "high": 0.1, "count": 1, "rows": [{"name": "baseline/grey", "means": {"psnr": mean(11.0)}}]},
        {"low": 0.1, "high": 0.2, "count": 0, "rows": []},
    ],
    "comparisons": [
        {
            "metric": "psnr",
            "first": "runs/a_b/best.ckpt",
            "second": "baseline/grey",
            "difference": 10.5,
            "low": 10.0,
            "high": 11.0,
            "p": 0.5,
            "p_holm": 0.75,
        }
    ],
}


def test_the_printed_table_shows_units_intervals_the_better_end_and_what_is_absent(capsys):
    print_scores(RECORD)
    text = capsys.readouterr().out
    assert "p_1 on photos (test), 2 images" in text and "PSNR, dB ↑" in text and "FID (random weights) ↓" in text
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert cells == [
        ["runs/a_b/best.ckpt", "20.50 ± 0.50", "3.00", "12.5", "3"],
        ["baseline/grey", "10.00 ± 1.50", "–", "1.0", "0"],
    ]
    assert (
        "no lpips: no file" in text
        and "Memory: weights and more." in text
        and "FID of 2 images is biased upwards" in text
    )


def test_memory_is_a_column_only_where_it_was_measured(capsys):
    record = copy.deepcopy(RECORD)
    record["rows"][0]["cost"]["peak_memory_bytes"] = None
    print_scores(record)
    assert "MiB" not in capsys.readouterr().out


def test_markdown_has_a_table_of_all_images_and_of_each_bucket_with_images():
    lines = markdown(RECORD).splitlines()
    assert lines[:6] == [
        "**p_1 on photos (test), 2 images**",
        "",
        "| candidate | PSNR, dB ↑ | FID (random weights) ↓ | ms | MiB |",
        "|---|---:|---:|---:|---:|",
        "| runs/a_b/best.ckpt | 20.50 ± 0.50 | 3.00 | 12.5 | 3 |",
        "| baseline/grey | 10.00 ± 1.50 | – | 1.0 | 0 |",
    ]
    assert "**Hole ratio (0.01, 0.1], 1 images**" in lines and "| baseline/grey | 11.00 |" in lines
    assert "(0.1, 0.2]" not in markdown(RECORD) and "- no lpips: no file" in lines


def test_latex_escapes_names_and_has_the_best_value_in_bold():
    text = latex_table(RECORD)
    assert r"runs/a\_b/best.ckpt & \textbf{20.50 $\pm$ 0.50} & 3.00 \\" in text
    assert r"baseline/grey & 10.00 $\pm$ 1.50 & -- \\" in text and "Protocol 01234567" in text
    assert text.count(r"\begin") == text.count(r"\end") == 2
    assert latex(r"50 % of_{a} & \b~^#$") == (
        r"50 \% of\_\{a\} \& \textbackslash{}b\textasciitilde{}\textasciicircum{}\#\$"
    )


def test_the_truth_is_no_competitor_and_equal_prints_share_the_place():
    record = copy.deepcopy(RECORD)
    record["rows"].append({"name": "baseline/truth", "means": {"psnr": mean(60.0)}})
    record["rows"][1]["means"]["psnr"] = mean(20.4999)
    assert best(record)["psnr"] == {"runs/a_b/best.ckpt", "baseline/grey"}


def test_comparisons_are_printed_with_signs_and_only_of_the_rows_asked_for(capsys):
    print_comparisons(RECORD, [])
    assert capsys.readouterr().out == ""
    print_comparisons(RECORD, ["baseline/grey"])
    text = capsys.readouterr().out
    assert "runs/a_b/best.ckpt minus another, same images" in text
    (line,) = [line for line in text.splitlines() if line.startswith("│")]
    assert [cell.strip() for cell in line.split("│")[1:-1]] == [
        "baseline/grey", "PSNR, dB", "+10.50", "+10.00 to +11.00", "0.5000", "0.7500",
    ]  # fmt: skip
    assert "p (Holm): for all scores of a pair together." in text


def test_names_are_no_markup(capsys):
    name = "runs/[bold]a[/bold][/red].ckpt"
    record = json.loads(json.dumps(RECORD).replace("runs/a_b/best.ckpt", name))
    print_scores(record)
    print_comparisons(record, ["baseline/grey"])
    record["comparisons"][0] |= {"first": "baseline/grey", "second": name}
    print_comparisons(record, [name])
    assert capsys.readouterr().out.count(name) == 3


def test_a_lone_row_is_not_the_best():
    record = copy.deepcopy(RECORD)
    record["rows"][1]["name"] = "baseline/truth"
    assert best(record) == {} and "textbf" not in latex_table(record)
