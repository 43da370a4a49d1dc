import dataclasses
import hashlib
import math

import numpy as np
import pytest
import torch

from datamodules.errors import DataError
from datamodules.masks.rectangle import Rectangle
from datamodules.synthetic import Synthetic
from experiments.evaluation import scoring
from experiments.evaluation.candidates import Candidate, load_candidates
from experiments.evaluation.measurable import measurable
from experiments.evaluation.metrics import METRICS, ImageMetric, Picture
from experiments.evaluation.scoring import (
    Cost,
    Row,
    Scorer,
    packed_sha256,
    pixels_sha256,
    require_finite,
    seconds_per_image,
    set_scores,
)
from experiments.evaluation.statistics import means
from lightning_modules.metrics.auc import ab_auc
from lightning_modules.tasks import grey


class OneProcess:
    """What an evaluation asks of Fabric, for a rank of a world of its own."""

    def __init__(self, rank=0, world=1):
        self.global_rank, self.world_size, self.is_global_zero = rank, world, rank == 0

    def to_device(self, batch):
        return batch


def scenes(count=7, batch_size=3, masks=None):
    data = Synthetic(crop=32, test_count=count, batch_size=batch_size, workers=0, masks=masks)
    data.seed = 0
    return data


def holes():
    return scenes(masks=Rectangle())


def candidates(*names, data=None):
    loaded = load_candidates([f"baseline/{name}" for name in names])
    for candidate in loaded:
        candidate.data = data
    return loaded


def scored(names, data, metrics, **settings):
    """Rows of the test split."""
    rows, _ = scoring.score_split(
        OneProcess(), data, "test", Scorer(candidates(*names, data=data), metrics, **settings)
    )
    return rows


@pytest.mark.parametrize(("quantise", "level"), [(True, 64), (False, 63.75)])
def test_a_score_is_of_the_picture_as_it_would_be_saved(quantise, level):
    scorer = Scorer(candidates("grey"), ["psnr"], quantise=quantise)
    quarter = torch.full((1, 3, 2, 2), 0.25)  # 63.75 of 255
    assert 255 * scorer.picture(quarter).rgb.unique().item() == pytest.approx(level, abs=1e-12)


def free_metrics(task):
    """Those that need no network, no label and no large image."""
    return [
        name
        for name, metric in METRICS[task].items()
        if isinstance(metric, ImageMetric) and metric.network is None and not metric.needs and metric.smallest < 32
    ]


@pytest.mark.parametrize(("task", "baseline"), [("colorization", "grey"), ("inpainting", "mean_fill")])
def test_every_metric_of_a_task_gives_one_finite_value_an_image(task, baseline):
    rows = scored([baseline], scenes() if task == "colorization" else holes(), free_metrics(task))
    assert [row.index for row in rows] == list(range(7))
    assert all(list(row.scores[f"baseline/{baseline}"]) == free_metrics(task) for row in rows)
    require_finite(rows, [str(row.index) for row in rows])


@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_of_several_ranks_are_the_rows_of_one(monkeypatch, world):
    scorer = Scorer(candidates("mean_fill"), free_metrics("inpainting"))
    alone, _ = scoring.score_split(OneProcess(), holes(), "test", scorer)
    shares = []

    def gather(share):  # the first rank, which comes last here, sees what all have gathered
        shares.append(share)
        return shares if len(shares) == world else None

    monkeypatch.setattr(scoring, "gather_to_first", gather)
    for rank in reversed(range(1, world)):
        assert scoring.score_split(OneProcess(rank, world), holes(), "test", scorer) is None
    rows, costs = scoring.score_split(OneProcess(0, world), holes(), "test", scorer)
    assert rows == alone and len(costs["baseline/mean_fill"]) == world


def test_a_failure_of_one_rank_is_raised_on_every_rank(monkeypatch):
    monkeypatch.setattr(scoring, "gather_objects", lambda failure: [failure, "b.png: image file is truncated"])
    with pytest.raises(DataError, match="b.png: image file is truncated"):
        scored(["grey"], scenes(), ["psnr"])


