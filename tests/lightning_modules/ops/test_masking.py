import pytest
import torch

from lightning_modules.ops.masking import composite, mean_fill, require_mask


def test_composite_takes_pred_in_the_hole_and_the_image_bit_for_bit_around_it():
    generator = torch.Generator().manual_seed(0)
    image, pred = torch.rand(2, 2, 3, 8, 8, generator=generator)
    mask = (torch.rand(2, 1, 8, 8, generator=generator) < 0.4).float()
    done = composite(pred, image, mask)
    hole = mask.bool().expand_as(image)
    assert torch.equal(done[hole], pred[hole]) and torch.equal(done[~hole], image[~hole])


def test_mean_fill_uses_each_images_visible_mean_and_ignores_the_hole():
    image = torch.zeros(2, 3, 2, 2)
    image[0, :, 0, 0], image[0, :, 0, 1], image[0, :, 1] = 0.2, 0.4, 9.0
    image[1] = 0.7
    mask = torch.zeros(2, 1, 2, 2)
    mask[:, :, 1] = 1
    filled = mean_fill(image, mask)
    assert filled[0, 0].flatten().tolist() == pytest.approx([0.2, 0.4, 0.3, 0.3])
    assert filled[1].flatten().tolist() == pytest.approx([0.7] * 12)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 8, 8), (1, 1, 8, 8)])
def test_a_mask_that_is_not_b1hw_is_refused(shape):
    with pytest.raises(ValueError, match=r"mask must be \(B,1,H,W\) = \(2, 1, 8, 8\) with 1 in the hole; got"):
        require_mask(torch.zeros(2, 3, 8, 8), torch.zeros(shape))
