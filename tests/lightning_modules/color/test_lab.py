import numpy as np
import pytest
import torch
from skimage import color

from lightning_modules.color.lab import full_float32, lab_to_rgb, rgb_to_lab


def colour_cube(levels=33):
    """(levels^2, levels, 3) float64, every sRGB colour of a regular sampling."""
    level = np.linspace(0, 1, levels)
    return np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(levels**2, levels, 3)


def to_tensor(array):
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def to_array(tensor):
    return tensor[0].permute(1, 2, 0).double().numpy()


def test_rgb_to_lab_agrees_with_scikit_image_on_a_colour_cube():
    cube = colour_cube()
    error = np.abs(to_array(rgb_to_lab(to_tensor(cube))) - color.rgb2lab(cube)).max()
    assert error < 7e-5  # 5.1e-5 measured


def test_lab_to_rgb_agrees_with_scikit_image_on_a_colour_cube():
    lab = color.rgb2lab(colour_cube())
    error = np.abs(to_array(lab_to_rgb(to_tensor(lab))) - color.lab2rgb(lab)).max()
    assert error < 6e-6  # 3.9e-6 measured


def test_lab_of_an_8_bit_colour_is_what_a_table_says():
    # sRGB (255,0,0) in CIE Lab, D65: L 53.24, a 80.09, b 67.20, as any colour calculator prints
    red = rgb_to_lab(torch.tensor([1.0, 0.0, 0.0])[:, None, None]).flatten()
    assert red.tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.01)


def test_the_srgb_cube_has_the_stated_extremes_of_ab():
    lab = rgb_to_lab(to_tensor(colour_cube()))
    assert lab.amin((0, 2, 3)).tolist() == pytest.approx([0, -86.2, -107.9], abs=0.05)
    assert lab.amax((0, 2, 3)).tolist() == pytest.approx([100, 98.2, 94.5], abs=0.05)


def test_round_trip_returns_the_image():
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(lab_to_rgb(rgb_to_lab(image)), image, atol=1e-5)


def test_lab_to_rgb_clips_colours_that_srgb_does_not_have():
    lab = torch.tensor([50.0, -120.0, 120.0])[:, None, None]
    rgb = lab_to_rgb(lab)
    assert rgb.min() == 0 and rgb.max() <= 1


def test_leading_dimensions_are_free():
    image = torch.rand(2, 4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(rgb_to_lab(image)[1, 2], rgb_to_lab(image[1, 2]), atol=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("convert", [rgb_to_lab, lambda image: lab_to_rgb(rgb_to_lab(image))])
def test_gradients_are_finite_at_black_grey_and_white(level, convert):
    image = torch.full((1, 3, 2, 2), level, requires_grad=True)
    convert(image).sum().backward()
    assert image.grad.isfinite().all()


def test_gradient_of_lightness_is_not_zero_at_black():
    image = torch.zeros(1, 3, 1, 1, requires_grad=True)
    rgb_to_lab(image)[:, 0].sum().backward()
    assert (image.grad > 0).all()


@pytest.mark.parametrize("convert", [rgb_to_lab, lab_to_rgb])
def test_autocast_does_not_change_the_result(convert):
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = convert(image)
    assert under_autocast.dtype == torch.float32
    assert torch.equal(under_autocast, convert(image))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_result_is_float32_whatever_comes_in(dtype):
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert rgb_to_lab(image).dtype == torch.float32
    assert torch.equal(rgb_to_lab(image), rgb_to_lab(image.float()))


def test_rgb_to_lab_refuses_bytes():
    with pytest.raises(AssertionError, match=r"RGB in \[0, 1\]; got torch.uint8"):
        rgb_to_lab(torch.zeros(1, 3, 2, 2, dtype=torch.uint8))


def test_full_float32_turns_tf32_convolutions_off_and_back():
    before = torch.backends.cudnn.conv.fp32_precision
    with full_float32(torch.device("cpu")):
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == before


def test_full_float32_restores_after_an_error():
    before = torch.backends.cudnn.conv.fp32_precision
    with pytest.raises(ZeroDivisionError), full_float32(torch.device("cpu")):
        _ = 1 / 0
    assert torch.backends.cudnn.conv.fp32_precision == before


@pytest.mark.gpu
def test_a_gpu_gives_the_lab_of_the_cpu():
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(rgb_to_lab(image.cuda()).cpu(), rgb_to_lab(image), atol=2e-4)
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.allclose(rgb_to_lab(image.cuda()).cpu(), rgb_to_lab(image), atol=2e-4)
