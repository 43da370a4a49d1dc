import math

import pytest
import torch

from experiments.benchmarks.color import torch_peak_bytes
from lightning_modules.losses.color_classes import (
    class_cross_entropy,
    class_loss,
    grey_mask,
    l2_sum,
    pixel_weights,
    target_entropy,
)


def example(batch=2, bins=11, neighbours=4, height=3, width=5, dtype=torch.float32):
    """Logits, K distinct indices and K weights of sum 1 for every pixel, and pixel weights."""
    generator = torch.Generator().manual_seed(0)
    logits = (4 * torch.randn(batch, bins, height, width, generator=generator)).to(dtype).requires_grad_()
    index = torch.rand(batch, bins, height, width, generator=generator).argsort(1)[:, :neighbours]
    weight = torch.softmax(torch.randn(batch, neighbours, height, width, generator=generator), dim=1)
    pixel_weight = torch.rand(batch, 1, height, width, generator=generator)
    return logits, index, weight.to(dtype), pixel_weight.to(dtype)


def dense_loss(logits, index, weight, pixel_weight):
    """The loss with the target written out for every bin."""
    target = torch.zeros_like(logits).scatter_(1, index, weight)
    return -(pixel_weight * target * logits.log_softmax(1)).sum() / len(logits)


def test_class_loss_of_one_pixel_equals_the_number_by_hand():
    logits = torch.tensor([1.0, 2.0, 4.0]).log()[None, :, None, None]  # probabilities 1/7, 2/7, 4/7
    index = torch.tensor([2, 0])[None, :, None, None]
    weight = torch.tensor([0.75, 0.25])[None, :, None, None]
    expected = -0.75 * math.log(4 / 7) - 0.25 * math.log(1 / 7)
    assert class_loss(logits, index, weight).item() == pytest.approx(expected, rel=1e-6)


def test_class_loss_sums_over_pixels_and_averages_over_images():
    logits, index, weight, pixel_weight = example()
    twice = [torch.cat([x, x]) for x in (logits, index, weight, pixel_weight)]
    wide = [torch.cat([x, x], dim=-1) for x in (logits, index, weight, pixel_weight)]
    once = class_loss(logits, index, weight, pixel_weight).item()
    assert class_loss(*twice).item() == pytest.approx(once, rel=1e-5)
    assert class_loss(*wide).item() == pytest.approx(2 * once, rel=1e-5)


def test_class_loss_and_its_gradient_equal_the_dense_ones():
    logits, index, weight, pixel_weight = example(dtype=torch.float64)
    ours, dense = class_loss(logits, index, weight, pixel_weight), dense_loss(logits, index, weight, pixel_weight)
    assert torch.allclose(ours, dense, rtol=1e-6)  # pixel weights and sums are at least float32
    gradient, dense_gradient = torch.autograd.grad(ours, logits)[0], torch.autograd.grad(dense, logits)[0]
    assert torch.allclose(gradient, dense_gradient, atol=1e-7)


def test_gradient_passes_gradcheck_in_float64():
    logits, index, weight, _ = example(dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: class_cross_entropy(x, index, weight), logits)


def test_gradient_is_right_for_weights_that_do_not_sum_to_one_and_repeated_bins():
    logits, index, weight, _ = example(dtype=torch.float64)
    index[:, 1] = index[:, 0]
    assert torch.autograd.gradcheck(lambda x: class_cross_entropy(x, index, 3 * weight), logits)


def test_gradient_is_softmax_minus_target_over_the_batch():
    logits, index, weight, _ = example()
    class_loss(logits, index, weight).backward()
    expected = (logits.detach().softmax(1) - torch.zeros_like(logits).scatter_(1, index, weight)) / len(logits)
    assert torch.allclose(logits.grad, expected, atol=1e-6)


def test_large_logits_give_finite_losses_and_gradients():
    logits, index, weight, pixel_weight = example()
    large = (logits.detach() * 1e4).requires_grad_()
    class_loss(large, index, weight, pixel_weight).backward()
    assert large.grad.isfinite().all()


def test_zero_pixel_weight_sends_no_gradient():
    logits, index, weight, pixel_weight = example()
    pixel_weight[:, :, 0] = 0
    class_loss(logits, index, weight, pixel_weight).backward()
    assert logits.grad[:, :, 0].abs().max() == 0 and logits.grad[:, :, 1:].abs().max() > 0


def test_an_image_weight_of_shape_b111_switches_images_off():
    logits, index, weight, _ = example()
    class_loss(logits, index, weight, torch.tensor([1.0, 0.0])[:, None, None, None]).backward()
    assert logits.grad[0].abs().max() > 0 and logits.grad[1].abs().max() == 0


