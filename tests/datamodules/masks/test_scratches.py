import pytest
import torch

from datamodules.masks.scratches import PARTS, Scratches
from datamodules.randomness import Draws


def draws(count):
    return Draws(0, 0, torch.arange(count), "mask")


def longest_runs(mask):
    """Longest upright and longest level run of hole pixels in any of the masks (B,H,W)."""

    def longest(lines):
        run, best = torch.zeros(lines.shape[0], lines.shape[2]), 0.0
        for step in range(lines.shape[1]):
            run = (run + 1) * lines[:, step]
            best = max(best, run.max().item())
        return best

    return longest(mask), longest(mask.transpose(1, 2))


def test_scratches_are_upright_long_and_thin():
    only_lines = Scratches(specks=[0, 0], across=0.0, lean=0.0, bow=0.0, gaps=0.0, length=[0.8, 1.0])
    upright, level = longest_runs(only_lines(draws(16), 128, 128)[:, 0])
    assert upright > 40
    assert level <= 8  # a few scratches of at most 2 px that lie side by side


def test_scratches_may_lie_in_any_direction():
    fallen = Scratches(specks=[0, 0], across=1.0)
    ahead = fallen.lines(draws(50), 4, 128, 128)
    steps = (ahead[1] - ahead[0]).sum(2)  # (B,K,2): from end to end
    level = steps[..., 0].abs() > steps[..., 1].abs()
    assert 0.35 < level.float().mean() < 0.65
    upright = Scratches(across=0.0).lines(draws(50), 4, 128, 128)
    steps = (upright[1] - upright[0]).sum(2)
    assert (steps[..., 0].abs() < 0.25 * steps[..., 1].abs()).all()


def test_a_scratch_is_thickest_in_its_middle():
    _, _, radius, shown = Scratches(width=[0.02, 0.02]).lines(draws(4), 3, 256, 256)
    assert radius.shape == shown.shape == (4, 3, PARTS)
    assert (radius[..., : PARTS // 2].diff() >= 0).all() and (radius[..., PARTS // 2 :].diff() <= 0).all()
    assert 2.5 < radius.max() <= 2.56 and radius.min() >= 0.5  # 2 % of 256 px is a width of 5.12


def test_dust_is_small_and_spread_over_the_image():
    start, stop, radius, shown = Scratches().dust(draws(50), 4, 100, 200)
    assert start[..., 0].max() > 180 and start[..., 1].max() > 90 and start.min() >= 0
    assert radius.max() <= 1.0 and (stop - start).norm(dim=-1).max() <= 2.0 + 1e-4  # 2 % of 100 px is a width of 2
    count = shown.sum(2)
    assert count.min() == 2 and count.max() == 10


def test_more_scratches_are_added_where_the_settings_ask_for_more_damage():
    share = Scratches(min_ratio=0.05, max_ratio=0.07)(draws(16), 64, 64).mean((1, 2, 3))
    assert share.min() >= 0.05 and share.max() <= 0.07


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"count": [0, 3]}, "count must be"),
        ({"specks": [-1, 3]}, "specks must be"),
        ({"length": [0.1, 20]}, "length must be two shares"),
        ({"width": [0, 0.1]}, "width must be two shares"),
        ({"speck": [0.1, 20]}, "speck must be two shares"),
        ({"lean": 91}, "lean must be"),
        ({"across": 1.2}, "across and gaps must be"),
        ({"gaps": -0.1}, "across and gaps must be"),
        ({"bow": 2}, "bow must be"),
        ({"min_ratio": 0.6}, "hole shares need"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Scratches(**settings)
