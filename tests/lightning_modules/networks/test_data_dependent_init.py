"""Krähenbühl 2016: after the initialisation every channel of every layer is standardised over the batch."""

import pytest
import torch
from torch import nn

from lightning_modules.networks.data_dependent_init import data_dependent_init_


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(6),
        nn.Conv2d(6, 8, 3, padding=2, dilation=2),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 5, 1),
    )


def layers_of(network):
    return [m for m in network if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]


def batch():
    return torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 3 + 2


def outputs_of(network, layers, inputs):
    """What each layer gives in a plain forward pass, hooks of the initialisation long gone."""
    seen = []
    hooks = [layer.register_forward_hook(lambda m, i, o: seen.append(o.clone())) for layer in layers]
    with torch.no_grad():
        network.train()(inputs)
    for hook in hooks:
        hook.remove()
    return seen


def test_every_channel_has_mean_0_and_variance_1_in_a_later_forward_pass(network):
    layers = layers_of(network)
    data_dependent_init_(network, layers, batch())
    for output in outputs_of(network, layers, batch()):
        variance, mean = torch.var_mean(output, dim=(0, 2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
        torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-3, rtol=0)


def test_linear_layers_are_standardised_over_the_batch():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    inputs = torch.randn(32, 7, generator=torch.Generator().manual_seed(1)) * 4 + 1
    data_dependent_init_(network, [network[0], network[2]], inputs)
    output = network(inputs)
    assert output.std(0, correction=0).detach().numpy() == pytest.approx(1, abs=1e-4)


def test_layers_that_are_not_named_keep_their_weights(network):
    first, *_, last = layers_of(network)
    before = first.weight.clone()
    data_dependent_init_(network, [last], batch())
    assert torch.equal(first.weight, before)
    variance = outputs_of(network, [last], batch())[0].var(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-3, rtol=0)


def test_filters_keep_their_direction_and_only_change_in_scale(network):
    first = layers_of(network)[0]
    before = first.weight.detach().clone()
    data_dependent_init_(network, [first], batch())
    cosine = nn.functional.cosine_similarity(first.weight.flatten(1), before.flatten(1))
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_the_network_is_left_in_the_mode_it_was_in(network):
    network.eval()
    data_dependent_init_(network, layers_of(network), batch())
    assert not network.training and not any(m._forward_hooks for m in network)


def test_a_channel_that_is_constant_over_the_batch_stays_finite():
    layer = nn.Conv2d(1, 2, 1)
    data_dependent_init_(layer, [layer], torch.full((2, 1, 4, 4), 7.0))
    assert layer.weight.isfinite().all()
    assert layer(torch.full((1, 1, 1, 1), 7.0)).abs().max() < 1e-5


def test_deep_gaussian_weights_lose_the_signal_and_the_initialisation_keeps_it():
    """Twelve 3x3 layers of 16 channels with deviation 0.01 scale the signal by (0.01 * sqrt(144 / 2))^12 = 1e-13."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1 if n == 0 else 16, 16, 3, padding=1) for n in range(12)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
    network = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())])
    assert outputs_of(network, layers[-1:], batch())[0].std() < 1e-10
    data_dependent_init_(network, layers, batch())
    assert outputs_of(network, layers[-1:], batch())[0].std().item() == pytest.approx(1, abs=0.01)
