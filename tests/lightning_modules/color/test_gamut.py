import torch

from lightning_modules.color.gamut import reduce_chroma, shown
from lightning_modules.color.lab import lab_to_rgb, rgb_to_lab


def colours(*rows):
    """Lab (1,3,1,N) of (L, a, b) rows."""
    return torch.tensor(rows, dtype=torch.float32).T[None, :, None]


def test_colours_that_srgb_holds_stay_bit_for_bit():
    cube = torch.cartesian_prod(*[torch.linspace(0, 1, 9)] * 3).T[None, :, None]  # (1,3,1,729), its surface included
    lab = rgb_to_lab(cube)
    assert shown(lab).all()
    assert torch.equal(reduce_chroma(lab), lab)


def test_every_colour_comes_inside_with_its_lightness_and_hue():
    random = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    lab = torch.cat([random[:, :1] * 100, (random[:, 1:] - 0.5) * 220], dim=1)
    inside = reduce_chroma(lab)
    assert not shown(lab).all() and shown(inside).all()
    assert torch.equal(inside[:, 0], lab[:, 0])
    cross = lab[:, 1] * inside[:, 2] - lab[:, 2] * inside[:, 1]
    assert cross.abs().max() < 1e-2  # the same direction in the ab plane
    assert (inside[:, 1:].norm(dim=1) <= lab[:, 1:].norm(dim=1)).all()
    kept = rgb_to_lab(lab_to_rgb(inside))[:, 0]
    assert (kept - lab[:, 0]).abs().max() < 0.2
    assert (rgb_to_lab(lab_to_rgb(lab))[:, 0] - lab[:, 0]).abs().max() > 10  # what clipping alone does


def test_no_more_chroma_is_taken_than_needed():
    lab = colours([50, 120, 0], [80, 0, -100], [30, 60, 90])
    inside = reduce_chroma(lab)
    share = inside[:, 1:].norm(dim=1) / lab[:, 1:].norm(dim=1)
    further = torch.cat([lab[:, :1], (share + 1 / 256)[:, None] * lab[:, 1:]], dim=1)
    assert not shown(further).any()


def test_black_and_white_lose_their_chroma():
    inside = reduce_chroma(colours([0, 60, 0], [0, 0, 60], [0, -60, -60], [100, 40, 0], [100, 0, 40]))
    rgb = lab_to_rgb(inside)[0, :, 0].T
    assert rgb[:3].max() < 8 / 255 and rgb[3:].min() > 1 - 8 / 255


def test_nothing_outside_is_nothing_to_do():
    lab = colours([50, 0, 0], [60, 5, 5])
    assert torch.equal(reduce_chroma(lab), lab)
