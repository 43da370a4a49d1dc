import pytest
import torch

from datamodules.masks.centre import Centre
from datamodules.masks.mixture import Mixture
from datamodules.masks.rectangle import Rectangle
from datamodules.randomness import Draws
from experiments.compose import build

SQUARES = [Centre(side=2), Centre(side=4), Centre(side=6)]


def draws(count):
    return Draws(0, 0, torch.arange(count), "mask")


def parts_of(mixture, count):
    """Which of SQUARES each sample got, by its area."""
    return (mixture(draws(count), 16, 16).sum((1, 2, 3)).sqrt() / 2 - 1).long()


def test_parts_are_chosen_as_often_as_their_weights_say():
    share = parts_of(Mixture(parts=SQUARES, weights=[2, 1, 1]), 2000).bincount() / 2000
    assert share.tolist() == pytest.approx([0.5, 0.25, 0.25], abs=0.04)


def test_without_weights_all_parts_are_alike():
    share = parts_of(Mixture(parts=SQUARES), 2000).bincount() / 2000
    assert share.tolist() == pytest.approx([1 / 3] * 3, abs=0.04)


def test_a_part_of_weight_zero_is_never_chosen():
    assert set(parts_of(Mixture(parts=SQUARES, weights=[0, 1, 0]), 100).tolist()) == {1}


def test_a_part_draws_from_its_own_stream_for_the_samples_that_chose_it():
    rectangles = Rectangle(side=[3, 9])
    mask = Mixture(parts=[Centre(side=16), rectangles])(draws(50), 16, 16)
    chose = (mask.mean((1, 2, 3)) < 1).nonzero()[:, 0]
    assert 10 < len(chose) < 40
    assert torch.equal(mask[chose], rectangles(draws(50).fold("part 1"), 16, 16)[chose])


def test_a_configuration_builds_the_parts():
    part = {"_target_": "datamodules.masks.centre.Centre", "side": 4}
    settings = {"_target_": "datamodules.masks.mixture.Mixture", "parts": [part, part | {"side": 6}]}
    assert set(parts_of(build(settings, "masks"), 50).tolist()) == {1, 2}


@pytest.mark.parametrize("parts", [[], [{"side": 3}], [Centre(), "centre"]])
def test_parts_must_be_generators(parts):
    with pytest.raises(ValueError, match="parts must be mask generators, got .*each needs its `_target_`"):
        Mixture(parts=parts)


@pytest.mark.parametrize("weights", [[1], [1, 2, -1], [0, 0, 0]])
def test_weights_must_fit_the_parts(weights):
    with pytest.raises(ValueError, match="weights must be 3 numbers, one a part, none negative, not all 0"):
        Mixture(parts=SQUARES, weights=weights)
