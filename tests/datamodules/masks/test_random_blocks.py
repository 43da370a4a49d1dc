import pytest
import torch

from datamodules.masks.random_blocks import RandomBlocks
from datamodules.randomness import Draws


def masks(generator, height=128, width=128, count=64):
    return generator(Draws(0, 0, torch.arange(count), "mask"), height, width)[:, 0]


def test_several_squares_cover_up_to_a_quarter():
    share = masks(RandomBlocks()).mean((1, 2))
    assert share.max() <= 0.25 and share.min() >= 0.05  # Context Encoders, Sec. 3.3: up to 1/4
    assert 0.12 < share.mean() < 0.25


def test_without_overlap_the_area_is_a_sum_of_squares():
    mask = masks(RandomBlocks(count=[1, 1], side=[8, 8], min_ratio=0.001))
    assert (mask.sum((1, 2)) == 64).all()
    assert (mask.any(1).sum(1) == 8).all() and (mask.any(2).sum(1) == 8).all()


def test_more_squares_are_added_where_the_settings_ask_for_more_hole():
    share = masks(RandomBlocks(count=[1, 1], side=[0.1, 0.1], min_ratio=0.1, max_ratio=0.2)).mean((1, 2))
    assert share.min() >= 0.1 and share.max() <= 0.2


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="count must be"):
        RandomBlocks(count=[4, 3])
    with pytest.raises(ValueError, match="side must be two shares"):
        RandomBlocks(side=[0.1, 20])
    with pytest.raises(ValueError, match="hole shares need"):
        RandomBlocks(min_ratio=0.3)
