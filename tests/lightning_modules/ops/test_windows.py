import numpy as np
import pytest
import torch

from lightning_modules.ops.windows import (
    complete_by_windows,
    gather,
    hole_boxes,
    mirrored,
    place,
    plan,
    thickness,
)

SIZE = 16  # of the networks here
MIDDLE = {"size": SIZE, "context": 0.5, "reach": 0.5}  # predicts the middle half, as the centre net
WHOLE = {"size": SIZE, "context": 0.5, "reach": 1}  # predicts everything


def picture(height, width, batch=1, seed=0):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def mask_of(height, width, *boxes, batch=1):
    """Holes given as (top, left, bottom, right)."""
    mask = torch.zeros(batch, 1, height, width)
    for top, left, bottom, right in boxes:
        mask[..., top:bottom, left:right] = 1
    return mask


class Recorder:
    """A network that answers with one grey and remembers what it was shown."""

    def __init__(self, reach=1.0, grey=0.25):
        self.side, self.grey, self.shown = int(SIZE * reach), grey, []

    def __call__(self, image, mask):
        assert image.shape == (len(image), 3, SIZE, SIZE) and mask.shape == (len(image), 1, SIZE, SIZE)
        self.shown.append((image, mask))
        return torch.full((len(image), 3, self.side, self.side), self.grey)


