import pytest
import torch

from datamodules.masks.centre import Centre
from datamodules.masks.free_form import FreeForm
from datamodules.masks.inset import Inset
from datamodules.randomness import Draws


def draws(count=8):
    index = torch.arange(count)
    return Draws(0, torch.zeros_like(index), index, "mask")


def test_holes_keep_50_of_512_pixels_from_every_border():
    mask = Inset(part=FreeForm(min_ratio=0.7, max_ratio=0.9))(draws(), 256, 320)  # 25 px
    inner = mask[..., 25:-25, 25:-25]
    assert mask.shape == (8, 1, 256, 320) and mask.sum() == inner.sum()
    assert (inner[..., 0, :].sum() + inner[..., -1, :].sum() + inner[..., 0].sum() + inner[..., -1].sum()) > 0
    assert ((inner.mean((1, 2, 3)) >= 0.7) & (inner.mean((1, 2, 3)) <= 0.9)).all()


def test_a_margin_may_be_in_pixels():
    mask = Inset(part=Centre(side=1.0), margin=3)(draws(1), 10, 12)
    assert mask[0, 0].nonzero().amin(0).tolist() == [3, 4] and mask.sum() == 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"part": "free_form"}, "part must be a mask generator"), ({"part": Centre(), "margin": -1}, "margin must be 0")],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Inset(**settings)


def test_a_margin_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="a margin of 5 px leaves nothing of 10 x 12"):
        Inset(part=Centre(), margin=5)(draws(1), 10, 12)
