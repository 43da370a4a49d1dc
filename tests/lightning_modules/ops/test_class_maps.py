import pytest
import torch

from lightning_modules.ops.class_maps import UNLABELLED, class_numbers, colours, one_hot, require_labels

LABELS = torch.tensor([[[0, 1, 2], [3, 4, 255]]], dtype=torch.uint8)


def test_labels_outside_the_classes_are_unlabelled():
    numbers = class_numbers(LABELS, classes=3, first_label=1)
    assert numbers.tolist() == [[[UNLABELLED, 0, 1], [2, UNLABELLED, UNLABELLED]]]


def test_one_hot_sums_to_one_and_is_even_where_nothing_is_known():
    probabilities = one_hot(LABELS, classes=3, first_label=1)
    assert probabilities.shape == (1, 3, 2, 3)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1, 2, 3))
    assert probabilities[0, :, 0, 2].tolist() == [0, 1, 0]
    assert probabilities[0, :, 0, 0].tolist() == pytest.approx([1 / 3] * 3)


def test_a_label_beyond_the_last_class_is_refused_and_void_is_not():
    with pytest.raises(ValueError, match="3 classes from label 1 on end at 3, but the data set has the label 4"):
        require_labels(LABELS, classes=3, first_label=1)
    require_labels(LABELS, classes=5, first_label=0)


def test_each_class_has_a_colour_of_its_own_and_unlabelled_is_black():
    painted = colours(torch.arange(-1, 47).reshape(1, 1, 48))
    assert painted.shape == (1, 3, 1, 48) and painted.min() >= 0 and painted.max() <= 1
    assert painted[..., 0].abs().max() == 0
    distance = torch.cdist(painted[0, :, 0, 1:].T, painted[0, :, 0, 1:].T) + torch.eye(47)
    assert distance.min() > 0.02