def middle_mean(image, mask):
    """A network whose answer depends on all it sees: the mean of the visible, and a ramp that tells places apart."""
    mean = image.sum((2, 3), keepdim=True) / (1 - mask).sum((2, 3), keepdim=True).clamp(min=1)
    return mean * torch.linspace(0.5, 1, SIZE // 2)[:, None].expand(-1, SIZE // 2)


CASES = {
    "one hole": (24, 40, [(5, 5, 9, 9)]),
    "at every corner": (24, 40, [(0, 0, 3, 3), (0, 37, 3, 40), (21, 0, 24, 3), (21, 37, 24, 40)]),
    "larger than the network": (50, 60, [(10, 10, 44, 40)]),
    "a long scratch": (30, 90, [(14, 2, 16, 88)]),
    "half the image": (16, 16, [(0, 0, 16, 8)]),
    "the whole image": (20, 20, [(0, 0, 20, 20)]),
    "image smaller than the network": (9, 7, [(2, 2, 5, 4)]),
    "one row": (1, 33, [(0, 3, 1, 6)]),
    "one pixel": (1, 1, [(0, 0, 1, 1)]),
    "many specks": (64, 64, [(y, x, y + 1, x + 2) for y in range(1, 60, 9) for x in range(1, 60, 7)]),
}


@pytest.mark.parametrize("settings", [MIDDLE, WHOLE], ids=["middle", "whole"])
@pytest.mark.parametrize("case", CASES)
def test_every_hole_is_filled_and_the_rest_is_untouched(case, settings):
    height, width, boxes = CASES[case]
    image, mask = picture(height, width), mask_of(height, width, *boxes)
    done = complete_by_windows(Recorder(settings["reach"]), image, mask, **settings)
    inside = (mask > 0).expand_as(image)
    assert torch.equal(done[~inside], image[~inside])
    assert torch.allclose(done[inside], torch.tensor(0.25))


@pytest.mark.parametrize("case", CASES)
def test_what_lies_in_the_hole_has_no_influence(case):
    height, width, boxes = CASES[case]
    image, mask = picture(height, width), mask_of(height, width, *boxes)
    other = torch.where(mask > 0, torch.full_like(image, torch.nan), image)
    done = complete_by_windows(middle_mean, image, mask, **MIDDLE)
    assert torch.equal(complete_by_windows(middle_mean, other, mask, **MIDDLE), done)


def test_an_image_of_the_networks_size_goes_through_as_it_is():
    image, mask = picture(SIZE, SIZE, batch=3), mask_of(SIZE, SIZE, (4, 4, 12, 12), batch=3)
    answer = picture(SIZE // 2, SIZE // 2, batch=3, seed=1)
    network = Recorder(0.5)
    done = complete_by_windows(lambda *shown: (network(*shown), answer)[1], image, mask, **MIDDLE)
    ((shown, hole),) = network.shown  # one call for the whole batch
    assert torch.equal(shown, image * (1 - mask)) and torch.equal(hole, mask)
    assert torch.equal(done[..., 4:12, 4:12], answer)


def test_the_whole_image_is_one_window_for_scattered_holes():
    image, mask = picture(SIZE, SIZE), mask_of(SIZE, SIZE, (0, 0, 2, 2), (8, 13, 16, 16), (14, 0, 16, 5))
    network = Recorder()
    complete_by_windows(network, image, mask, **WHOLE)
    ((shown, hole),) = network.shown
    assert torch.equal(shown, image * (1 - mask)) and torch.equal(hole, mask)


def test_without_a_hole_the_network_is_not_asked():
    image, network = picture(20, 20), Recorder()
    assert torch.equal(complete_by_windows(network, image, torch.zeros(1, 1, 20, 20), **WHOLE), image)
    assert network.shown == []


def test_each_sample_has_its_own_holes():
    image = picture(40, 40, batch=3)
    mask = torch.cat(
        [mask_of(40, 40, (0, 0, 4, 4), (30, 30, 34, 34)), mask_of(40, 40), mask_of(40, 40, (9, 9, 20, 20))]
    )
    together = complete_by_windows(middle_mean, image, mask, **MIDDLE)
    alone = [complete_by_windows(middle_mean, image[b : b + 1], mask[b : b + 1], **MIDDLE) for b in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6)
    assert torch.equal(together[1], image[1])


def test_a_window_sees_what_the_one_before_it_filled():
    # The second hole, 4 px from the first, is in its own window: there the first is no hole any more but grey.
    image, mask = picture(40, 40), mask_of(40, 40, (10, 10, 18, 18), (10, 22, 14, 26))
    network = Recorder(0.5)
    complete_by_windows(network, image, mask, **MIDDLE)
    (_, first), (shown, second) = network.shown
    assert first.sum() == 8 * 8  # its window ends where the second hole begins
    assert second.sum() == 4 * 4 and (shown == 0.25).sum() > 0


def test_the_hole_lies_in_the_predicted_part_of_its_window():
    for hole in [(0, 0, 8, 8), (0, 3, 20, 9), (11, 30, 24, 40), (3, 1, 4, 2)]:
        (window,) = plan(mask_of(24, 40, hole)[0, 0].numpy() > 0, **MIDDLE)
        first_row, first_column = window.top + window.margin, window.left + window.margin
        inner = window.side - 2 * window.margin
        assert inner * 2 == window.side and window.side % 4 == 0
        assert first_row <= hole[0] and hole[2] <= first_row + inner
        assert first_column <= hole[1] and hole[3] <= first_column + inner


def test_neighbours_share_a_window_and_strangers_do_not():
    near = plan(mask_of(64, 64, (20, 20, 22, 22), (24, 24, 26, 26))[0, 0].numpy() > 0, **MIDDLE)
    far = plan(mask_of(64, 64, (2, 2, 4, 4), (50, 50, 52, 52))[0, 0].numpy() > 0, **MIDDLE)
    assert len(near) == 1 and len(far) == 2


def test_crumbs_around_a_large_hole_belong_to_it():
    (window,) = plan(mask_of(200, 200, (50, 50, 100, 100), (60, 103, 62, 105))[0, 0].numpy() > 0, **MIDDLE)
    assert window.side == 112  # twice the 55 columns of both, as a multiple of 4


def test_a_window_is_no_larger_than_the_hole_and_the_network_ask_for():
    assert plan(mask_of(400, 400, (100, 100, 103, 103))[0, 0].numpy() > 0, **MIDDLE)[0].side == SIZE
    assert plan(mask_of(400, 400, (100, 100, 150, 120))[0, 0].numpy() > 0, **MIDDLE)[0].side == 100


def test_a_window_that_is_predicted_whole_stays_within_the_longer_side():
    (window,) = plan(mask_of(33, 50, (0, 0, 33, 33))[0, 0].numpy() > 0, **WHOLE)
    assert window.side == 50 and window.left == 0


def test_holes_that_touch_at_a_corner_are_one():
    holes = mask_of(8, 8, (1, 1, 3, 3), (3, 3, 5, 4), (6, 6, 7, 8))[0, 0].numpy() > 0
    assert hole_boxes(holes, room=8).tolist() == [[1, 1, 5, 4], [6, 6, 7, 8]]
    assert hole_boxes(np.zeros((4, 4), bool), room=8).shape == (0, 4)


def test_a_scratch_comes_in_pieces_and_a_large_hole_as_a_whole():
    scratch, block = (mask_of(40, 40, box)[0, 0].numpy() > 0 for box in [(5, 0, 7, 40), (5, 3, 25, 40)])
    pieces = hole_boxes(scratch, room=16).tolist()
    assert pieces == [[5, 0, 7, 16], [5, 16, 7, 32], [5, 32, 7, 40]]
    assert hole_boxes(block, room=16).tolist() == [[5, 3, 25, 40]]
    assert {window.side for window in plan(scratch, **MIDDLE)} == {SIZE}  # nothing is resampled


def test_pieces_are_as_tight_as_the_scratch():
    diagonal = np.eye(24, dtype=bool)
    assert hole_boxes(diagonal, room=12).tolist() == [[0, 0, 12, 12], [12, 12, 24, 24]]


def test_thickness_is_that_of_the_widest_place():
    assert thickness(mask_of(40, 40, (5, 0, 7, 40))[0, 0].numpy() > 0) == 2
    assert thickness(mask_of(40, 40, (0, 0, 10, 30), (0, 0, 3, 40))[0, 0].numpy() > 0) == 10


def test_gathering_takes_the_nearest_first_and_stops_at_the_room():
    boxes = np.array([[0, 0, 4, 4], [0, 9, 1, 10], [0, 5, 1, 6], [30, 30, 31, 31]])
    assert gather(boxes, room=6).tolist() == [0, 0, 4, 6]
    assert gather(boxes, room=10).tolist() == [0, 0, 4, 10]
    assert gather(boxes, room=3).tolist() == [0, 0, 4, 4]


def test_place_keeps_the_window_in_the_image_where_the_hole_allows():
    assert place(32, 96, 128, 32, 128) == 0  # the centre hole of 64 in 128
    assert place(100, 110, 128, 0, 500) == 41  # around its centre
    assert place(2, 10, 128, 0, 500) == 0 and place(490, 500, 128, 0, 500) == 372
    assert place(0, 64, 128, 32, 500) == -32  # a hole at the border that fills the middle half
    assert place(0, 10, 128, 0, 100) == -28  # a window larger than the image holds all of it


def test_a_window_whose_holes_others_have_filled_is_not_looked_at():
    boxes = [(33, 2, 49, 22), (4, 4, 6, 33), (6, 37, 16, 44), (48, 6, 55, 18)]
    image, mask, network = picture(64, 64), mask_of(64, 64, *boxes), Recorder()
    done = complete_by_windows(network, image, mask, **WHOLE)
    assert (done[(mask > 0).expand_as(done)] == 0.25).all()
    assert len(network.shown) < len(plan(mask[0, 0].numpy() > 0, **WHOLE))


def test_mirrored_runs_back_and_forth_without_repeating_the_border():
    assert mirrored(-2, 9, 4).tolist() == [2, 1, 0, 1, 2, 3, 2, 1, 0]
    assert mirrored(-1, 3, 1).tolist() == [0, 0, 0]


def test_a_mirrored_hole_is_unknown_too():
    image, mask = picture(SIZE, SIZE), mask_of(SIZE, SIZE, (4, 0, 12, 8))
    network = Recorder(0.5)
    complete_by_windows(network, image, mask, **MIDDLE)
    ((shown, hole),) = network.shown  # columns -4 to 11; those left of the image show columns 4, 3, 2, 1 of the hole
    assert hole[0, 0, 4:12, :12].all() and not hole[0, 0, :4].any() and not hole[..., 12:].any()
    assert shown[0, :, 4:12, :12].abs().max() == 0


def test_a_resampled_pixel_that_touches_the_hole_is_unknown():
    image, mask = torch.ones(1, 3, 64, 64), mask_of(64, 64, (17, 17, 47, 47))
    network = Recorder(0.5)
    complete_by_windows(network, image, mask, **MIDDLE)
    ((shown, hole),) = network.shown
    assert torch.allclose(shown[:, :1], 1 - hole)  # no mixture of the hole's 0 and the surroundings' 1
    assert 0 < hole.mean() < 0.5


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="1 in the hole"):
        complete_by_windows(Recorder(), picture(20, 20), torch.zeros(1, 3, 20, 20), **WHOLE)
