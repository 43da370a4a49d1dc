import pytest
import torch
from toys import fit, one_step_each, synthetic

from lightning_modules.color.yuv import rgb_to_yuv
from lightning_modules.ops.class_maps import UNLABELLED, colours
from lightning_modules.segmentation.scene_parser import SceneParser, SceneParserConfig, pixel_accuracy


def small(**overrides):
    torch.manual_seed(0)
    return SceneParser(**{"classes": 11, "first_label": 0, "width": 4, "lr": 3e-3} | overrides)


def loss_of(module, batch):
    seen = {}
    module.optimizers, module.update = lambda: None, lambda name, opt, loss, **terms: seen.update(loss=loss)
    module.training_step(batch, 0)
    return seen["loss"].item()


@pytest.fixture(scope="module")
def batch():
    return next(synthetic(1, crop=32, batch_size=8).initial_batches())


def test_accuracy_is_the_share_of_labelled_pixels_that_are_right():
    truth = torch.tensor([[[0, 1], [2, UNLABELLED]], [[UNLABELLED, UNLABELLED], [UNLABELLED, UNLABELLED]]])
    predicted = torch.tensor([[[0, 1], [1, 1]], [[0, 0], [0, 0]]])
    assert pixel_accuracy(predicted, truth).tolist() == pytest.approx([2 / 3, 0])


def test_only_luma_is_seen(batch):
    module = small().eval()
    grey = rgb_to_yuv(batch["image"])[:, :1].expand(-1, 3, -1, -1)
    difference = module(rgb_to_yuv(batch["image"])[:, :1]) - module(rgb_to_yuv(grey)[:, :1])
    assert difference.abs().max() < 1e-4


def test_the_trivial_answer_is_the_commonest_class_of_the_first_batches(batch):
    module = small().eval()
    module.initialise([batch])
    counts = torch.bincount(batch["semantic"].flatten().long(), minlength=11)
    assert module.commonest.item() == counts.argmax()
    trivial = module.scores(batch)["accuracy_trivial"]
    assert trivial.mean().item() == pytest.approx(counts.max().item() / counts.sum().item(), rel=1e-5)


def test_unlabelled_pixels_teach_nothing(batch):
    """Labels below first_label are unlabelled: changing what such a pixel is called changes no gradient."""
    void = batch["semantic"].masked_fill(batch["semantic"] == 0, 255)
    loss = loss_of(small(classes=10, first_label=1), batch)
    assert loss_of(small(classes=10, first_label=1), batch | {"semantic": void}) == loss > 0


def test_the_loss_of_even_scores_is_the_logarithm_of_the_classes(batch):
    module = small()
    for score in module.network.scores:
        torch.nn.init.zeros_(score.weight)
    assert loss_of(module, batch) == pytest.approx(torch.tensor(11.0).log().item(), rel=1e-5)


def test_panels_show_grey_prediction_and_truth(batch):
    module = small().eval()
    panels = module.panels(batch)
    assert list(panels) == ["grey input", "prediction", "truth"]
    assert all(panel.shape == batch["image"].shape for panel in panels.values())
    assert torch.equal(panels["truth"], colours(batch["semantic"].long()))
    assert torch.equal(panels["prediction"], module.answer(batch))


@pytest.mark.parametrize(("height", "width"), [(33, 50), (8, 100)])
def test_it_parses_any_size(height, width):
    assert small().eval().predict(torch.rand(1, 3, height, width)).shape == (1, height, width)


def test_a_few_steps_beat_the_trivial_answer(batch):
    module = small(width=8, lr=1e-2)
    module.initialise([batch])
    one_step_each(module, [batch] * 40)
    scores = module.eval().scores(batch)
    assert scores["accuracy"].mean() > scores["accuracy_trivial"].mean() + 0.2


def test_a_checkpoint_restores_the_module_with_its_trivial_answer(batch, tmp_path):
    module = small()
    module.initialise([batch])
    fit(module, synthetic(2, crop=32)).save_checkpoint(tmp_path / "last.ckpt")
    restored = SceneParser.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True).eval()
    assert restored.commonest == module.commonest
    assert torch.equal(restored.answer(batch), module.eval().answer(batch))


def test_data_without_class_maps_or_with_more_classes_is_refused(batch):
    with pytest.raises(ValueError, match="learns from class maps, which this data set has not"):
        small().check({"image": batch["image"]})
    few = batch["semantic"].clone()
    few[0, 0, 0] = 7
    with pytest.raises(ValueError, match="5 classes from label 0 on end at 4, but the data set has the label"):
        small(classes=5).check(batch | {"semantic": few})


def test_a_single_class_and_no_width_are_refused():
    with pytest.raises(ValueError, match="model.classes must be at least 2, got 1"):
        SceneParserConfig(classes=1)
    with pytest.raises(ValueError, match="model.width must be at least 1, got 0"):
        SceneParserConfig(width=0)
