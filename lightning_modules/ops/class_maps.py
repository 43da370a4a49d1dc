"""Label maps (B,H,W) uint8 of a data set as class numbers, as probabilities and as colours.

The labels `first_label`, `first_label` + 1, ... are the classes 0, 1, ...; every other label means unlabelled.
"""

import torch

UNLABELLED = -1  # class number of a pixel that nobody labelled
VOID = 255  # the label by which data sets say so
GOLDEN = 0.618034  # hues this far apart never come close


def class_numbers(labels, classes, first_label):
    """int64 (B,H,W) in [0, classes), or UNLABELLED."""
    number = labels.long() - first_label
    return torch.where((number >= 0) & (number < classes), number, UNLABELLED)


def require_labels(labels, classes, first_label):
    """ValueError where a label lies beyond the last class."""
    beyond = labels[(labels >= first_label + classes) & (labels != VOID)]
    if beyond.numel():
        raise ValueError(
            f"{classes} classes from label {first_label} on end at {first_label + classes - 1}, but the data set has "
            f"the label {int(beyond.max())}; give the data set's number of classes"
        )


def one_hot(labels, classes, first_label):
    """Probabilities (B,C,H,W) float32: 1 for the label's class; the same for all where there is none."""
    number = class_numbers(labels, classes, first_label)[:, None]
    certain = torch.arange(classes, device=labels.device)[:, None, None] == number
    return torch.where(number == UNLABELLED, 1 / classes, certain.float())


def colours(numbers):
    """Class numbers (B,H,W) -> RGB (B,3,H,W), another hue each; unlabelled is black."""
    hue = (numbers[:, None] * GOLDEN) % 1
    wheel = torch.tensor([0.0, 1 / 3, 2 / 3], device=numbers.device)[:, None, None]
    value = 0.55 + 0.4 * torch.cos(2 * torch.pi * (hue - wheel))
    return torch.where(numbers[:, None] == UNLABELLED, 0.0, value)
