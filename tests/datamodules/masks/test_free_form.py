import pytest
import torch

from datamodules.masks.free_form import FreeForm
from datamodules.randomness import Draws


def draws(count):
    return Draws(0, 0, torch.arange(count), "mask")


@pytest.mark.parametrize("low, high", [(0.01, 0.1), (0.1, 0.2), (0.3, 0.4), (0.5, 0.6)])
def test_masks_fill_a_bucket_of_hole_shares(low, high):
    share = FreeForm(min_ratio=low, max_ratio=high)(draws(64), 64, 64).mean((1, 2, 3))
    assert share.min() >= low and share.max() <= high
    assert share.max() - share.min() > 0.6 * (high - low)  # the bucket is used, not only its ends


def test_the_brush_stays_inside_the_image():
    generator = FreeForm(length=[1.5, 300])
    path = generator.path(draws(20), 4, 64, 96)
    assert path.shape == (20, 4, generator.vertices[1] + 1, 2)
    assert path.min() >= 0 and path[..., 0].max() <= 96 and path[..., 1].max() <= 64


def test_parts_have_the_lengths_asked_for_and_zigzag():
    generator = FreeForm(length=[4, 6], vertices=[6, 6], angle=80, spread=0)
    path = generator.path(draws(50), 1, 512, 512)[:, 0]
    ahead = path.diff(dim=1)  # (B,P,2)
    turned_back = ((path < 8) | (path > 504)).flatten(1).any(1)  # strokes that met the border
    ahead = ahead[~turned_back]
    assert len(ahead) > 30
    assert ahead.norm(dim=-1).min() > 3.99 and ahead.norm(dim=-1).max() < 6.01
    across = ahead[:, :, 0] * ahead.roll(1, dims=1)[:, :, 1] - ahead[:, :, 1] * ahead.roll(1, dims=1)[:, :, 0]
    assert (across[:, 1:].sign().diff(dim=1).abs() == 2).all()  # left and right turns take turns


def test_a_stroke_is_as_wide_as_its_brush():
    mask = FreeForm(strokes=[1, 1], vertices=[1, 1], width=[9, 9], length=[60, 60], min_ratio=0)(draws(16), 128, 128)
    small, large = (-torch.nn.functional.max_pool2d(-mask, side, stride=1) for side in (5, 11))
    assert small.amax((1, 2, 3)).min() == 1  # a 5 x 5 square fits into it, whatever its direction
    assert large.max() == 0  # one of 11 x 11 does not


def test_thin_brushes_cover_less():
    thin = FreeForm(width=[0.02, 0.02], min_ratio=0, max_ratio=1)(draws(32), 64, 64).mean()
    thick = FreeForm(width=[0.15, 0.15], min_ratio=0, max_ratio=1)(draws(32), 64, 64).mean()
    assert 0 < thin < 0.4 * thick


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"strokes": [0, 3]}, "strokes must be"),
        ({"vertices": [0, 3]}, "vertices must be"),
        ({"length": [0.1, 20]}, "length must be two shares"),
        ({"width": [0, 0.1]}, "width must be two shares"),
        ({"angle": 20, "spread": 30}, "angle and spread must be"),
        ({"min_ratio": 0.6}, "hole shares need"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FreeForm(**settings)
