"""Completing images of any size with a network of one size: a square window around each hole.

size    side of the network's input; a window of another side is resampled to it
reach   share of a window's side, in its middle, that the network predicts: 1 everything, 0.5 the middle half
context greatest share of a window's side that a hole should take, at most `reach`: what is left is there to see

Windows are filled one after another, those of the largest holes first; each sees what the ones before it filled. Where
a window reaches over the image's border it sees the image mirrored; where the mirror shows a hole, that is unknown too.
A hole as large as the image leaves nothing to see and still gets the network's answer. Holes are found on the CPU.
"""

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import scipy.ndimage
import torch

from lightning_modules.ops.masking import require_mask
from lightning_modules.ops.pieces import BAND_PIXELS, as_float, pasted, piece_of, resizing

TOGETHER = 1.25  # a hole takes in its neighbours as long as their joint box is no larger than so many times its own


@dataclass(frozen=True)
class Window:
    """A square in image coordinates, which may reach over the border, and how far its predicted middle lies inside."""

    top: int
    left: int
    side: int
    margin: int


def complete_by_windows(fill, image, mask, *, size, context, reach=1.0):
    """`image` with the holes of `mask` filled; the rest is `image`, bit for bit. What is in the holes has no influence.

    fill: image (N,3,size,size) with zeros in the hole, mask (N,1,size,size) -> (N,3,P,P), P = reach * size, the middle
    of each. image (B,3,H,W) in any range, mask (B,1,H,W), 1 = hole, any H and W.
    """
    return pasted(image, pieces_by_windows(fill, image, mask, size=size, context=context, reach=reach))


def pieces_by_windows(fill, image, mask, *, size, context, reach=1.0):
    """What `complete_by_windows` changes, as Pieces. `image` may also be uint8, which stands for [0,1], and each Piece
    may be pasted into it as it comes."""
    require_mask(image, mask)
    assert reach in (0.5, 1) and context <= reach, (context, reach)
    unknown, filled = mask > 0, [[] for _ in image]
    plans = [plan(holes, size=size, context=context, reach=reach) for holes in unknown[:, 0].cpu().numpy()]
    for turn in zip_longest(*plans):
        rows = [(b, window) for b, window in enumerate(turn) if window is not None]
        rows = [(b, window) for b, window in rows if unknown[b, 0][predicted(window, unknown.shape[2:])].any()]
        if not rows:  # other windows have filled all that these were for
            continue
        views = [look(image[b], unknown[b, 0], filled[b], window, size) for b, window in rows]
        preds = fill(*(torch.cat(parts) for parts in zip(*views, strict=True)))
        for (b, window), pred in zip(rows, preds.split(1), strict=True):
            filled[b].append(cut(b, unknown[b, 0], window, pred))
            yield filled[b][-1]


def plan(holes, *, size, context, reach):
    """The windows, in the order of filling, whose predicted parts cover all holes. holes: bool array (H,W)."""
    height, width = holes.shape
    room = int(window_side(1, max(height, width), size, context, reach) * context)  # holds holes in the smallest window
    boxes, windows = hole_boxes(holes, room), []
    while len(boxes):
        largest = (boxes[0, 2:] - boxes[0, :2]).max()
        top, left, bottom, right = gather(boxes, room if largest <= room else largest * TOGETHER).tolist()
        side = window_side(max(bottom - top, right - left), max(height, width), size, context, reach)
        margin = round(side * (1 - reach) / 2)
        window = Window(place(top, bottom, side, margin, height), place(left, right, side, margin, width), side, margin)
        first = np.array([window.top, window.left]) + margin
        covered = (boxes[:, :2] >= first).all(1) & (boxes[:, 2:] <= first + side - 2 * margin).all(1)
        boxes = boxes[~covered]
        windows.append(window)
    return windows


def hole_boxes(holes, room):
    """Boxes of the connected holes, (N,4) top, left, bottom, right (exclusive), longest side first.

    A long thin hole, such as a scratch, comes in pieces of at most `room` pixels: one window would show it much
    reduced, and there is enough to see around each piece.
    """
    labels, _ = scipy.ndimage.label(holes, structure=np.ones((3, 3)))
    boxes = []
    for number, (rows, columns) in enumerate(scipy.ndimage.find_objects(labels), 1):
        hole = labels[rows, columns] == number
        step = room if max(hole.shape) > room and thickness(hole) <= room / 2 else max(hole.shape)
        for top in range(0, hole.shape[0], step):
            for left in range(0, hole.shape[1], step):
                y, x = hole[top : top + step, left : left + step].nonzero()
                if len(y):
                    corners = np.array([y.min(), x.min(), y.max() + 1, x.max() + 1])
                    boxes.append(corners + np.array([rows.start + top, columns.start + left] * 2))
    boxes = np.array(boxes, dtype=np.int64).reshape(-1, 4)
    return boxes[np.argsort(-(boxes[:, 2:] - boxes[:, :2]).max(1), kind="stable")]


