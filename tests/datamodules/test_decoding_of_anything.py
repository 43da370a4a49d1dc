"""Whatever image file comes, of any mode, size and orientation: upright RGB, or UnreadableImage."""

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.decoding import UPRIGHT, read_image, read_mask, read_photo
from datamodules.errors import UnreadableImage

RANDOM = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MODES = {  # format: modes that Pillow writes in it
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P"),
    "PPM": ("1", "L", "RGB"),
    "JPEG2000": ("L", "RGB", "RGBA"),
}
WITH_EXIF = ("PNG", "JPEG", "TIFF", "WEBP")
SWAPPED = (5, 6, 7, 8)


@st.composite
def pictures(draw):
    """(format, mode, pixels of Pillow, EXIF orientation or None)"""
    file_format = draw(st.sampled_from(sorted(MODES)))
    mode = draw(st.sampled_from(MODES[file_format]))
    side = st.one_of(st.integers(1, 40), st.sampled_from([1, 2, 3, 700]))
    height, width = draw(side), draw(side)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if mode == "I;16":
        image = Image.fromarray(random.integers(0, 65536, (height, width)).astype(np.uint16))
    elif mode == "I":
        image = Image.fromarray(random.integers(-(2**31), 2**31, (height, width)).astype(np.int32))
    elif mode == "F":
        image = Image.fromarray(random.normal(0, 10.0 ** random.integers(-3, 6), (height, width)).astype(np.float32))
    else:
        channels = {"LA": 2, "RGBA": 4, "CMYK": 4}.get(mode, 3)
        values = random.integers(0, 256, (height, width, channels)).astype(np.uint8)
        image = Image.fromarray(values, {"LA": "LA", "RGBA": "RGBA", "CMYK": "CMYK"}.get(mode, "RGB")).convert(mode)
    orientation = draw(st.one_of(st.none(), st.integers(0, 9))) if file_format in WITH_EXIF else None
    return file_format, mode, image, orientation


def written(path, file_format, image, orientation):
    options = {}
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    image.save(path, file_format, **options)
    return path


@RANDOM
@given(pictures())
def test_any_picture_becomes_upright_8_bit_rgb_of_its_size(tmp_path, picture):
    file_format, _, image, orientation = picture
    path = written(tmp_path / "a", file_format, image, orientation)
    height, width = image.size[::-1] if orientation not in SWAPPED else image.size
    found = read_image(path)
    assert found.dtype == torch.uint8 and found.shape == (3, height, width)
    assert read_photo(path).image.shape == found.shape


@RANDOM
@given(pictures())
def test_lossless_rgb_comes_back_turned_as_its_orientation_says(tmp_path, picture):
    _, _, image, orientation = picture
    rgb = image.convert("RGB") if image.mode not in ("I", "F", "I;16") else Image.new("RGB", image.size, (9, 8, 7))
    path = written(tmp_path / "a", "PNG", rgb, orientation)
    expected = np.asarray(rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb)
    assert np.array_equal(read_image(path).permute(1, 2, 0).numpy(), expected)


@RANDOM
@given(pictures(), st.sampled_from(["white", "black"]))
def test_any_picture_is_a_mask_of_0_and_1_whose_polarity_turns_it_over(tmp_path, picture, polarity):
    file_format, mode, image, orientation = picture
    path = written(tmp_path / "a", file_format, image, orientation)
    mask = read_mask(path, polarity)
    assert mask.shape == (1, *read_image(path).shape[1:]) and set(mask.unique().tolist()) <= {0.0, 1.0}
    if "A" not in mode:  # what is transparent is no hole in either
        other = read_mask(path, "black" if polarity == "white" else "white")
        assert torch.equal(mask, 1 - other)


@RANDOM
@given(pictures(), st.data())
def test_a_file_that_is_cut_anywhere_is_read_or_unreadable_and_nothing_else(tmp_path, picture, data):
    file_format, _, image, orientation = picture
    content = written(tmp_path / "a", file_format, image, orientation).read_bytes()
    cut = content[: data.draw(st.integers(0, len(content)))]
    (tmp_path / "b").write_bytes(cut)
    for read in (read_image, read_mask, read_photo):
        try:
            read(tmp_path / "b")
        except UnreadableImage as error:
            assert "\n" not in str(error)
