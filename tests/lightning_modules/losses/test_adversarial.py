import math

import pytest
import torch
from torch.nn import functional as F

from lightning_modules.losses.adversarial import nonsaturating_d, nonsaturating_g

LOGIT_OF_3_4 = math.log(3)  # sigmoid(log 3) = 3/4


def test_d_loss_by_hand():
    # -log(3/4) for the real one, -log(1 - 1/2) and -log(1 - 3/4) for the fakes: added, not halved.
    real, fake = torch.tensor([[LOGIT_OF_3_4]]), torch.tensor([[0.0], [LOGIT_OF_3_4]])
    expected = -math.log(3 / 4) + (-math.log(1 / 2) - math.log(1 / 4)) / 2
    assert nonsaturating_d(real, fake).item() == pytest.approx(expected, rel=1e-6)


def test_g_loss_by_hand():
    fake = torch.tensor([[0.0], [LOGIT_OF_3_4]])
    assert nonsaturating_g(fake).item() == pytest.approx((-math.log(1 / 2) - math.log(3 / 4)) / 2, rel=1e-6)


def test_an_undecided_discriminator_costs_two_log_two():
    zero = torch.zeros(3, 1)
    assert nonsaturating_d(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert nonsaturating_g(zero).item() == pytest.approx(math.log(2))


def test_they_are_binary_cross_entropy_of_the_sigmoid():
    real, fake = torch.randn(2, 8, 1, generator=torch.Generator().manual_seed(0))
    one, nought = torch.ones(8, 1), torch.zeros(8, 1)
    bce = F.binary_cross_entropy(real.sigmoid(), one) + F.binary_cross_entropy(fake.sigmoid(), nought)
    assert nonsaturating_d(real, fake).item() == pytest.approx(bce.item(), rel=1e-5)
    assert nonsaturating_g(fake).item() == pytest.approx(F.binary_cross_entropy(fake.sigmoid(), one).item(), rel=1e-5)


def test_g_still_learns_where_d_is_sure():
    # d/dz of -log sigmoid(z) is sigmoid(z) - 1, which is -1 for a fake seen through; log(1 - D) would give 0 there.
    fake = torch.tensor([[-50.0]], requires_grad=True)
    nonsaturating_g(fake).backward()
    assert fake.grad.item() == pytest.approx(-1.0)


def test_no_logit_overflows():
    far = torch.tensor([[-1e4], [1e4]])
    assert nonsaturating_d(far, far).item() == pytest.approx(1e4)
    assert nonsaturating_g(far).item() == pytest.approx(5e3)


def test_in_16_bits_the_loss_is_that_of_the_logits_in_float32():
    real, fake = torch.tensor([[0.3], [1.7]]), torch.tensor([[-0.2], [0.9]])
    for dtype in (torch.bfloat16, torch.float16):
        low = real.to(dtype), fake.to(dtype)
        with torch.autocast("cpu", dtype=dtype):
            losses = nonsaturating_d(*low), nonsaturating_g(low[1])
        assert all(loss.dtype == torch.float32 for loss in losses)
        assert losses[0].item() == nonsaturating_d(low[0].float(), low[1].float()).item()
