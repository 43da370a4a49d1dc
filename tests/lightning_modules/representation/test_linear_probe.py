import pytest
import torch
from tiny_checkpoints import colorizer
from torch.nn import functional as F
from toys import fit, one_step_each, synthetic

from lightning_modules.colorization.colorful import Colorful
from lightning_modules.pretrained.encoder import features
from lightning_modules.representation.linear_probe import LinearProbe

LAYERS = ["network.model1", "network.model4", "network.model8"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(colorizer(tmp_path_factory.mktemp("files") / "color.ckpt"))


@pytest.fixture(scope="module")
def batch():
    return next(synthetic(1, crop=32, batch_size=8).initial_batches())


def probe(checkpoint, batch, **settings):
    torch.manual_seed(0)
    module = LinearProbe(**{"checkpoint": checkpoint, "layers": LAYERS, "classes": 8, "features": 40} | settings)
    module.initialise([batch])
    return module


def test_each_layer_has_a_probe_of_the_size_of_its_features(checkpoint, batch):
    """By hand, width 2: model1 gives (2,16,16) -> 2 * 4 * 4 = 32; model4 (16,4,4) -> 16; model8 (313,8,8) -> 313."""
    module = probe(checkpoint, batch)
    assert module.recipe["sizes"] == [32, 16, 313]
    assert [tuple(each[1].weight.shape) for each in module.probes] == [(8, 32), (8, 16), (8, 313)]
    assert probe(checkpoint, batch, features=10_000).recipe["sizes"] == [512, 256, 313 * 25]


def test_a_step_moves_the_probes_and_nothing_of_the_encoder(checkpoint, batch):
    module = probe(checkpoint, batch)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    one_step_each(module, [batch] * 2)
    after = module.state_dict()
    for key, value in after.items():
        same = torch.equal(value, before[key])
        assert same == (not key.startswith("probes.")), key
    assert all(parameter.grad is None for parameter in module.encoder.parameters())


def test_batch_norm_of_the_encoder_does_not_drift(checkpoint, batch):
    """Its statistics are buffers, which need no gradient to move; they do in training mode."""
    module = probe(checkpoint, batch).train()
    assert module.probes[0][0].training and not any(layer.training for layer in module.encoder.modules())
    norm = module.encoder.network.model1[4]
    before = norm.running_mean.clone()
    module(batch)
    assert torch.equal(norm.running_mean, before)
    module.encoder.train()
    module.encoder.network.model1(torch.randn(2, 1, 16, 16))
    assert not torch.equal(norm.running_mean, before)


def test_the_loss_of_even_scores_is_the_logarithm_of_the_classes(checkpoint, batch):
    module = probe(checkpoint, batch)
    for each in module.probes:
        torch.nn.init.zeros_(each[1].weight)
        torch.nn.init.zeros_(each[1].bias)
    one_step_each(module, [batch])
    assert module.terms["train/g/network.model4"].item() == pytest.approx(torch.tensor(8.0).log().item())
    assert module.terms["train/g/total"].item() == pytest.approx(3 * torch.tensor(8.0).log().item())


def test_a_probe_is_linear_in_the_features(checkpoint, batch):
    module = probe(checkpoint, batch).eval()
    found = features(module.encoder, LAYERS, batch, 40)
    norm, linear = module.probes[1]
    standard = (found[LAYERS[1]] - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    assert torch.allclose(module(batch)[LAYERS[1]], F.linear(standard, linear.weight, linear.bias), atol=1e-5)


def test_the_gradient_of_a_probe_does_not_depend_on_its_company(checkpoint, batch):
    together, alone = probe(checkpoint, batch), probe(checkpoint, batch, layers=LAYERS[:1])
    alone.probes[0].load_state_dict(together.probes[0].state_dict())
    one_step_each(together, [batch] * 3)
    one_step_each(alone, [batch] * 3)
    assert torch.equal(together.probes[0][1].weight, alone.probes[0][1].weight)


def test_separable_features_are_told_apart_without_an_error(checkpoint, batch):
    """Label 0 is dark and label 1 bright: the mean of the first layer's maps is enough."""
    label = torch.tensor([0, 1] * 4)
    noise = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) / 4
    sorted_by_light = {"image": noise + 0.6 * label[:, None, None, None], "label": label}
    module = probe(checkpoint, sorted_by_light, layers=["network.model1"], classes=2, lr=0.05)
    one_step_each(module, [sorted_by_light] * 30)
    scores = module.eval().scores(sorted_by_light)
    assert scores["top1/network.model1"].mean() == 1 and scores["accuracy_trivial"].mean() == 0.5


def test_the_score_is_the_best_layers_and_says_so(checkpoint, batch):
    module = probe(checkpoint, batch)
    trainer = fit(module, synthetic(2, crop=32, batch_size=8, val_count=8), validate_every=2)
    seen = {name: value.item() for name, value in trainer.callback_metrics.items()}
    top1 = {layer: seen[f"val/top1/{layer}"] for layer in LAYERS}
    assert seen["val/accuracy"] == max(top1.values()) and seen["val/accuracy_trivial"] == pytest.approx(1 / 8)
    assert {f"val/top5/{layer}" for layer in LAYERS} <= seen.keys()
    best = max(top1, key=top1.get)
    assert module.headline.title == f"top-1 accuracy of {best}, the best of 3 layers on these images:"
    one = probe(checkpoint, batch, layers=[LAYERS[0]])
    fit(one, synthetic(2, crop=32, batch_size=8, val_count=8), validate_every=2)
    assert one.headline.title == "top-1 accuracy of network.model1"


def test_untrained_features_are_those_of_other_weights(checkpoint, batch):
    trained, untrained = (probe(checkpoint, batch, weights=weights) for weights in ("trained", "untrained"))
    assert isinstance(untrained.encoder, Colorful) and untrained.recipe == trained.recipe
    key = "network.model4.0.weight"
    assert not torch.equal(trained.encoder.state_dict()[key], untrained.encoder.state_dict()[key])


def test_layers_must_be_named_and_batches_have_two_images(checkpoint, batch):
    with pytest.raises(ValueError, match=r"give model.layers=\[NAME,...\]"):
        probe(checkpoint, batch, layers=[])
    with pytest.raises(ValueError, match="give data.batch_size=2 or more"):
        LinearProbe(classes=8).check({key: value[:1] for key, value in batch.items()})
