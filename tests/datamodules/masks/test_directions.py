import math

import pytest
import torch

from datamodules.masks.directions import TURN, steps_of, unit_vectors


def test_vectors_are_cosine_and_sine_to_the_tables_precision():
    steps = torch.arange(TURN)
    angle = steps.double() * 2 * math.pi / TURN
    expected = torch.stack([angle.cos(), angle.sin()], dim=-1)
    assert (unit_vectors(steps) - expected).abs().max() <= 2**-17 + 1e-9  # half a unit of the table


def test_quarter_turns_are_exact():
    quarters = unit_vectors(torch.tensor([0, 1, 2, 3]) * (TURN // 4))
    assert quarters.tolist() == [[1, 0], [0, 1], [-1, 0], [0, -1]]


def test_steps_wrap_around_in_both_directions():
    steps = torch.tensor([[5, 700]])
    assert torch.equal(unit_vectors(steps), unit_vectors(steps - TURN))
    assert torch.equal(unit_vectors(steps), unit_vectors(steps + 3 * TURN))
    assert unit_vectors(steps).shape == (1, 2, 2)


@pytest.mark.parametrize("degrees, steps", [(0, 0), (90, TURN // 4), (360, TURN), (72, round(TURN / 5))])
def test_degrees_become_steps(degrees, steps):
    assert steps_of(degrees) == steps
