import csv
import io
import json

import pytest

from experiments.candidates import Candidate
from experiments.score_record import per_image_csv, print_table, protocol_record, scores_json, write_scores
from experiments.scoring import Row

CANDIDATES = [
    Candidate(name="a.ckpt", task="inpainting", answer=None, identity={"sha256": "0", "iteration": 7}),
    Candidate(name="baseline/mean_fill", task="inpainting", answer=None),
]
NAMES = ["x, y.png", "z.png"]


def config(**data):
    settings = {"_target_": "d.D", "root": "/data", "test_list": None, "crop": 64}
    settings |= {"batch_size": 4, "workers": 2, "flip": True}
    return {
        "protocol": {"name": "p", "task": "inpainting", "metrics": ["psnr"], "quantise": True, "decoder": {}},
        "data": settings | {"masks": {"side": 0.5}} | data,
        "split": "test",
        "seed": 0,
        "trainer": {"precision": "32-true"},
    }


def rows(mask=b"m"):
    return [
        Row(
            index=index,
            mask_sha256=mask,
            hole_ratio=0.25,
            scores={"a.ckpt": {"psnr": 20.0 + index}, "baseline/mean_fill": {"psnr": 10.0}},
            weights={},
        )
        for index in range(2)
    ]


def record(names=NAMES, mask=b"m", **data):
    return protocol_record(config(**data), "photos", names, rows(mask))


def test_a_protocol_is_the_same_on_another_machine_and_in_another_batch():
    assert record() == record(root="/elsewhere", test_list="/x", batch_size=1, workers=0, flip=False)
    assert record()["rule"] == {"crop": 64}


@pytest.mark.parametrize("change", [{"names": ["z.png", "x, y.png"]}, {"mask": b"n"}, {"crop": 32}, {"masks": None}])
def test_a_protocol_differs_with_its_images_masks_and_geometry(change):
    assert record(**change) != record()


def test_scores_hold_means_units_and_identity():
    scores = json.loads(scores_json(config(), record(), CANDIDATES, rows()))
    assert scores["protocol"] == record() and len(scores["protocol_sha256"]) == 64
    assert scores["metrics"] == {"psnr": {"unit": "dB", "better": "higher"}}
    assert scores["rows"] == [
        {"name": "a.ckpt", "checkpoint": {"sha256": "0", "iteration": 7}, "means": {"psnr": 20.5}},
        {"name": "baseline/mean_fill", "checkpoint": None, "means": {"psnr": 10.0}},
    ]


def test_the_table_of_images_survives_commas_in_names():
    lines = list(csv.DictReader(io.StringIO(per_image_csv(NAMES, rows()))))
    assert [line["name"] for line in lines] == NAMES
    assert list(lines[0]) == ["index", "name", "hole_ratio", "a.ckpt/psnr", "baseline/mean_fill/psnr"]
    assert lines[1]["a.ckpt/psnr"] == "21.0"


def test_a_write_that_fails_leaves_the_scores_of_before(tmp_path):
    write_scores(tmp_path, config(), record(), CANDIDATES, NAMES, rows())
    before = (tmp_path / "scores.json").read_text()
    broken = rows()
    broken[0].scores["a.ckpt"]["psnr"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_scores(tmp_path, config(), record(), CANDIDATES, NAMES, broken)
    assert (tmp_path / "scores.json").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["per_image.csv", "scores.json"]


def test_the_printed_table_shows_units_and_the_better_end(capsys):
    print_table(record(), CANDIDATES, rows())
    text = capsys.readouterr().out
    assert "p on photos (test), 2 images" in text and "PSNR, dB ↑" in text
    assert [line.split("│")[1:3] for line in text.splitlines() if "a.ckpt" in line] == [
        [" a.ckpt             ", "      20.50 "]
    ]