def test_autocast_does_not_change_loss_or_gradient():
    logits, index, weight, pixel_weight = example()
    plain = torch.autograd.grad(class_loss(logits, index, weight, pixel_weight), logits)[0]
    with torch.autocast("cpu", torch.bfloat16):
        loss = class_loss(logits, index, weight, pixel_weight)
    assert loss.dtype == torch.float32
    assert torch.equal(torch.autograd.grad(loss, logits)[0], plain)


def test_16_bit_logits_are_summed_in_float32():
    logits, index, weight, pixel_weight = example()
    half = logits.detach().bfloat16().requires_grad_()
    loss = class_loss(half, index, weight, pixel_weight)
    assert torch.equal(loss, class_loss(half.float(), index, weight, pixel_weight))
    loss.backward()
    assert half.grad.dtype == torch.bfloat16


def test_backward_twice_gives_the_same_gradient():
    logits, index, weight, pixel_weight = example()
    loss = class_loss(logits, index, weight, pixel_weight)
    first = torch.autograd.grad(loss, logits, retain_graph=True)[0].clone()
    assert torch.equal(torch.autograd.grad(loss, logits)[0], first)


@pytest.mark.parametrize("batch", [1, 4])
def test_forward_and_backward_hold_one_tensor_of_the_size_of_the_logits(batch):
    logits, index, weight, pixel_weight = example(batch=batch, bins=313, height=16, width=16)

    def peak(loss):
        return torch_peak_bytes(lambda: torch.autograd.grad(loss(logits, index, weight, pixel_weight), logits))

    assert peak(class_loss) < 1.1 * 4 * logits.numel()
    assert peak(dense_loss) > 2.5 * 4 * logits.numel()


def test_class_loss_minus_target_entropy_is_the_divergence_that_caffe_prints():
    logits, index, weight, _ = example()
    target = torch.zeros_like(logits).scatter_(1, index, weight)
    divergence = torch.nn.functional.kl_div(logits.log_softmax(1), target, reduction="sum") / len(logits)
    ours = class_loss(logits, index, weight) - target_entropy(weight)
    assert ours.item() == pytest.approx(divergence.item(), rel=1e-5)


def test_target_entropy_of_a_one_hot_target_is_zero_and_of_two_equal_bins_log_two():
    assert target_entropy(torch.ones(2, 1, 3, 3)) == 0
    assert target_entropy(torch.full((2, 2, 3, 3), 0.5)).item() == pytest.approx(9 * math.log(2), rel=1e-6)
    assert target_entropy(torch.tensor([1.0, 0.0])[None, :, None, None]) == 0


def test_class_loss_names_a_target_of_another_size():
    logits, index, weight, _ = example()
    with pytest.raises(ValueError, match=r"\(B,K,H,W\) = \(2, K, 3, 5\) as the logits; got \(2, 4, 3, 4\)"):
        class_loss(logits, index[..., 1:], weight[..., 1:])
    with pytest.raises(ValueError, match="as the logits"):
        class_loss(logits, index, weight[:, 1:])


def test_class_loss_names_pixel_weights_of_another_shape():
    logits, index, weight, pixel_weight = example()
    with pytest.raises(ValueError, match=r"\(B,1,H,W\) = \(2, 1, 3, 5\) or \(B,1,1,1\); got \(2, 3, 5\)"):
        class_loss(logits, index, weight, pixel_weight[:, 0])


def test_pixel_weights_are_those_of_the_closest_bin():
    index = torch.tensor([[4, 1], [2, 3]])[None, :, None]  # (1,K=2,1,2)
    weight = torch.tensor([[0.3, 0.9], [0.7, 0.1]])[None, :, None]
    class_weights = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0])
    assert pixel_weights(index, weight, class_weights).tolist() == [[[[20.0, 10.0]]]]


def test_grey_mask_keeps_an_image_with_one_coloured_pixel():
    ab = torch.full((3, 2, 4, 4), 5.0)
    ab[1, 1, 2, 3] = -5.1
    ab[2] = -5.0
    assert grey_mask(ab).tolist() == [[[[0.0]]], [[[1.0]]], [[[0.0]]]]


def test_l2_sum_is_half_the_squared_distance_summed_over_pixels():
    ab = torch.zeros(2, 2, 1, 2)
    pred = torch.tensor([3.0, 4.0])[None, :, None, None].expand(2, 2, 1, 2)
    assert l2_sum(pred, ab).item() == pytest.approx(25)  # two pixels an image, 25 / 2 each
    assert l2_sum(ab, ab) == 0


def test_l2_sum_is_float32_for_16_bit_predictions():
    ab = torch.full((1, 2, 64, 64), 50.0)
    assert l2_sum(torch.zeros(1, 2, 64, 64, dtype=torch.bfloat16), ab).item() == pytest.approx(64 * 64 * 2500)


def test_l2_sum_names_a_prediction_of_another_shape():
    with pytest.raises(ValueError, match=r"shape of ab, \(1, 2, 4, 4\); got \(1, 2, 1, 1\)"):
        l2_sum(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 4, 4))
