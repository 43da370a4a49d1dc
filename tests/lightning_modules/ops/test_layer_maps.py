import pytest
import torch
from torch import nn

from lightning_modules.ops.layer_maps import layer_maps, layer_named, layers_up_to, pooled, pooled_side


class Two(nn.Module):
    """Two layers and one that never runs; counts how often the last one has."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
        self.last = nn.Conv2d(2, 3, 1)
        self.idle = nn.Conv2d(1, 1, 1)
        self.calls = 0

    def forward(self, x):
        x = self.first(x)
        self.calls += 1
        return self.last(x)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Two()


IMAGES = torch.linspace(-1, 1, 2 * 4 * 4).view(2, 1, 4, 4)


def maps(network, names, run=None, rows=2):
    run = run or (lambda: network(IMAGES))
    return layer_maps(network, names, run, rows, reduce=lambda plane: plane.detach().clone())


def test_a_layer_gives_what_it_returns_before_the_next_one_changes_it_in_place(network):
    convolution = network.first[0]
    found = maps(network, ["first.0", "first"])
    assert torch.equal(found["first.0"], convolution(IMAGES)) and found["first.0"].min() < 0
    assert torch.equal(found["first"], convolution(IMAGES).relu())


def test_the_pass_ends_at_the_last_of_the_layers(network):
    maps(network, ["first.0", "first"])
    assert network.calls == 0
    maps(network, ["first", "last"])
    assert network.calls == 1


def test_no_hook_stays_behind(network):
    maps(network, ["first"])
    layers_up_to(network, "first", lambda: network(IMAGES), rows=2)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())


def test_images_may_come_one_at_a_time(network):
    def one_by_one():
        for image in IMAGES.split(1):
            network(image)

    assert torch.equal(maps(network, ["last"], one_by_one)["last"], network(IMAGES))


def test_of_a_layer_that_runs_twice_the_first_time_counts(network):
    def twice():
        network.last(network.first(IMAGES))
        network.last(network.first(IMAGES * 0))

    found = maps(network, ["first", "last"], twice)
    assert torch.equal(found["first"], network.first(IMAGES))


def test_a_linear_layer_on_maps_has_its_channels_last():
    layer = nn.Sequential(nn.Linear(3, 5))
    found = layer_maps(layer, ["0"], lambda: layer(torch.zeros(2, 6, 7, 3)), 2, reduce=lambda plane: plane)
    assert found["0"].shape == (2, 5, 6, 7)


@pytest.mark.parametrize(
    ("channels", "side", "grid"), [(96, 55, 10), (256, 27, 6), (384, 13, 5), (256, 6, 6), (512, 28, 4), (20_000, 9, 1)]
)
def test_the_grid_leaves_fewer_than_ten_thousand_numbers(channels, side, grid):
    """By hand: 96 * 10 * 10 = 9,600, with 11 * 11 it would be 11,616; 256 * 6 * 6 = 9,216; 384 * 5 * 5 = 9,600."""
    assert pooled_side(channels, side, side, 10_000) == grid
    assert pooled(torch.zeros(1, channels, side, side), 10_000).shape == (1, channels * grid**2)


def test_pooling_averages_and_leaves_vectors_alone():
    plane = torch.arange(16.0).view(1, 1, 4, 4)
    assert pooled(plane, 4).tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert pooled(torch.ones(2, 7), 4).shape == (2, 7)


def test_layers_are_listed_in_the_order_in_which_they_run(network):
    assert layers_up_to(network, "last", lambda: network(IMAGES), rows=2) == ["first.0", "first.1", "last"]
    assert layers_up_to(network, "first.0", lambda: network(IMAGES), rows=2) == ["first.0"]


def test_a_wrong_name_is_answered_with_the_nearest(network):
    assert layer_named(network, "first.0") is network.first[0]
    with pytest.raises(ValueError, match=r"no layer 'frist' in Two; nearest: first, ") as error:
        layer_named(network, "frist")
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="no layer ''"):
        layer_named(network, "")


def test_a_layer_that_gives_no_features_is_refused(network):
    with pytest.raises(ValueError, match="layer 'idle' ran for 0 of 2 images"):
        maps(network, ["idle"])
    flat = nn.Sequential(nn.Flatten(0))
    with pytest.raises(ValueError, match=r"layer '0' must give \(B,C,H,W\) or \(B,D\) to be features; it gives \[32\]"):
        maps(flat, ["0"], lambda: flat(IMAGES))
    recurrent = nn.Sequential(nn.LSTM(4, 2))
    with pytest.raises(ValueError, match="it gives tuple"):
        maps(recurrent, ["0"], lambda: recurrent(IMAGES[:, 0]))