def test_an_answer_that_is_no_number_is_named_with_its_image():
    data = scenes()
    scorer = Scorer(candidates("grey", data=data), ["ab_error"])

    def broken(batch, data):
        return torch.where(batch["index"][:, None, None, None] == 4, torch.nan, batch["image"])

    scorer.candidates[0].baseline = dataclasses.replace(scorer.candidates[0].baseline, answer=broken)
    name = data.dataset("test").source.name(4)
    with pytest.raises(DataError, match=f"{name}: the answer of baseline/grey has values that are no numbers"):
        scoring.score_split(OneProcess(), data, "test", scorer)


def test_the_rebalanced_mean_counts_every_pixel_of_the_data_set_by_its_rarity():
    data = scenes()
    found = means(scored(["grey"], data, ["auc", "auc_rebalanced"]))["baseline/grey"]
    dataset = data.dataset("test")
    images = torch.cat([dataset[0, position]["image"] for position in range(7)], dim=1)  # one picture, (3,7*32,32)
    true = Picture(images[None].double() / 255)
    pred = Scorer(candidates("grey"), ["auc"]).picture(grey(true.rgb.float()))
    assert found["auc_rebalanced"].value == pytest.approx(100 * ab_auc(pred.ab, true.ab, true.rarity).item(), rel=1e-6)
    assert found["auc"].value == pytest.approx(100 * ab_auc(pred.ab, true.ab).item(), rel=1e-6)
    assert abs(found["auc"].value - found["auc_rebalanced"].value) > 1


def test_a_counted_prior_weighs_the_rebalanced_score():
    data, uniform = scenes(), torch.full((313,), 1 / 313)
    plain, alike = (
        means(scored(["grey"], data, ["auc", "auc_rebalanced"], prior=prior))["baseline/grey"]
        for prior in (None, uniform)
    )
    assert alike["auc_rebalanced"].value == pytest.approx(plain["auc"].value, rel=1e-9)  # no colour is rare
    assert plain["auc_rebalanced"].value < plain["auc"].value - 1


def test_set_scores_are_of_the_features_of_all_images_in_the_order_of_the_index():
    class Network(torch.nn.Module):
        def forward(self, image):
            return image.float().flatten(1)[:, ::700] / 255

    rows = scored(["grey", "truth"], scenes(), ["fid"], networks={"inception": Network()})
    found = set_scores(rows, {"fid": METRICS["colorization"]["fid"], "psnr": METRICS["colorization"]["psnr"]})
    assert found["baseline/truth"] == {"fid": pytest.approx(0, abs=1e-9)}
    real, fake = (np.stack([row.features[name] for row in rows]).astype(float) for name in ("", "baseline/grey"))
    a, b = np.cov(real.T), np.cov(fake.T)
    root = np.sqrt(np.clip(np.linalg.eigvals(a @ b).real, 0, None)).sum()
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * root
    assert found["baseline/grey"]["fid"] == pytest.approx(expected, rel=1e-5) and expected > 0.01
    assert set_scores(rows, {"psnr": METRICS["colorization"]["psnr"]}) == {}


def test_time_is_of_the_images_that_counted_and_memory_the_most_of_any_batch():
    first, second = Cost(), Cost()
    for images, seconds, peak in [(4, 2.0, 7), (2, 1.0, 5)]:
        first.add(images, seconds, peak)
    second.add(4, 7.0, None)
    assert (seconds_per_image([first]), seconds_per_image([first, second]), first.peak_bytes) == (0.5, 1.0, 7)


def test_the_first_answer_is_not_timed(monkeypatch):
    data, times = scenes(count=2), iter(range(100))
    scorer = Scorer(candidates("grey", data=data), ["psnr"])
    answers = []

    def counted(batch, data):
        answers.append(len(batch["image"]))
        return batch["image"]

    scorer.candidates[0].baseline = dataclasses.replace(scorer.candidates[0].baseline, answer=counted)
    monkeypatch.setattr(scoring.time, "perf_counter", lambda: next(times))
    _, costs = scoring.score_split(OneProcess(), data, "test", scorer)
    assert answers == [2, 2] and costs["baseline/grey"] == [Cost(images=2, seconds=1, peak_bytes=None)]


