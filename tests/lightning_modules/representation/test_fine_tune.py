import pytest
import torch
from tiny_checkpoints import colorizer, feature_net
from torch import nn
from toys import one_step_each, synthetic

from lightning_modules.representation.fine_tune import FineTune, new_head

BLOCKS = [f"network.model{number}" for number in range(1, 9)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(colorizer(tmp_path_factory.mktemp("files") / "color.ckpt"))


@pytest.fixture(scope="module")
def batch():
    return next(synthetic(1, crop=32, batch_size=8).initial_batches())


def tuned(checkpoint, batch, **settings):
    torch.manual_seed(0)
    defaults = {"checkpoint": checkpoint, "layer": "network.model4", "classes": 8, "features": 64, "hidden": 8}
    module = FineTune(**defaults | settings)
    module.initialise([batch])
    return module


def moved(module, batch):
    """Blocks of the encoder of which a weight, and those of which a statistic of batch norm, changed in two steps."""
    before = {key: value.clone() for key, value in module.state_dict().items() if key != "_extra_state"}
    one_step_each(module, [batch] * 2)
    changed = [key for key, value in before.items() if not torch.equal(module.state_dict()[key], value)]
    blocks = {block: [key for key in changed if key.startswith(f"encoder.{block}.")] for block in BLOCKS}
    weights = [block for block, keys in blocks.items() if any(key.endswith("weight") for key in keys)]
    statistics = [block for block, keys in blocks.items() if any(key.endswith("running_mean") for key in keys)]
    assert any(key.startswith("head.") for key in changed)
    return weights, statistics


@pytest.mark.parametrize(
    ("train_from", "expected"), [(None, BLOCKS[:4]), ("network.model3", BLOCKS[2:4]), ("head", [])]
)
def test_layers_from_the_first_trained_one_up_to_the_last_kept_one_move(checkpoint, batch, train_from, expected):
    module = tuned(checkpoint, batch, train_from=train_from, lr=1.0)
    assert moved(module, batch) == (expected, expected)


def test_training_may_begin_within_a_block(checkpoint, batch):
    module = tuned(checkpoint, batch, train_from="network.model4.2")
    assert module.recipe["trained"] == [f"network.model4.{number}" for number in range(2, 7)]
    assert not module.encoder.network.model4[0].weight.requires_grad
    assert module.encoder.network.model4[2].weight.requires_grad


def test_only_trained_layers_are_in_training_mode(checkpoint, batch):
    module = tuned(checkpoint, batch, train_from="network.model4").train()
    assert module.head.training and module.encoder.network.model4[6].training
    assert not module.encoder.network.model3[6].training and not module.encoder.network.model5[6].training
    assert not any(layer.training for layer in module.eval().modules())


def test_the_new_layers_are_those_of_alexnet():
    """fc6, fc7, fc8 on 9216 features: 37,752,832 + 16,781,312 + 20 * 4096 + 20 = 54,616,084 numbers."""
    head = new_head(9216, 4096, 20)
    assert [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]
    assert sum(parameter.numel() for parameter in head.parameters()) == 54_616_084
    assert head[0].weight.std().item() == pytest.approx(0.01, rel=1e-2) and head[6].bias.unique().tolist() == [
        pytest.approx(0.1)
    ]
    assert [type(layer) for layer in new_head(6, 0, 3)] == [nn.Linear]


def test_a_feature_net_is_kept_up_to_pool5(tmp_path):
    batch = next(synthetic(1, crop=67, batch_size=4).initial_batches())
    path = str(feature_net(tmp_path / "features.ckpt"))
    module = tuned(path, batch, layer="network.encoder.pool5", features=10_000)
    assert module.recipe["size"] == 10  # 256 * 4 / 96 channels, even, at 1 x 1 for 67 pixels
    trained = {name.split(".")[-1] for name in module.recipe["trained"]}
    assert {"conv1", "conv5", "pool5"} <= trained and "across" not in trained
    one_step_each(module, [batch])


def test_the_rate_is_halved_every_so_many_iterations(checkpoint):
    module = FineTune(halve_every=10)
    assert [module.lr_factor(iteration) for iteration in (1, 10, 11, 20, 21)] == [1, 1, 0.5, 0.5, 0.25]


def test_a_few_steps_learn_the_batch(checkpoint, batch):
    module = tuned(checkpoint, batch, hidden=0, lr=0.03)
    one_step_each(module, [batch] * 40)
    scores = module.eval().scores(batch)
    assert scores["top1"].mean() > scores["accuracy_trivial"].mean() + 0.4


def test_settings_that_do_not_fit_are_refused(checkpoint, batch):
    with pytest.raises(ValueError, match="give model.layer=NAME, the last layer that is kept"):
        tuned(checkpoint, batch, layer=None)
    with pytest.raises(ValueError, match="'network.model6' does not run before the end of model.layer"):
        tuned(checkpoint, batch, train_from="network.model6")
    with pytest.raises(ValueError, match="no layer 'network.modle3' in Colorful; nearest"):
        tuned(checkpoint, batch, train_from="network.modle3")
    with pytest.raises(ValueError, match="model.hidden must be 0 or more, got -1"):
        FineTune(hidden=-1)
    with pytest.raises(ValueError, match="model.halve_every must be at least 1, got 0"):
        FineTune(halve_every=0)
