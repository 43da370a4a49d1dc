import pytest
import torch

from lightning_modules.networks.fcn import FCN


def grey(height, width):
    return torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 50), (8, 100), (1, 1)])
def test_scores_have_the_size_of_the_image_whatever_that_is(height, width):
    assert FCN(7, width=4).eval()(grey(height, width)).shape == (2, 7, height, width)


def test_parameters_are_those_of_the_layers():
    """3x3 convolutions 1-w-w, w-2w-2w, 2w-4w-4w, 4w-8w-8w, two numbers of batch norm a channel, 1x1 scores."""
    w, classes = 8, 5
    convolutions = 9 * (w * (1 + w) + 2 * w * 3 * w + 4 * w * 6 * w + 8 * w * 12 * w)
    norms, scores = 2 * 2 * 15 * w, classes * (15 * w + 4)
    assert sum(p.numel() for p in FCN(classes, w).parameters()) == convolutions + norms + scores


def test_every_stride_adds_to_the_scores():
    network, image = FCN(3, width=4), grey(32, 32)  # training mode: by the statistics of this batch
    full = network(image)
    for score in network.scores:
        weight = score.weight.detach().clone()
        with torch.no_grad():
            score.weight.zero_()
            assert (network(image) - full).abs().max() > 1e-3
            score.weight.copy_(weight)


def test_every_parameter_gets_a_gradient():
    network = FCN(3, width=4)
    network(grey(32, 32)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
