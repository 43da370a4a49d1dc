from pathlib import Path

import pytest
import torch
import torchmetrics
import torchvision
from torch.nn import functional as F

from lightning_modules.metrics.lpips import LPIPS

SHIPPED = Path(torchmetrics.__file__).parent / "functional/image/lpips_models"
LAYERS = {"alexnet": ("alex", (1, 4, 7, 9, 11)), "vgg16": ("vgg", (3, 8, 15, 22, 29))}  # ReLUs that are compared


class Convolutions(torch.nn.Module):
    """What LPIPS takes of torchvision's VGG-16, without the 124 million weights of its classifier."""

    def __init__(self):
        super().__init__()
        self.features = torchvision.models.vgg16(weights=None, init_weights=False).features


@pytest.fixture(scope="module")
def backbones():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {"alexnet": torchvision.models.alexnet(weights=None), "vgg16": Convolutions()}


@pytest.fixture(scope="module")
def pair():
    """(prediction, image), (2,3,64,80) in [0,1]."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 64, 80, generator=generator)
    return (image + 0.2 * torch.randn(image.shape, generator=generator)).clamp(0, 1), image


def by_definition(name, backbone, pred, image):
    """Eq. 1 for one pair, with the shift and scale of the official ScalingLayer on pictures in [-1,1]."""
    net, layers = LAYERS[name]
    weights = torch.load(SHIPPED / f"{net}.pth", map_location="cpu", weights_only=True)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    features = [((2 * x - 1 - shift[:, None, None]) / scale[:, None, None])[None] for x in (pred, image)]
    distance = 0.0
    for place, layer in enumerate(backbone.features):
        features = [layer(x) for x in features]
        if place in layers:
            unit = [F.normalize(x, dim=1) for x in features]
            channel = weights[f"lin{layers.index(place)}.model.1.weight"]
            distance += ((unit[0] - unit[1]) ** 2 * channel).sum(1).mean().item()
    return distance


@pytest.mark.parametrize("name", LAYERS)
def test_lpips_is_the_weighted_distance_of_normalised_features(backbones, pair, name):
    with torch.inference_mode():
        distance = LPIPS(backbones[name])(*pair)
        expected = [by_definition(name, backbones[name], p, i) for p, i in zip(*pair, strict=True)]
    assert distance.shape == (2,)
    assert distance.tolist() == pytest.approx(expected, rel=1e-4)  # theirs adds 1e-8 below the root of the norm


def test_the_same_picture_has_no_distance(backbones, pair):
    _, image = pair
    assert LPIPS(backbones["alexnet"])(image[:1], image[:1]).tolist() == [0]


def test_lpips_stays_in_evaluation_mode_and_has_no_gradients(backbones):
    metric = LPIPS(backbones["alexnet"]).train()
    assert not any(layer.training for layer in metric.distance.modules())
    assert not any(weight.requires_grad for weight in metric.parameters())


@pytest.mark.parametrize(("name", "side"), [("alexnet", 31), ("vgg16", 16)])
def test_a_picture_too_small_for_the_network_is_refused(backbones, name, side):
    metric = LPIPS(backbones[name])
    assert metric(torch.zeros(1, 3, side, side), torch.ones(1, 3, side, side)).shape == (1,)
    with pytest.raises(ValueError, match=f"at least {side} x {side} pixels"):
        metric(torch.zeros(1, 3, side - 1, 64), torch.zeros(1, 3, side - 1, 64))
