"""Many shapes painted at once, the same pixels on every device.

B batch, S shapes, H W image. A convex shape covers one run of pixels in each row, so a shape is kept as its runs: the
union of S shapes costs B*S*H numbers and one running sum over the image, not B*S*H*W distances.
"""

import torch

LEVEL = 1 / 64  # px: a level line is given this much slope


class Runs:
    """Shapes in the order in which they are painted; the centre of a covered pixel lies inside the shape.

    first, end: (B,H,S) int64 in [0, W], the run's first column and the one behind its last; empty where end <= first.
    shown: (B,S) bool, the shapes that exist; the others are passed over when shapes are counted.
    """

    def __init__(self, first, end, width, shown):
        self.first, self.end, self.width = first, end, width
        self.covers = end > first
        self.place = torch.where(shown, shown.cumsum(1) - 1, shown.shape[1])  # (B,S): how many are painted before it
        self.most = shown.sum(1)  # (B,)

    def paint(self, count, rows=slice(None)):
        """Union of the first `count` (R,) shapes of the samples `rows`. -> (R,H,W) bool."""
        painted = self.place[rows] < count[:, None]  # (R,S)
        step = (self.covers[rows] & painted[:, None]).to(torch.int32)  # (R,H,S)
        edges = step.new_zeros(*step.shape[:2], self.width + 1)  # +1 where a run starts, -1 behind its end
        edges.scatter_add_(2, self.first[rows], step).scatter_add_(2, self.end[rows], -step)
        return edges.cumsum(2, dtype=torch.int32)[..., : self.width] > 0

    @staticmethod
    def of_rectangles(top, left, heights, widths, shown, height, width):
        """Axis-aligned rectangles, all (B,S) int64 in pixels and inside the image of `height` x `width`."""
        row = torch.arange(height, device=top.device)[:, None]  # (H,1)
        inside = (row >= top[:, None]) & (row < (top + heights)[:, None])  # (B,H,S)
        first = left[:, None].expand_as(inside)
        return Runs(first, first + widths[:, None] * inside, width, shown)

    @staticmethod
    def of_capsules(start, stop, radius, shown, height, width):
        """Points within `radius` (B,S) of the segment from `start` to `stop` (B,S,2: x, y); float32, in pixels.

        A row's run ends where the disc that touches it furthest out ends. That disc sits where the outline is parallel
        to the segment, or at an end of the segment where this point lies beyond it.
        """
        downwards = (start[..., 1] <= stop[..., 1])[..., None]
        upper, lower = torch.where(downwards, start, stop), torch.where(downwards, stop, start)
        x, y, radius = upper[:, None, :, 0], upper[:, None, :, 1], radius[:, None]  # (B,1,S)
        dx, dy = lower[:, None, :, 0] - x, (lower[:, None, :, 1] - y).clamp_min(LEVEL)
        lean = radius * dx / torch.sqrt(dx * dx + dy * dy)
        row = torch.arange(height, device=x.device)[:, None] + 0.5 - y  # (B,H,S): the row's centre below the upper end

        def outline(side):
            """Column of the outline in each row, right (side 1) or left (-1), and the rows that the shape meets."""
            along = ((row + side * lean) / dy).clamp(0, 1)
            off = row - along * dy
            half_chord = radius * radius - off * off
            return x + along * dx + side * torch.sqrt(half_chord.clamp_min(0)), half_chord >= 0

        (left, meets), (right, _) = outline(-1), outline(1)
        first = torch.ceil(left - 0.5).clamp(0, width).long()
        end = (torch.floor(right - 0.5) + 1).clamp(0, width).long()
        return Runs(first, torch.where(meets, end, first), width, shown)
