import pytest
import torch
from torch import nn

from lightning_modules.networks.he_init import he_init_


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Conv2d(32, 64, 3, padding=1), 32 * 9),
        (nn.Conv2d(32, 64, 3, padding=1, groups=2), 16 * 9),
        (nn.ConvTranspose2d(64, 64, 4, stride=2, padding=1), 64 * 16 / 4),
    ],
)
def test_weights_keep_the_variance_of_what_a_relu_passes_on(layer, fan_in):
    torch.manual_seed(0)
    he_init_([layer])
    assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
    assert layer.bias.abs().max() == 0
    passed_on = torch.randn(4, layer.in_channels, 32, 32).relu()  # second moment 1/2
    assert layer(passed_on)[..., 4:-4, 4:-4].var().item() == pytest.approx(1.0, rel=0.15)
