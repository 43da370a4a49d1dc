import copy
import csv
import hashlib
import io
import json
import resource
from contextlib import contextmanager

import pytest
import torch

from experiments.errors import UserError
from experiments.evaluation.candidates import Candidate
from experiments.evaluation.metrics import METRICS
from experiments.evaluation.score_record import (
    combined_sha256,
    described,
    evaluation_sha256,
    json_text,
    memory_words,
    per_image_csv,
    protocol_record,
    scores_record,
    sha256,
    write_whole,
)
from experiments.evaluation.scoring import Cost, Row

CANDIDATES = [
    Candidate(name="a.ckpt", task="inpainting", identity={"sha256": "0", "iteration": 7}),
    Candidate(name="baseline/mean_fill", task="inpainting"),
]
NAMES = ["x, y.png", "z.png"]
NETWORKS = {"inception": {"weights": "random weights", "seed": 0}}


def config(**data):
    settings = {"_target_": "d.D", "root": "/data", "test_list": None, "crop": 64}
    settings |= {"batch_size": 4, "workers": 2, "flip": True}
    protocol = {"name": "p", "task": "inpainting", "metrics": ["psnr", "lpips", "fid"], "quantise": True}
    return {
        "protocol": protocol | {"decoder": {}, "buckets": [0.2, 0.3, 0.4]},
        "data": settings | {"masks": {"side": 0.5}} | data,
        "split": "test",
        "seed": 0,
        "trainer": {"precision": "32-true"},
    }


def rows(mask=b"m"):
    return [
        Row(
            index=index,
            pixels_sha256=b"p",
            mask_sha256=mask,
            hole_ratio=0.25,
            scores={"a.ckpt": {"psnr": 20.0 + index}, "baseline/mean_fill": {"psnr": 10.0}},
            weights={},
        )
        for index in range(2)
    ]


def record(names=NAMES, pixels=b"p", mask=b"m", **data):
    return protocol_record(config(**data), "photos", names, [pixels, pixels], [mask, mask], NETWORKS)


def test_a_protocol_is_the_same_on_another_machine_and_in_another_batch():
    assert record() == record(root="/elsewhere", test_list="/x", batch_size=1, workers=0, flip=False, resize_most=99)
    assert record()["rule"] == {"crop": 64}


@pytest.mark.parametrize(
    "change", [{"names": ["z.png", "x, y.png"]}, {"pixels": b"q"}, {"mask": b"n"}, {"crop": 32}, {"masks": None}]
)
def test_a_protocol_differs_with_its_images_masks_and_geometry(change):
    assert record(**change) != record()


def scores(rows):
    costs = {
        candidate.name: [Cost(images=4, seconds=1.0, peak_bytes=peak) for peak in (5, 7)] for candidate in CANDIDATES
    }
    set_scores = {"a.ckpt": {"fid": 3.0}, "baseline/mean_fill": {"fid": 4.0}}
    return scores_record(
        config(), record(), CANDIDATES, rows, absent={"lpips": "no file"}, costs=costs, set_scores=set_scores
    )


def test_masks_have_one_hash_and_where_they_come_from_does_not_matter():
    assert record()["masks_sha256"] == combined_sha256([b"m", b"m"]) == sha256(b"mm")
    assert combined_sha256([]) is None
    here, there = (
        {"parts": [{"part": {"folder": folder, "cache_mib": size, "fixed": True}}], "weights": [1]}
        for folder, size in (("/here", 1), ("/there", 1024))
    )
    assert record(masks=here) == record(masks=there)
    assert record(masks=here)["masks"] == {"parts": [{"part": {"fixed": True}}], "weights": [1]}


def test_the_prior_of_the_colours_belongs_to_the_protocol_and_an_approximate_one_to_the_title():
    metric = METRICS["colorization"]["auc_rebalanced"]
    of = config()
    of["protocol"] |= {"task": "colorization", "metrics": ["psnr", "auc_rebalanced"]}
    uniform = torch.full((313,), 1 / 313)
    priors = [protocol_record(of, "photos", NAMES, [], [], {}, prior)["prior"] for prior in (None, uniform)]
    assert priors == ["closed form", hashlib.sha256(uniform.numpy().tobytes()).hexdigest()]
    titles = [described(metric, {}, prior)["title"] for prior in priors]
    assert titles == ["AuC rebal. (approx. prior)", "AuC rebal."]
    assert record()["prior"] is None  # no score of this protocol needs it


