"""Mask generators with random settings, sizes and seeds: 0 and 1, the same again, within the bounds they are given."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.masks.centre import Centre
from datamodules.masks.free_form import FreeForm
from datamodules.masks.random_blocks import RandomBlocks
from datamodules.masks.random_region import RandomRegion
from datamodules.masks.rectangle import Rectangle
from datamodules.masks.scratches import Scratches
from datamodules.masks.text_overlay import TextOverlay
from datamodules.randomness import Draws

RANDOM = settings(max_examples=40, deadline=None, derandomize=True)
SIDES = st.integers(24, 80)


def drawn(generator, height, width, seed, index=(3, 8)):
    return generator(Draws(seed, 0, torch.tensor(index), "mask"), height, width)


@RANDOM
@given(
    st.sampled_from([Centre, FreeForm, RandomBlocks, RandomRegion, Rectangle, Scratches, TextOverlay]),
    SIDES,
    SIDES,
    st.integers(0, 2**31),
)
def test_a_mask_is_0_and_1_the_same_again_and_leaves_something_to_see(kind, height, width, seed):
    mask = drawn(kind(), height, width, seed)
    assert mask.shape == (2, 1, height, width) and set(mask.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(mask, drawn(kind(), height, width, seed))
    assert torch.equal(mask[1:], drawn(kind(), height, width, seed, index=(8,)))
    assert (mask.mean((1, 2, 3)) < 1).all()


@RANDOM
@given(st.floats(0.05, 0.4), st.floats(0.02, 0.2), st.integers(32, 80), st.integers(0, 2**31))
def test_the_area_lies_within_the_bounds(least, room, side, seed):
    mask = drawn(FreeForm(min_ratio=least, max_ratio=least + room), side, side, seed)
    share = mask.mean((1, 2, 3))
    assert (share >= least - 1e-6).all() and (share <= least + room + 1e-6).all()
