"""The steps of `ColorizationModule.colorize`, which `chromafill colorize` takes one by one."""

import pytest
import torch
from toys import Flat

from lightning_modules.color.lab import lab_to_rgb, rgb_to_lab


def picture(height=20, width=30):
    """RGB in [0,1], away from the ends of the range."""
    return 0.3 + 0.4 * torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


class Painted(Flat):
    """Paints `colour` at half the size it sees."""

    colour = (10.0, -20.0)

    def predict_chroma(self, lightness):
        height, width = (length // 2 for length in lightness.shape[-2:])
        return torch.tensor(self.colour)[None, :, None, None].expand(len(lightness), 2, height, width)


@pytest.mark.parametrize(
    ("height", "width", "side", "expected"),
    [
        (100, 100, None, [96, 96]),  # 100 / 8 = 12.5, rounded to the even 12
        (3000, 4000, 256, [256, 344]),
        (4000, 3000, 256, [344, 256]),
        (1000, 4000, 256, [256, 1024]),
        (1000, 8000, 256, [128, 1024]),  # longer than 1:4
        (1, 5000, 256, [8, 1024]),
        (1, 1, 256, [256, 256]),
        (1, 1, None, [8, 8]),
    ],
)
def test_the_network_sees_multiples_of_its_stride_and_no_murals(height, width, side, expected):
    assert Flat().network_size(height, width, side) == expected


def test_lightness_is_shown_as_it_is_where_the_size_fits():
    lightness = 100 * torch.rand(1, 1, 16, 24)
    assert Flat().network_lightness(lightness) is lightness
    assert Flat().network_lightness(lightness, side=8).shape == (1, 1, 8, 16)


def test_shrinking_averages_instead_of_skipping():
    stripes = torch.tensor([0.0, 100.0]).repeat(64).expand(1, 1, 128, 128)  # one pixel wide
    small = Flat().network_lightness(stripes, side=16)
    assert (small[..., 2:-2] - 50).abs().max() < 5


def test_the_full_lightness_is_joined_with_the_enlarged_prediction():
    module, image = Painted(), picture(21, 30)
    lab, found = rgb_to_lab(image), rgb_to_lab(module.colorize(image, side=8))
    torch.testing.assert_close(found[:, 0], lab[:, 0], atol=1e-2, rtol=0)
    torch.testing.assert_close(found[:, 1:].mean((0, 2, 3)), torch.tensor(module.colour), atol=1e-2, rtol=0)


def test_join_clips_as_papers_do_or_keeps_the_lightness():
    lightness, ab = torch.zeros(1, 1, 4, 4), torch.full((1, 2, 4, 4), 60.0)
    module = Flat()
    clipped, kept = module.join(lightness, ab), module.join(lightness, ab, keep_lightness=True)
    assert torch.equal(clipped, lab_to_rgb(torch.cat([lightness, ab], 1)))
    assert rgb_to_lab(clipped)[:, 0].min() > 2 and rgb_to_lab(kept)[:, 0].max() < 0.2


def test_another_colour_space_needs_lightness_and_join_alone():
    class Inverted(Painted):
        def lightness(self, image):
            return 100 * (1 - image[:, :1])

        def join(self, lightness, ab, keep_lightness=False):
            return (1 - lightness / 100).expand(-1, 3, -1, -1)

    image = picture()
    torch.testing.assert_close(Inverted().colorize(image), image[:, :1].expand(-1, 3, -1, -1))
