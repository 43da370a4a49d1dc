import pytest

from experiments.reliability.finding import Finding


@pytest.mark.parametrize(("tried", "held"), [(1, 2), (0, 1), (3, -1)])
def test_more_cannot_hold_than_was_tried(tried, held):
    with pytest.raises(ValueError, match="kills: .* cannot have held"):
        Finding(what="kills", tried=tried, held=held)
