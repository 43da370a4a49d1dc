import torch

from datamodules.masks.raster import Runs


def numbers(*shape, low, high):
    return low + (high - low) * torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def distance(start, stop, height, width):
    """(B,S,H,W) float64: distance of each pixel's centre to each segment."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    points = torch.stack([x, y], dim=-1).double()
    start, stop = start[:, :, None, None].double(), stop[:, :, None, None].double()
    ahead = stop - start
    along = (((points - start) * ahead).sum(-1) / ahead.square().sum(-1).clamp_min(1e-12)).clamp(0, 1)
    return (points - start - along[..., None] * ahead).norm(dim=-1)


def test_capsules_are_the_pixels_within_a_radius_of_the_segment():
    start, stop = numbers(2, 3, 40, 2, low=-10, high=60).unbind(0)
    radius = numbers(3, 40, low=0.5, high=12)
    off = distance(start, stop, 48, 56) - radius[..., None, None]  # (B,S,H,W)
    for shape in range(40):
        shown = (torch.arange(40) == shape).expand(3, -1)
        runs = Runs.of_capsules(start, stop, radius, shown, 48, 56)
        inside = runs.paint(torch.ones(3, dtype=torch.int64))
        wrong = inside != (off[:, shape] <= 0)
        assert not wrong.any() or off[:, shape][wrong].abs().max() < 1e-3  # px: only at the outline itself


def test_level_upright_and_pointlike_segments_are_capsules_too():
    start = torch.tensor([[[10.0, 8.0], [30.0, 2.0], [5.0, 25.0]]])
    stop = torch.tensor([[[22.0, 8.0], [30.0, 20.0], [5.0, 25.0]]])
    radius = torch.tensor([[2.0, 3.0, 4.0]])
    inside = Runs.of_capsules(start, stop, radius, torch.ones(1, 3, dtype=torch.bool), 32, 40).paint(torch.tensor([3]))
    off = (distance(start, stop, 32, 40) - radius[..., None, None]).amin(1)
    # A level line is drawn with a slope of 1/64 px, which moves its outline by no more than that.
    assert torch.equal(inside[off.abs() > 1 / 64], (off < 0)[off.abs() > 1 / 64])


def test_thin_lines_have_no_gaps():
    start, stop = torch.tensor([[[3.0, 2.0]]]), torch.tensor([[[20.0, 45.0]]])
    inside = Runs.of_capsules(start, stop, torch.tensor([[0.5]]), torch.ones(1, 1, dtype=torch.bool), 48, 32)
    rows = inside.paint(torch.tensor([1]))[0].any(1)
    assert rows[2:45].all() and rows.sum() <= 45


def test_rectangles_cover_their_pixels_only():
    top, left = torch.tensor([[2, 5], [0, 9]]), torch.tensor([[3, 4], [0, 9]])
    heights, widths = torch.tensor([[4, 1], [10, 1]]), torch.tensor([[2, 6], [1, 1]])
    shown = torch.ones(2, 2, dtype=torch.bool)
    painted = Runs.of_rectangles(top, left, heights, widths, shown, 10, 10).paint(torch.tensor([2, 2]))
    expected = torch.zeros(2, 10, 10, dtype=torch.bool)
    expected[0, 2:6, 3:5] = True
    expected[0, 5, 4:10] = True
    expected[1, :, 0] = True
    expected[1, 9, 9] = True
    assert torch.equal(painted, expected)


def test_shapes_are_counted_in_order_and_hidden_ones_passed_over():
    corner = torch.arange(4)[None] * 2
    one = torch.ones_like(corner)
    shown = torch.tensor([[True, False, True, True]])
    runs = Runs.of_rectangles(corner, corner, one, one, shown, 8, 8)
    assert runs.most.tolist() == [3]
    painted = [runs.paint(torch.tensor([count]))[0].diagonal()[::2].tolist() for count in range(5)]
    assert painted == [
        [False, False, False, False],
        [True, False, False, False],
        [True, False, True, False],
        [True, False, True, True],
        [True, False, True, True],
    ]


def test_only_the_rows_asked_for_are_painted():
    corner = torch.arange(6)[:, None]
    one = torch.ones_like(corner)
    runs = Runs.of_rectangles(corner, corner, one, one, torch.ones(6, 1, dtype=torch.bool), 6, 6)
    part = runs.paint(torch.tensor([1, 0]), torch.tensor([4, 2]))
    assert part.shape == (2, 6, 6)
    assert part[0].nonzero().tolist() == [[4, 4]] and not part[1].any()