def thickness(hole):
    """Twice the distance from the innermost pixel of a hole, bool (H,W), to its outside.

    OpenCV takes 5 bytes for each pixel of the box; SciPy, which gives the same, some 60.
    """
    import cv2

    return 2 * cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max()


def gather(boxes, room):
    """The joint box (4,) of the first of `boxes` (N,4) and its neighbours, nearest first, while `room` holds it."""
    group, rest = boxes[0], boxes[1:]
    while len(rest):
        joint = np.hstack([np.minimum(group[:2], rest[:, :2]), np.maximum(group[2:], rest[:, 2:])])
        side = (joint[:, 2:] - joint[:, :2]).max(1)
        if side.min() > room:
            break
        group = joint[side.argmin()]
        rest = np.delete(rest, side.argmin(), axis=0)
    return group


def window_side(hole, longest, size, context, reach):
    """Side of the window for a hole of side `hole` in an image whose longer side is `longest`.

    The network's own size where the image and the hole allow it, so that nothing is resampled. No larger than the image
    where all of a window is predicted; a multiple of 4 elsewhere, so that the middle half is whole pixels.
    """
    side = max(int(np.ceil(hole / context)), min(size, longest))
    return min(side, longest) if reach == 1 else -(-side // 4) * 4


def place(low, high, side, margin, length):
    """First row (or column) of a window around the hole [low, high): around its centre, then moved into the image of
    `length`, as far as the hole stays in the predicted part."""
    first = (low + high - side) // 2
    first = min(max(first, min(0, length - side)), max(0, length - side))
    return min(max(first, high + margin - side), low - margin)


def look(image, unknown, pieces, window, size):
    """What the network is shown: image (1,3,size,size), zeros where unknown, and mask (1,1,size,size), 1 = unknown.

    image (3,H,W) float or uint8, into which the `pieces` belong; unknown bool (H,W). A resampled pixel to which an
    unknown one contributes is unknown. A large window is reduced band by band.
    """
    rows = mirrored(window.top, window.side, image.shape[1]).to(image.device)
    columns = mirrored(window.left, window.side, image.shape[2]).to(image.device)
    if window.side == size:
        seen, hole = visible(image, unknown, pieces, rows, columns)
        return seen[None], hole[None]
    reduce, step = resizing(window.side, size, slice(0, size)).to(image.device), max(1, BAND_PIXELS // window.side)
    total = 0.0
    for first in range(0, window.side, step):
        band = slice(first, first + step)
        planes = torch.cat(visible(image, unknown, pieces, rows[band], columns))  # (4,b,side)
        total = total + reduce[:, band] @ (planes.float() @ reduce.T)
    seen, hole = total[None].to(planes.dtype).split([3, 1], dim=1)
    hole = (hole > 0).to(seen.dtype)
    return seen * (1 - hole), hole


def visible(image, unknown, pieces, rows, columns):
    """Rows and columns, int64 (h,) and (w,), of the image with zeros where unknown (3,h,w), and 1 there (1,h,w)."""
    hole = unknown[rows[:, None], columns][None]
    seen = torch.where(hole, 0.0, filled_part(image, pieces, rows, columns))
    return seen, hole.to(seen.dtype)


def filled_part(image, pieces, rows, columns):
    """The rows and columns, int64 (h,) and (w,), of an image (3,H,W) with the pieces pasted: float (3,h,w)."""
    top, left = int(rows.min()), int(columns.min())
    part = as_float(image[:, top : rows.max() + 1, left : columns.max() + 1].clone())
    for piece in pieces:
        piece.paste_(part, top, left)
    return part[:, (rows - top)[:, None], columns - left]


def mirrored(first, count, length):
    """Positions first, first + 1, ... on a line of `length`, mirrored at its ends. -> int64 (count,)."""
    period = max(1, 2 * (length - 1))
    position = torch.arange(first, first + count) % period
    return torch.minimum(position, period - position)


def predicted(window, shape):
    """(rows, columns) of the part of an image of this shape that a window's middle covers."""
    side = window.side - 2 * window.margin
    first = window.top + window.margin, window.left + window.margin
    return tuple(slice(max(0, low), min(length, low + side)) for low, length in zip(first, shape, strict=True))


def cut(number, unknown, window, pred):
    """The Piece of `pred`, (1,3,P,P), the middle of a window, for the pixels that are unknown there and then known.
    unknown bool (H,W)."""
    side, place = window.side - 2 * window.margin, predicted(window, unknown.shape)
    top, left = (part.start for part in place)
    corner = top - window.top - window.margin, left - window.left - window.margin
    piece = piece_of(number, top, left, unknown[place], pred[0], (side, side), corner)
    unknown[place] = False
    return piece