def test_scores_hold_means_intervals_units_and_identity():
    found = scores(rows())
    assert found["protocol"] == record() and len(found["protocol_sha256"]) == 64
    assert found["metrics"] == {
        "psnr": {"title": "PSNR", "unit": "dB", "better": "higher", "digits": 2, "over": "images"},
        "fid": {"title": "FID (random weights)", "unit": "", "better": "lower", "digits": 2, "over": "set"},
    }
    assert found["absent"] == {"lpips": "no file"}
    first, second = found["rows"]
    assert (first["name"], first["checkpoint"]) == ("a.ckpt", {"sha256": "0", "iteration": 7})
    assert first["means"] == {
        "psnr": {"value": 20.5, "low": 20.0, "high": 21.0},  # each of two images alone is a quarter of all draws
        "fid": {"value": 3.0, "low": None, "high": None},
    }
    assert (second["name"], second["checkpoint"]) == ("baseline/mean_fill", None)
    assert first["cost"] == {"seconds_per_image": 0.25, "peak_memory_bytes": 7}
    assert found["memory"] == "weights, and the most that one batch took beside them"
    assert memory_words({"a": [Cost(images=1, seconds=1.0)]}) == "not measured: on a GPU only"


def test_the_first_candidate_is_compared_with_every_other_and_buckets_hold_their_images():
    found = scores(rows())
    (comparison,) = found["comparisons"]
    assert (comparison["first"], comparison["second"]) == ("a.ckpt", "baseline/mean_fill")
    assert (comparison["metric"], comparison["difference"], comparison["p"]) == ("psnr", 10.5, 0.5)  # 2 of 4 flips
    full, empty = found["buckets"]
    assert (full["low"], full["high"], full["count"], empty["count"], empty["rows"]) == (0.2, 0.3, 2, 0, [])
    assert [row["means"]["psnr"]["value"] for row in full["rows"]] == [20.5, 10.0]


def test_the_table_of_images_survives_commas_in_names():
    lines = list(csv.DictReader(io.StringIO(per_image_csv(NAMES, rows()))))
    assert [line["name"] for line in lines] == NAMES
    assert list(lines[0]) == ["index", "name", "hole_ratio", "a.ckpt/psnr", "baseline/mean_fill/psnr"]
    assert lines[1]["a.ckpt/psnr"] == "21.0"


def test_a_score_that_json_has_not_is_refused_before_anything_is_written():
    broken = scores(rows())
    broken["rows"][0]["means"]["psnr"]["value"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(broken)
    assert json.loads(json_text(scores(rows())))["rows"][0]["name"] == "a.ckpt"


@pytest.fixture
def full_disk():
    """No file grows beyond 4096 bytes inside: a write breaks off in the middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextmanager
    def full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


def test_a_write_that_breaks_off_is_one_line_and_leaves_the_results_of_before(tmp_path, full_disk):
    write_whole(tmp_path, {"a.csv": "old a", "b.json": "old b"})
    with full_disk(), pytest.raises(UserError, match=f"^{tmp_path} cannot be written: File too large$"):
        write_whole(tmp_path, {"a.csv": "new a", "b.json": "new b" * 2000, "c.md": None})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "old a", "b.json": "old b"}
    write_whole(tmp_path, {"a.csv": "new a", "b.json": "new b" * 2000})
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"a.csv": "new a", "b.json": "new b" * 2000}


def test_a_file_that_a_result_has_not_is_removed_and_no_other(tmp_path):
    write_whole(tmp_path / "new", {"a.csv": "a", "index.html": "page"})
    (tmp_path / "new" / "notes.txt").write_text("mine")
    write_whole(tmp_path / "new", {"a.csv": "b", "index.html": None})
    found = {path.name: path.read_text() for path in (tmp_path / "new").iterdir()}
    assert found == {"a.csv": "b", "notes.txt": "mine"}


def test_an_evaluation_is_told_from_others_by_candidates_scores_and_precision():
    found = scores(rows())
    assert evaluation_sha256(found) == evaluation_sha256(scores(rows()))
    other = copy.deepcopy(found)
    other["rows"][0]["checkpoint"]["sha256"] = "1"
    for change in (other, found | {"rows": found["rows"][:1]}, found | {"absent": {}}, found | {"precision": "bf16"}):
        assert evaluation_sha256(change) != evaluation_sha256(found)
