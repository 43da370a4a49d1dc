import pytest
import torch

from experiments.evaluation.answers import example, page_of, picked_by, shown
from experiments.evaluation.scoring import Row, Scorer, score_split
from experiments.evaluation.setup import prepare
from lightning_modules.tasks import grey


class OneProcess:
    global_rank, world_size, is_global_zero = 0, 1, True

    def to_device(self, batch):
        return batch

    def autocast(self):
        return torch.no_grad()


@pytest.fixture(scope="module")
def setup():
    scenes = ["data=synthetic", "data.crop=32", "data.workers=0", "data.test_count=6", "data.batch_size=6"]
    return prepare(["checkpoint=baseline/mean_fill", *scenes, "masks@data.masks=rectangle", "examples=2"])


def test_an_example_is_answered_as_it_was_scored(setup):
    rows, _ = score_split(OneProcess(), setup.data, "test", Scorer(setup.candidates, ["l1"]))
    found = example(setup, rows[3], "name", "best", OneProcess())
    for candidate, answer in found.answers.items():
        error = (answer.double() - found.pictures["truth"].double()).abs().mean().item() / 255
        assert 100 * error == pytest.approx(rows[3].scores[candidate]["l1"], rel=1e-9)
    assert found.pictures["mask"].float().mean().item() / 255 == pytest.approx(found.hole_ratio)


def test_what_is_shown_of_a_hole_is_white_and_of_a_colour_photograph_its_grey():
    image, mask = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 1, 4, 4)
    mask[..., 1:3, 1:3] = 1
    pictures = shown({"image": image, "mask": mask})
    assert (pictures["input"][:, 1:3, 1:3] == 255).all()
    assert torch.equal(pictures["input"][:, 0], pictures["truth"][:, 0])
    assert torch.equal(shown({"image": image})["input"], (grey(image)[0] * 255).round().to(torch.uint8))


def test_the_examples_of_a_page_are_picked_by_the_first_metric_of_the_first_candidate(setup):
    names = [candidate.name for candidate in setup.candidates]
    rows = [
        Row(
            index=at,
            pixels_sha256=b"",
            mask_sha256=b"",
            hole_ratio=0.2,
            weights={},
            scores={name: {"psnr": 20.0 + at} for name in names},
        )
        for at in range(6)
    ]
    about = {"title": "PSNR", "unit": "dB", "better": "higher", "digits": 2, "over": "images"}
    mean = {"value": 1.0, "low": None, "high": None}
    cost = {"seconds_per_image": 0.1, "peak_memory_bytes": None}
    record = {
        "protocol": {
            "name": "p", "task": "inpainting", "data": "synthetic", "split": "test", "count": 6, "seed": 0,
            "rule": {"resize": None, "squash": False, "crop": 32, "limit": None},
            "masks": None, "networks": {}, "images_sha256": "0", "masks_sha256": "0", "quantise": True,
            "decoder": {}, "psnr_cap": 60.0, "prior": None,
        },
        "protocol_sha256": "0", "metrics": {"psnr": about}, "absent": {}, "buckets": [], "comparisons": [],
        "rows": [{"name": name, "checkpoint": None, "means": {"psnr": mean}, "cost": cost} for name in names],
        "command": ["chromafill"], "precision": "32-true", "batch_size": 6, "commit": None, "clean": False,
        "versions": {},
    }  # fmt: skip
    text = page_of(record, setup, rows, [f"image_{at}.png" for at in range(6)], OneProcess())
    assert text.index("image_0.png") < text.index("image_2.png") < text.index("image_5.png")


def test_examples_are_picked_by_a_score_that_the_first_candidate_has():
    metrics = {"fid": {"over": "set"}, "scene_top1": {"over": "images"}, "psnr": {"over": "images"}}
    rows = [{"means": {"fid": {}, "psnr": {}}}, {"means": {"fid": {}, "scene_top1": {}, "psnr": {}}}]
    assert picked_by({"metrics": metrics, "rows": rows}) == "psnr"
    assert picked_by({"metrics": metrics, "rows": rows[::-1]}) == "scene_top1"
    assert picked_by({"metrics": {"fid": metrics["fid"]}, "rows": rows}) is None
