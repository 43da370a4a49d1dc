import pytest
import torch

from experiments.evaluation.metrics import METRICS, Picture


def pictures(count=2, side=32):
    generator = torch.Generator().manual_seed(0)
    truth, answer = (torch.rand(count, 3, side, side, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.zeros(count, 1, side, side, dtype=torch.float64)
    mask[..., 8:24, 8:24] = 1
    return answer, truth, mask


@pytest.mark.parametrize(("task", "metric"), [(task, metric) for task, of in METRICS.items() for metric in of])
def test_a_metric_has_what_a_table_needs(task, metric):
    about = METRICS[task][metric]
    assert about.title and about.better in ("higher", "lower", None) and about.digits >= 0


def test_scores_in_per_cent_are_100_times_the_share():
    answer, truth, mask = pictures()
    score = METRICS["inpainting"]["l1_hole"].score(Picture(answer), Picture(truth, mask=mask))
    assert score.tolist() == pytest.approx((100 * (answer - truth).abs()[..., 8:24, 8:24].mean((1, 2, 3))).tolist())


def test_edges_count_in_the_hole_alone_where_there_is_one():
    _, truth, mask = pictures(side=64)
    recall = METRICS["inpainting"]["edge_recall"].score
    assert recall(Picture(truth), Picture(truth, mask=mask)).tolist() == [100, 100]
    flat = truth * (1 - mask) + 0.5 * mask  # no texture in the hole, untouched outside
    inside, whole = recall(Picture(flat), Picture(truth, mask=mask)), recall(Picture(flat), Picture(truth))
    assert (inside < 50).all() and (whole > 80).all()


def test_how_far_colourfulness_is_off_has_no_sign():
    answer, truth, _ = pictures()
    off = METRICS["colorization"]["colorfulness_difference"].score
    assert torch.equal(off(Picture(answer), Picture(truth)), off(Picture(truth), Picture(answer)))
    assert off(Picture(truth), Picture(truth)).tolist() == [0, 0]


def test_scenes_and_objects_are_right_where_the_label_leads():
    classes, label = torch.tensor([[2, 0, 1], [1, 2, 0]]), torch.tensor([2, 0])
    answer = Picture(torch.zeros(2, 3, 4, 4), classes=classes)
    true = Picture(torch.zeros(2, 3, 4, 4), label=label)
    assert METRICS["colorization"]["scene_top1"].score(answer, true).tolist() == [100, 0]
    network = {"vgg16": lambda image: torch.tensor([[5, 2], [0, 7]])}
    seen = Picture(torch.zeros(2, 3, 4, 4), networks=network)
    assert METRICS["colorization"]["vgg_top1"].score(seen, true).tolist() == [0, 100]
    assert METRICS["colorization"]["vgg_same_class"].score(seen, seen).tolist() == [100, 100]
