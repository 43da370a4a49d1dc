import pytest
import torch
from toys import Flat, fit, synthetic

from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.metrics.pixel import PSNR_CAP
from lightning_modules.tasks import InpaintingModule, grey


def photo(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_grey_keeps_lightness_and_has_no_colour():
    image = photo(2, 3, 8, 8)
    lab, flat = rgb_to_lab(image), rgb_to_lab(grey(image))
    assert (lab[:, :1] - flat[:, :1]).abs().max() < 1e-3
    assert flat[:, 1:].abs().max() < 2e-2


@pytest.mark.parametrize("size", [(16, 16), (37, 23), (5, 90)])
def test_colorize_keeps_size_and_lightness_at_any_resolution(size):
    module = Flat()
    image = 0.3 + 0.4 * photo(1, 3, *size)
    module.ab.data[:] = torch.tensor([4.0, -3.0])[:, None, None]
    done = module.colorize(image, side=16)
    assert done.shape == image.shape
    assert (rgb_to_lab(done)[:, 0] - rgb_to_lab(image)[:, 0]).abs().max() < 0.1
    assert (rgb_to_lab(done)[:, 1] - 4).abs().max() < 0.2


def test_the_network_sees_sides_that_are_multiples_of_its_stride():
    class Watching(Flat):
        def predict_chroma(self, lightness):
            self.seen = tuple(lightness.shape)
            return super().predict_chroma(lightness)

    module = Watching()
    module.colorize(photo(1, 3, 100, 150), side=32)
    assert module.seen == (1, 1, 32, 48)
    module.colorize(photo(1, 3, 100, 150))
    assert module.seen == (1, 1, 96, 152)  # 100 and 150 rounded to multiples of 8 (Python rounds halves to even)


class HoleLast(InpaintingModule):
    """Fills holes with 0.5."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def complete(self, image, mask):
        return image * (1 - mask) + 0.5 * mask


def test_inpainting_scores_the_hole_beside_the_trivial_answer():
    image, mask = torch.full((1, 3, 4, 4), 0.6), torch.zeros(1, 1, 4, 4)
    image[:, :, 0], mask[:, :, 0] = 0.5, 1.0  # the first row is the hole, its truth 0.5; mean fill gives 0.6
    batch = {"image": image, "mask": mask}
    scores = HoleLast().scores(batch)
    assert scores["psnr_hole_mean_fill"].item() == pytest.approx(20.0, abs=1e-3)  # error 0.1
    assert scores["psnr_hole"].item() == PSNR_CAP
    shown = HoleLast().panels(batch)["input"]
    assert shown[:, :, 0].min() == 1.0


def test_validation_is_the_mean_over_samples_whatever_the_batches():
    means = []
    for batch_size in (2, 5):
        data = synthetic(1, batch_size=batch_size, train_count=8)
        module = Flat(lr=0.0)
        trainer = fit(module, data, validate_every=1)
        means.append(trainer.callback_metrics["val/psnr"].item())
    assert means[0] == pytest.approx(means[1], abs=1e-5)