def test_a_metric_that_a_candidate_has_not_is_left_out_of_its_row():
    data, config = scenes(), {"protocol": {"metrics": ["psnr", "scene_top1"], "prior": None}, "networks": {}}
    found = measurable(config, candidates("grey"), data.dataset("test"))
    assert found.metrics == ["psnr"]
    rows = scored(["grey"], data, ["psnr", "scene_top1"])
    assert list(rows[0].scores["baseline/grey"]) == ["psnr"]


def row(index=0, ratio=0.5, value=1.0, **weights):
    return Row(
        index=index,
        pixels_sha256=b"",
        mask_sha256=b"",
        hole_ratio=ratio,
        scores={"x": {"psnr_hole": value}},
        weights=weights,
    )


def test_a_score_that_is_no_number_is_named():
    with pytest.raises(DataError, match="b.png: psnr_hole of x is nan; the image has no hole"):
        require_finite([row(), row(ratio=0.0, value=math.nan)], ["a.png", "b.png"])
    with pytest.raises(DataError, match="a.png: psnr_hole of x is inf$"):
        require_finite([row(value=math.inf)], ["a.png"])


def test_a_masks_hash_is_of_its_packed_bits():
    mask = torch.zeros(1, 3, 4)
    mask[0, 0, 1] = mask[0, 2, 3] = 1  # 0100 0000 0001 and four bits of padding
    assert packed_sha256(mask) == hashlib.sha256(bytes([0b01000000, 0b00010000])).digest()
    assert np.packbits([0, 1]).tobytes() == bytes([0b01000000])


def test_the_hash_of_an_images_pixels_is_that_of_the_file_in_batches_of_any_size():
    data = scenes()
    image = data.dataset("test")[0, 4]["image"]
    expected = hashlib.sha256(image.numpy().tobytes()).digest()
    assert pixels_sha256(image) == expected
    for size in (1, 7):
        rows = scored(["grey"], scenes(batch_size=size), ["psnr"])
        assert rows[4].pixels_sha256 == expected and len({row.pixels_sha256 for row in rows}) == 7


class Namer(torch.nn.Module):
    """Names scenes by its weight, and keeps the types that it worked in."""

    names_scenes = True

    def __init__(self):
        super().__init__()
        self.linear, self.types = torch.nn.Linear(8, 8), []

    def answer(self, batch):
        return batch["image"]

    def scene_probabilities(self, batch):
        scores = self.linear(torch.ones(len(batch["image"]), 8))
        self.types.append(scores.dtype)
        return scores.softmax(1)


def test_scenes_are_named_in_the_precision_of_the_answers_and_only_where_a_metric_asks():
    module = Namer()
    for metrics in (["psnr"], ["psnr", "scene_top1"]):
        scorer = Scorer(
            [Candidate(name="a.ckpt", task="colorization", module=module)],
            metrics,
            precision=lambda: torch.autocast("cpu", torch.bfloat16),
        )
        rows, _ = scoring.score_split(OneProcess(), scenes(), "test", scorer)
        assert list(rows[0].scores["a.ckpt"]) == metrics
    assert module.types == 3 * [torch.bfloat16]  # of the second evaluation's batches


@pytest.mark.gpu
def test_the_memory_of_a_candidate_is_its_own_beside_others():
    class Large(torch.nn.Module):
        names_scenes = False

        def __init__(self, size):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(size << 20))  # 4 bytes each

        def answer(self, batch):
            taken = torch.zeros(self.weight.numel() // 2, device=self.weight.device)
            return batch["image"] + taken[0]

    class Fabric(OneProcess):
        def to_device(self, batch):
            return {key: value.cuda() for key, value in batch.items()}

    small, large = (Candidate(name=f"{s}", task="colorization", module=Large(s).cuda()) for s in (8, 64))
    peaks = []
    for of in ([small], [large, small]):
        _, costs = scoring.score_split(Fabric(), scenes(), "test", Scorer(of, ["psnr"]))
        peaks.append(costs["8"][0].peak_bytes)
    assert peaks[0] == peaks[1] and 48 << 20 <= peaks[0] < 50 << 20  # 32 MiB of weights, 16 beside them
