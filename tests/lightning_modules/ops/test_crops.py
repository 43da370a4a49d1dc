import torch

from datamodules.randomness import Draws
from lightning_modules.ops.crops import bounding_boxes, corners_around, crop_windows, random_corners


def boxes(*sides, height=20, width=30):
    """One mask (B,1,H,W) with a rectangle for each (top, bottom, left, right)."""
    mask = torch.zeros(len(sides), 1, height, width)
    for plane, (top, bottom, left, right) in zip(mask, sides, strict=True):
        plane[:, top:bottom, left:right] = 1
    return mask


def test_bounding_boxes_are_of_all_holes_of_an_image_together():
    mask = boxes((3, 8, 10, 12), (0, 20, 0, 30), (19, 20, 29, 30))
    mask[0, :, 15, 2] = 1
    first, end = bounding_boxes(mask)
    assert first.tolist() == [[3, 2], [0, 0], [19, 29]]
    assert end.tolist() == [[16, 12], [20, 30], [20, 30]]


def test_an_image_without_a_hole_counts_as_a_whole():
    first, end = bounding_boxes(torch.zeros(1, 1, 5, 7))
    assert (first.tolist(), end.tolist()) == ([[0, 0]], [[5, 7]])


def test_a_window_has_the_hole_in_its_middle():
    corners = corners_around(boxes((8, 12, 10, 16), (8, 13, 10, 15)), side=8)
    assert corners.tolist() == [[6, 9], [6, 8]]  # (8 + 12 - 8) / 2, ...; half a pixel is left out


def test_windows_lie_in_the_image_and_hold_every_hole_that_fits():
    generator, side = torch.Generator().manual_seed(0), 9
    for _ in range(20):
        size = torch.randint(1, side + 1, (16, 2), generator=generator)
        place = torch.rand(16, 2, generator=generator)
        first = (place * (torch.tensor([20, 30]) - size + 1)).long()
        end = first + size
        mask = boxes(*torch.stack([first[:, 0], end[:, 0], first[:, 1], end[:, 1]], 1).tolist())
        corners = corners_around(mask, side)
        assert (corners >= 0).all() and (corners + side <= torch.tensor([20, 30])).all()
        assert (corners <= first).all() and (corners + side >= end).all()
        assert torch.equal(crop_windows(mask, corners, side).sum((1, 2, 3)), mask.sum((1, 2, 3)))


def test_a_window_as_large_as_the_image_is_the_image():
    mask = boxes((3, 5, 8, 12), height=9, width=20)
    assert corners_around(mask, side=9).tolist() == [[0, 5]]
    assert corners_around(boxes((2, 3, 2, 3), height=9, width=9), side=9).tolist() == [[0, 0]]


def draws(count, seed=0):
    return Draws(seed, 0, torch.arange(count), "test")


def test_random_windows_reach_every_place_and_no_other():
    corners = random_corners(draws(500), (10, 12), side=8)
    assert sorted(set(corners[:, 0].tolist())) == [0, 1, 2] and sorted(set(corners[:, 1].tolist())) == [0, 1, 2, 3, 4]


def test_random_windows_are_a_function_of_seed_and_sample():
    corners = random_corners(draws(8), (40, 40), 8)
    shares = [random_corners(draws(8)[rows], (40, 40), 8) for rows in (slice(4), slice(4, None))]
    assert torch.equal(torch.cat(shares), corners)
    assert not torch.equal(random_corners(draws(8, seed=1), (40, 40), 8), corners)


def test_a_crop_is_the_slice_at_its_corner():
    image = torch.rand(3, 2, 10, 14, generator=torch.Generator().manual_seed(0))
    crops = crop_windows(image, torch.tensor([[0, 0], [2, 5], [4, 8]]), side=6)
    assert torch.equal(crops, torch.stack([image[0, :, :6, :6], image[1, :, 2:8, 5:11], image[2, :, 4:10, 8:14]]))


def test_the_gradient_of_a_crop_stays_in_its_window():
    image = torch.zeros(2, 1, 8, 8, requires_grad=True)
    crop_windows(image, torch.tensor([[1, 2], [4, 0]]), side=4).sum().backward()
    assert torch.equal(image.grad, boxes((1, 5, 2, 6), (4, 8, 0, 4), height=8, width=8))
