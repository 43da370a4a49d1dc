import numpy as np
import pytest
import torch
from skimage import color

from lightning_modules.color.yuv import reduce_uv, rgb_to_yuv, yuv_to_rgb


def colour_cube(levels=33):
    """(1, 3, levels^2, levels) float32, every sRGB colour of a regular sampling."""
    level = torch.linspace(0, 1, levels)
    return torch.cartesian_prod(level, level, level).reshape(levels**2, levels, 3).permute(2, 0, 1)[None]


def test_rgb_to_yuv_agrees_with_scikit_image_on_a_colour_cube():
    cube = colour_cube()
    reference = color.rgb2yuv(cube[0].permute(1, 2, 0).double().numpy())
    error = np.abs(rgb_to_yuv(cube)[0].permute(1, 2, 0).numpy() - reference).max(axis=(0, 1))
    assert error[0] < 1e-6
    assert error[1] < 1.6e-4  # 1.41e-4 measured: three decimals against eight
    assert error[2] < 5e-5


def test_yuv_has_the_stated_ranges():
    yuv = rgb_to_yuv(colour_cube(3))
    assert yuv.amin((0, 2, 3)).tolist() == pytest.approx([0, -0.436, -0.615], abs=1e-6)
    assert yuv.amax((0, 2, 3)).tolist() == pytest.approx([1, 0.436, 0.615], abs=1e-6)


def test_grey_has_no_chroma():
    grey = rgb_to_yuv(torch.full((1, 3, 2, 2), 0.3))
    assert torch.allclose(grey, torch.tensor([0.3, 0.0, 0.0])[:, None, None], atol=1e-6)


def test_round_trip_returns_the_image():
    assert torch.allclose(yuv_to_rgb(rgb_to_yuv(colour_cube(9))), colour_cube(9), atol=1e-6)


def test_yuv_to_rgb_clips_colours_that_rgb_does_not_have():
    rgb = yuv_to_rgb(torch.tensor([0.9, -0.4, 0.6])[:, None, None])
    assert rgb.min() >= 0 and rgb.max() == 1


@pytest.mark.parametrize("convert", [rgb_to_yuv, yuv_to_rgb])
def test_autocast_does_not_change_the_result(convert):
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = convert(image)
    assert under_autocast.dtype == torch.float32
    assert torch.equal(under_autocast, convert(image))


def test_gradient_of_luma_is_its_weights():
    image = torch.zeros(1, 3, 1, 1, requires_grad=True)
    rgb_to_yuv(image)[:, 0].sum().backward()
    assert image.grad.flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_rgb_to_yuv_refuses_bytes():
    with pytest.raises(AssertionError, match=r"RGB in \[0, 1\]; got torch.uint8"):
        rgb_to_yuv(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))


def test_reduce_uv_leaves_the_colours_of_rgb_alone():
    yuv = rgb_to_yuv(colour_cube(9))
    assert torch.allclose(reduce_uv(yuv), yuv, atol=1e-6)


def test_reduce_uv_brings_every_colour_inside_with_its_luma_and_hue_and_no_further_than_needed():
    random = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    yuv = torch.cat([random[:, :1], random[:, 1:] - 0.5], dim=1)
    inside = reduce_uv(yuv)
    assert torch.equal(inside[:, 0], yuv[:, 0])
    assert torch.allclose(rgb_to_yuv(yuv_to_rgb(inside)), inside, atol=1e-5)  # clipping had nothing to do
    assert not torch.allclose(rgb_to_yuv(yuv_to_rgb(yuv)), yuv, atol=0.1)
    cross = yuv[:, 1] * inside[:, 2] - yuv[:, 2] * inside[:, 1]
    assert cross.abs().max() < 1e-6 and (yuv * inside)[:, 1:].sum(1).min() >= 0
    moved = (inside - yuv).abs().amax(1)[0] > 1e-3
    rgb = yuv_to_rgb(inside)[0, :, moved]
    assert torch.minimum(rgb, 1 - rgb).amin(0).max() < 1e-5  # on the surface of the cube


def test_reduce_uv_makes_black_and_white_of_coloured_black_and_white():
    yuv = torch.tensor([[0, 0.3, -0.2], [1, -0.1, 0.4], [0, 0, 0]], dtype=torch.float32).T[None, :, None]
    assert yuv_to_rgb(reduce_uv(yuv))[0, :, 0].T.flatten().tolist() == pytest.approx([0] * 3 + [1] * 3 + [0] * 3)
