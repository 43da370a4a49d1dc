import numpy as np
import pytest
import torch

from lightning_modules.metrics.colorfulness import colorfulness


def test_colourfulness_of_red_beside_blue_by_hand():
    image = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).reshape(1, 3, 1, 2)
    # rg = 255, 0: mean and deviation 127.5. yb = 127.5, -255: mean -63.75, deviation 191.25.
    # 127.5 = 2 u and 191.25 = 3 u with u = 63.75, so M = u (sqrt(4 + 9) + 0.3 sqrt(4 + 1)) = 272.62.
    # With the magnitude of yb its mean and deviation change places: u (sqrt(4 + 1) + 0.3 sqrt(4 + 9)) = 211.5.
    assert colorfulness(image).item() == pytest.approx(272.62, abs=0.005)


def test_colourfulness_of_one_flat_colour_is_its_mean_alone():
    image = torch.tensor([0.6, 0.2, 0.4]).reshape(1, 3, 1, 1).expand(1, 3, 4, 4)  # rg = 102, yb = 0
    assert colorfulness(image).item() == pytest.approx(0.3 * 102, abs=1e-3)


def test_grey_has_no_colourfulness():
    grey = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).expand(2, 3, 8, 8)
    assert colorfulness(grey).abs().max() < 1e-4


def test_colourfulness_equals_the_formula_in_numpy():
    image = torch.rand(3, 3, 9, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for picture, value in zip(image.numpy(), colorfulness(image).tolist(), strict=True):
        red, green, blue = 255 * picture
        rg, yb = red - green, (red + green) / 2 - blue
        expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        assert value == pytest.approx(expected, rel=1e-12)
