import pytest
import torch
from torch.nn import functional as F

from lightning_modules.ops import pieces
from lightning_modules.ops.pieces import as_float, pasted, piece_of, resizing


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def some_hole(height, width):
    hole = random(height, width, seed=1) < 0.4
    hole[0], hole[:, -1] = False, False
    return hole


@pytest.mark.parametrize(
    ("before", "after"), [(64, 16), (50, 16), (17, 16), (16, 16), (16, 40), (16, 17), (1, 5), (5, 1)]
)
def test_resizing_is_interpolates_bilinear_with_antialias(before, after):
    plane = random(1, 3, before, before)
    expected = F.interpolate(plane, (after, after), mode="bilinear", align_corners=False, antialias=True)
    matrix = resizing(before, after, slice(0, after))
    torch.testing.assert_close(matrix @ plane @ matrix.T, expected, rtol=0, atol=2e-6)
    assert torch.equal(resizing(before, after, slice(after // 2, after)), matrix[after // 2 :])


def test_at_one_size_resizing_changes_no_bit():
    assert torch.equal(resizing(9, 9, slice(0, 9)), torch.eye(9))


def test_a_piece_is_no_larger_than_its_hole_and_fills_nothing_else():
    image, hole, colours = random(3, 20, 30), some_hole(8, 9), random(3, 8, 9, seed=2)
    piece = piece_of(0, 5, 6, hole, colours)
    assert piece.hole.shape[0] < 8 and piece.hole.shape[1] < 9 and piece.colours.shape[1:] == piece.hole.shape
    expected = image.clone()
    expected[:, 5:13, 6:15] = torch.where(hole, colours, expected[:, 5:13, 6:15])
    assert torch.equal(pasted(image[None], [piece])[0], expected)


@pytest.mark.parametrize("band", [1, 40, 10**6])
def test_colours_of_another_size_are_enlarged_band_by_band(band, monkeypatch):
    monkeypatch.setattr(pieces, "BAND_PIXELS", band)
    image, hole, colours = random(3, 40, 50), some_hole(20, 24), random(3, 6, 6, seed=2)
    piece = piece_of(0, 10, 7, hole, colours, size=(30, 30), corner=(4, 3))
    large = F.interpolate(colours[None], (30, 30), mode="bilinear", align_corners=False)[0, :, 4:24, 3:27]
    expected = image.clone()
    expected[:, 10:30, 7:31] = torch.where(hole, large, expected[:, 10:30, 7:31])
    piece.paste_(image)
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-6)
    assert piece.colours.shape == (3, 6, 6)


def test_what_lies_outside_of_a_part_is_left_out():
    whole, hole = torch.zeros(3, 20, 20), torch.ones(8, 8, dtype=torch.bool)
    piece = piece_of(0, 6, 6, hole, random(3, 8, 8))
    piece.paste_(whole)
    for top, left in ((0, 0), (8, 9), (3, 12), (14, 0), (0, 14)):
        part = torch.zeros(3, 6, 6)
        piece.paste_(part, top, left)
        assert torch.equal(part, whole[:, top : top + 6, left : left + 6])


def test_into_uint8_colours_are_rounded_and_have_to_be_numbers():
    image, hole = torch.zeros(3, 2, 2, dtype=torch.uint8), torch.tensor([[True, False], [False, True]])
    colours = torch.full((3, 2, 2), 0.5)
    colours[:, 0, 1] = float("nan")  # not in the hole
    piece_of(0, 0, 0, hole, colours).paste_(image)
    assert image[0].tolist() == [[128, 0], [0, 128]]
    colours[:, 1, 1] = float("inf")
    with pytest.raises(ValueError, match="values that are not finite; is the checkpoint sound"):
        piece_of(0, 0, 0, hole, colours).paste_(image)


def test_uint8_stands_for_levels_of_255_and_float_for_itself():
    image = random(3, 2, 2)
    assert as_float(image) is image
    assert as_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
