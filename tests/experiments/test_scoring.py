import hashlib
import math

import numpy as np
import pytest
import torch

from datamodules.errors import DataError
from datamodules.masks.rectangle import Rectangle
from datamodules.synthetic import Synthetic
from experiments import scoring
from experiments.candidates import load_candidates
from experiments.scoring import METRICS, Picture, Row, Scorer, as_saved, means, packed_sha256, require_finite
from lightning_modules.metrics.auc import ab_auc


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


def test_a_score_is_of_the_picture_as_it_would_be_saved():
    image = torch.tensor([-0.2, 0.0, 0.5, 100.4 / 255, 100.6 / 255, 1.3], dtype=torch.float64)
    assert (as_saved(image) * 255).tolist() == pytest.approx([0, 0, 128, 100, 101, 255], abs=1e-12)
    quarter = torch.full((1, 3, 2, 2), 0.25)  # 63.75 of 255
    for quantise, level in {True: 64, False: 63.75}.items():
        scorer = Scorer(load_candidates(["baseline/grey"]), ["psnr"], quantise=quantise)
        assert 255 * scorer.picture(quarter).rgb.unique().item() == pytest.approx(level, abs=1e-12)


def test_every_metric_of_a_task_gives_one_finite_value_an_image():
    for task, baseline, data in [("colorization", "grey", scenes()), ("inpainting", "mean_fill", holes())]:
        scorer = Scorer(load_candidates([f"baseline/{baseline}"]), METRICS[task])
        rows = scoring.score_split(OneProcess(), data, "test", scorer)
        assert [row.index for row in rows] == list(range(7))
        assert all(row.scores[f"baseline/{baseline}"].keys() == METRICS[task].keys() for row in rows)
        require_finite(rows, [str(row.index) for row in rows])


@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_of_several_ranks_are_the_rows_of_one(monkeypatch, world):
    scorer = Scorer(load_candidates(["baseline/mean_fill"]), METRICS["inpainting"])
    alone = scoring.score_split(OneProcess(), holes(), "test", scorer)
    shares = []

    def gather(share):  # the last rank sees what all have gathered
        shares.append(share)
        return shares

    monkeypatch.setattr(scoring, "gather_objects", gather)
    for rank in range(world - 1):
        with pytest.raises(AssertionError):  # a share alone is not the whole split
            scoring.score_split(OneProcess(rank, world), holes(), "test", scorer)
    assert scoring.score_split(OneProcess(world - 1, world), holes(), "test", scorer) == alone


def test_a_failure_of_one_rank_is_raised_on_every_rank(monkeypatch):
    monkeypatch.setattr(scoring, "gather_objects", lambda share: [share, ([], "b.png: image file is truncated")])
    scorer = Scorer(load_candidates(["baseline/grey"]), ["psnr"])
    with pytest.raises(DataError, match="b.png: image file is truncated"):
        scoring.score_split(OneProcess(), scenes(), "test", scorer)


def test_the_rebalanced_mean_counts_every_pixel_of_the_data_set_by_its_rarity():
    data = scenes()
    scorer = Scorer(load_candidates(["baseline/grey"]), ["auc", "auc_rebalanced"])
    found = means(scoring.score_split(OneProcess(), data, "test", scorer))["baseline/grey"]
    dataset = data.dataset("test")
    images = torch.cat([dataset[0, position]["image"] for position in range(7)], dim=1)  # one picture, (3,7*32,32)
    true = Picture(images[None].double() / 255)
    pred = scorer.picture(scorer.candidates[0].answer(true.rgb.float()))
    assert found["auc_rebalanced"] == pytest.approx(100 * ab_auc(pred.ab, true.ab, true.rarity).item(), rel=1e-6)
    assert found["auc"] == pytest.approx(100 * ab_auc(pred.ab, true.ab).item(), rel=1e-6)
    assert abs(found["auc"] - found["auc_rebalanced"]) > 1


def row(index=0, ratio=0.5, value=1.0, **weights):
    return Row(index=index, mask_sha256=b"", hole_ratio=ratio, scores={"x": {"psnr_hole": value}}, weights=weights)


def test_means_do_not_round_on_the_way():
    values = [1e16, 1.0, -1e16, 1.0]  # added up one by one in float64: 1
    assert means([row(value=value) for value in values]) == {"x": {"psnr_hole": 0.5}}
    assert means([row(value=1.0, psnr_hole=3.0), row(value=5.0, psnr_hole=1.0)]) == {"x": {"psnr_hole": 2.0}}


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
