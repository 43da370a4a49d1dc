"""Which part of a picture an item shows, at which size: the geometry of a sample, apart from its pixels."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class View:
    """A square window of `crop` pixels on a picture that is resized first. Sizes are upright heights and widths.

    shorter  to which the shorter side is brought; None leaves the size, but for pictures smaller than the window
    squash   both sides to `shorter`, aspect lost
    place    of the window on its way down and to the right, each in [0,1); None: the centre
    mirror   left and right exchanged
    """

    crop: int
    shorter: int | None = None
    squash: bool = False
    place: tuple[float, float] | None = None
    mirror: bool = False

    def resized(self, height, width):
        """(height, width) of the whole picture at the scale of the window."""
        shorter = self.shorter or max(min(height, width), self.crop)
        if self.squash:
            return shorter, shorter
        scale = shorter / min(height, width)
        return max(shorter, round(height * scale)), max(shorter, round(width * scale))

    def corner(self, height, width):
        """(top, left) of the window on the resized picture."""
        free = [length - self.crop for length in self.resized(height, width)]
        if self.place is None:
            return free[0] // 2, free[1] // 2
        return int(self.place[0] * (free[0] + 1)), int(self.place[1] * (free[1] + 1))


def show(planes, view, height, width, reduced=1):
    """uint8 (3,crop,crop): the window on an image (3,h,w) that a decoder has `reduced` by this factor from height x
    width. Bilinear with antialiasing where the size changes, the pixels themselves where it does not.

    PyTorch's operator is called as such, because `interpolate` takes sizes or scales and not both. With both, only what
    lies above and to the left of the window's end is computed, and a reduced image whose last row or column is but
    partly covered is not stretched. Much faster on planes that are views of interleaved pixels.
    """
    (new_height, new_width), (top, left) = view.resized(height, width), view.corner(height, width)
    bottom, right = top + view.crop, left + view.crop
    if (new_height, new_width) != (height, width) or reduced != 1:
        scales = new_height * reduced / height, new_width * reduced / width
        planes = torch.ops.aten._upsample_bilinear2d_aa(planes[None], [bottom, right], False, *scales)[0]
    window = planes[:, top:bottom, left:right].numpy()[:, :, :: -1 if view.mirror else 1]
    return torch.from_numpy(window.copy(order="C"))


def show_labels(labels, view):
    """uint8 (crop,crop): the window on a label map (H,W), the nearest label each."""
    rows, columns = (
        pixels_at(range(first, first + view.crop), new, old)
        for first, new, old in zip(view.corner(*labels.shape), view.resized(*labels.shape), labels.shape, strict=True)
    )
    return labels[rows][:, columns.flip(0) if view.mirror else columns]


def pixels_at(places, new, old):
    """Of `old` pixels in a row those that the middles of pixels lie in, at some places of `new` in a row. -> int64."""
    return (((torch.tensor(places) * 2 + 1) * old) // (2 * new)).clamp_(max=old - 1)


def shown(item, view):
    """An item of a whole picture, `image` uint8 (3,H,W) and where known `semantic` uint8 (H,W), as the view shows it.
    Without a view it is returned as it is."""
    if view is None:
        return item
    changed = {"image": show(item["image"], view, *item["image"].shape[-2:])}
    if "semantic" in item:
        changed["semantic"] = show_labels(item["semantic"], view)
    return item | changed
