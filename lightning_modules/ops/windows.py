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
from torch.nn import functional as F

from lightning_modules.ops.masking import require_mask

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
    require_mask(image, mask)
    assert reach in (0.5, 1) and context <= reach, (context, reach)
    done, unknown = image.clone(), mask > 0
    plans = [plan(holes, size=size, context=context, reach=reach) for holes in unknown[:, 0].cpu().numpy()]
    for turn in zip_longest(*plans):
        rows = [(slice(b, b + 1), window) for b, window in enumerate(turn) if window is not None]
        views = [look(done[b], unknown[b], window, size) for b, window in rows]
        preds = fill(*(torch.cat(parts) for parts in zip(*views, strict=True)))
        for (b, window), pred in zip(rows, preds.split(1), strict=True):
            paste_(done[b], unknown[b], window, pred)
    return done


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
    """Twice the distance from the innermost pixel of a hole, bool (H,W), to its outside."""
    return 2 * scipy.ndimage.distance_transform_edt(np.pad(hole, 1)).max()


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


def look(image, unknown, window, size):
    """What the network is shown: image (1,3,size,size), zeros where unknown, and mask (1,1,size,size), 1 = unknown.

    A resampled pixel to which an unknown one contributes is unknown.
    """
    rows = mirrored(window.top, window.side, image.shape[2]).to(image.device)[:, None]
    columns = mirrored(window.left, window.side, image.shape[3]).to(image.device)
    hole = unknown[:, :, rows, columns]
    seen = torch.where(hole, 0.0, image[:, :, rows, columns])
    hole = (resized(hole.to(image.dtype), size) > 0).to(image.dtype)
    return resized(seen, size) * (1 - hole), hole


def mirrored(first, count, length):
    """Positions first, first + 1, ... on a line of `length`, mirrored at its ends. -> int64 (count,)."""
    period = max(1, 2 * (length - 1))
    position = torch.arange(first, first + count) % period
    return torch.minimum(position, period - position)


def resized(plane, side):
    """(N,C,S,S) -> (N,C,side,side), bilinear; the same tensor where nothing changes."""
    if plane.shape[-1] == side:
        return plane
    return F.interpolate(plane, (side, side), mode="bilinear", align_corners=False, antialias=True)


def paste_(image, unknown, window, pred):
    """Puts `pred`, the middle of the window, into the unknown pixels there, which then are known. image (1,3,H,W)."""
    side = window.side - 2 * window.margin
    top, left = window.top + window.margin, window.left + window.margin
    y0, y1 = max(0, top), min(image.shape[2], top + side)
    x0, x1 = max(0, left), min(image.shape[3], left + side)
    part = resized(pred.to(image.dtype), side)[:, :, y0 - top : y1 - top, x0 - left : x1 - left]
    hole = unknown[:, :, y0:y1, x0:x1]
    image[:, :, y0:y1, x0:x1] = torch.where(hole, part, image[:, :, y0:y1, x0:x1])
    unknown[:, :, y0:y1, x0:x1] = False
