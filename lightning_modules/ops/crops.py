"""Square windows, one of each image of a batch. Corners are (B,2) int64: top row, left column."""

import torch


def bounding_boxes(mask):
    """(first, end), (B,2) int64 each, rows then columns, end exclusive, of what is 1 in mask (B,1,H,W).

    A mask without a hole gives the whole image.
    """
    firsts, ends = [], []
    for across in (3, 2):  # along rows, along columns
        occupied = (mask[:, 0] > 0).any(across - 1).to(torch.uint8)  # (B,H) or (B,W)
        firsts.append(occupied.argmax(1))
        ends.append(occupied.shape[1] - occupied.flip(1).argmax(1))
    return torch.stack(firsts, 1), torch.stack(ends, 1)


def corners_around(mask, side):
    """Corners of the windows of `side` around the middles of the holes' bounding boxes, moved into the image.

    mask (B,1,H,W), 1 = hole. A hole that fits into a window lies in it whole.
    """
    first, end = bounding_boxes(mask)
    top, left = ((first + end - side) // 2).unbind(1)
    return torch.stack([top.clamp(0, mask.shape[2] - side), left.clamp(0, mask.shape[3] - side)], 1)


def random_corners(draws, size, side):
    """Corners of windows of `side`, each anywhere in its image of `size` (H, W). draws: those of a batch, B samples."""
    return torch.stack([draws.integers(0, length - side + 1) for length in size], 1)


def crop_windows(image, corners, side):
    """(B,C,H,W) -> (B,C,side,side): the window of each sample."""
    step = torch.arange(side, device=image.device)
    rows = (corners[:, 0, None] + step)[:, None, :, None]  # (B,1,side,1)
    columns = (corners[:, 1, None] + step)[:, None, None, :]  # (B,1,1,side)
    batch = torch.arange(len(image), device=image.device)[:, None, None, None]
    channels = torch.arange(image.shape[1], device=image.device)[:, None, None]
    return image[batch, channels, rows, columns]
