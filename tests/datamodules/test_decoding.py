import io
import os
import threading
import warnings

import numpy as np
import pytest
import torch
from odd_files import CORNERS, HEIGHT, WIDTH, encoded, png, quarters, write_odd_files
from PIL import Image, ImageCms

from datamodules import decoding
from datamodules.decoding import (
    Photo,
    read_image,
    read_label_map,
    read_mask,
    read_photo,
    read_sized_image,
    reduce_jpeg,
    write_photo,
)
from datamodules.errors import DataError, UnreadableImage
from datamodules.view import View


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return write_odd_files(tmp_path_factory.mktemp("odd"))


def corner_colours(image):
    """The colours of the middle of each quarter, as `quarters` paints them."""
    height, width = image.shape[-2:]
    rows, columns = {"top": height // 4, "bottom": 3 * height // 4}, {"left": width // 4, "right": 3 * width // 4}
    return {name: image[:, rows[name.split()[0]], columns[name.split()[1]]].tolist() for name in CORNERS}


def assert_quarters(image, tolerance=4):
    for name, colour in corner_colours(image).items():
        assert colour == pytest.approx(CORNERS[name], abs=tolerance), name


def written(tmp_path, data, name="image.png"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def saved(tmp_path, values, name="image.png", mode=None):
    return written(tmp_path, encoded(Image.fromarray(np.asarray(values), mode), name.split(".")[1].upper()), name)


def test_there_are_more_than_twenty_kinds_of_odd_files_of_either_sort(odd):
    assert sum(readable for _, readable in odd.values()) > 35
    assert sum(not readable for _, readable in odd.values()) >= 20


def test_every_file_is_read_as_rgb_or_refused_with_path_and_reason_and_none_warns(odd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, (path, readable) in odd.items():
            if readable:
                image = read_image(path)
                assert image.dtype == torch.uint8 and image.shape[0] == 3 and image.ndim == 3, name
                assert read_photo(path).image.equal(image) or read_photo(path).alpha is not None, name
            else:
                for read in (read_image, read_photo, read_mask, read_label_map):
                    with pytest.raises(UnreadableImage) as caught:
                        read(path)
                    assert str(path) == caught.value.path and 5 < len(caught.value.reason) < 150, name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated.jpg", "truncated"),
        ("truncated progressive.jpg", "truncated"),
        ("truncated.png", "truncated"),
        ("truncated.bmp", "truncated"),
        ("zero bytes.jpg", "empty file"),
        ("web page.jpg", "a web page or other text, not an image"),
        ("text.jpg", "not an image, or damaged in its first bytes"),
        ("bomb.png", "too large.*2500000000 pixels"),
        ("not finite.tif", "not finite"),
        ("folder.jpg", "is a folder"),
        ("pipe.jpg", "is not a regular file"),
        ("missing.jpg", "No such file"),
        ("link in a circle.jpg", "Too many levels of symbolic links"),
    ],
)
def test_the_reason_says_what_is_wrong_with_the_file(odd, name, reason):
    with pytest.raises(UnreadableImage, match=reason):
        read_image(odd[name][0])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads files without permission")
def test_a_file_without_permission_is_refused(odd):
    with pytest.raises(UnreadableImage, match="Permission denied"):
        read_image(odd["no permission.jpg"][0])


@pytest.mark.parametrize("orientation", range(9))
def test_all_orientations_come_out_upright_whether_reduced_or_not(odd, orientation):
    path = odd[f"orientation {orientation}.jpg"][0]
    image, size = read_sized_image(path)
    assert image.shape[1:] == size == (HEIGHT, WIDTH)
    assert_quarters(image)
    image, size = read_sized_image(path, View(crop=8, shorter=8, squash=True))  # reduced by four
    assert image.shape[1:] == (8, 8) and size == (HEIGHT, WIDTH)
    assert_quarters(image, tolerance=12)


def test_the_orientation_of_tiff_png_and_webp_is_applied_once(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = quarters().transpose(Image.Transpose.ROTATE_90)
    for name in ("a.tiff", "a.png", "a.webp"):
        path = written(tmp_path, encoded(turned, name.split(".")[1].upper(), exif=exif), name)
        assert_quarters(read_image(path), tolerance=12)
        assert_quarters(read_photo(path).image, tolerance=12)


ENCODINGS = (
    "plain.jpg progressive.jpg cmyk.jpg ycck.jpg cmyk.tif picture.webp picture.bmp picture.ppm latin-1.jpg link.jpg"
)


@pytest.mark.parametrize(
    "name", [*ENCODINGS.split(), "写真 Übung é.jpg", "png named.jpg", "damaged exif.jpg", "UPPER CASE.JPG"]
)
def test_the_colours_survive_every_encoding(odd, name):
    assert_quarters(read_image(odd[name][0]), tolerance=12)


def test_transparency_lies_on_white_in_every_mode(odd):
    for name in ("rgba.png", "grey with alpha.png", "palette with transparency.png"):
        image = read_image(odd[name][0])
        assert (image[..., : WIDTH // 2] == 255).all() and (image[..., WIDTH // 2 :] != 255).any(), name
    assert read_image(odd["palette.png"][0])[:, 0, 0].tolist() == [255, 0, 0]
    assert (read_image(odd["colour key.png"][0]) == 255).all()


def test_half_transparent_black_on_white_is_grey(tmp_path):
    path = saved(tmp_path, np.array([[[0, 0, 0, 127]]], np.uint8))
    assert read_image(path).flatten().tolist() == [128, 128, 128]


@pytest.mark.parametrize("name", ["grey 16 bit.png", "grey 16 bit.tif", "float.tif"])
def test_deep_grey_is_scaled_and_not_clipped(odd, name):
    ramp = read_image(odd[name][0])[0, 0].int()
    assert ramp.tolist() == np.rint(np.linspace(0, 255, WIDTH)).tolist()


def test_16_bit_colour_keeps_its_upper_byte(odd):
    assert read_image(odd["rgb 16 bit.png"][0])[:, 0].T.tolist() == [[255, 0, 128], [0, 255, 64]]
    assert read_image(odd["grey alpha 16 bit.png"][0]).flatten().tolist() == [128, 128, 128]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 128.0, 255.0]], [0, 128, 255]),  # float in 0 to 255
        ([[-1.0, 0.0, 1.0]], [0, 128, 255]),  # any other float is stretched
        ([[1000.0, 1500.0, 2000.0]], [0, 128, 255]),
        ([[0.25, 0.25, 0.25]], [64, 64, 64]),
        ([[7e4, 7e4, 7e4]], [0, 0, 0]),  # constant out of every range
    ],
)
def test_float_grey_of_any_range_is_brought_to_8_bits(tmp_path, values, expected):
    path = saved(tmp_path, np.array(values, np.float32), "a.tiff")
    assert read_image(path)[0, 0].tolist() == expected


def test_integers_beyond_16_bits_are_stretched(tmp_path):
    path = saved(tmp_path, np.array([[0, 50_000, 100_000]], np.int32), "a.tiff")
    assert read_image(path)[0, 0].tolist() == [0, 128, 255]


def test_the_first_frame_of_an_animation_is_taken(odd):
    assert read_image(odd["animated.gif"][0])[:, 5, 5].tolist() == [255, 0, 0]


def test_a_large_jpeg_is_reduced_by_the_decoder_to_no_less_than_the_side_asked_for(tmp_path):
    path = written(tmp_path, encoded(quarters(1000, 700), "JPEG", quality=95), "a.jpg")
    for shortest, reduced, size in (
        (351, 1, (1000, 700)),
        (350, 2, (500, 350)),
        (87, 8, (125, 88)),
        (10, 8, (125, 88)),
    ):
        with Image.open(path) as image:
            assert (reduce_jpeg(image, shortest), image.size) == (reduced, size)
    with Image.open(written(tmp_path, encoded(quarters(100, 70), "PNG"), "a.png")) as image:
        assert (reduce_jpeg(image, 10), image.size) == (1, (100, 70))


@pytest.mark.parametrize("place", [None, (0.0, 0.0), (0.999, 0.999), (0.3, 0.7)])
@pytest.mark.parametrize("width, height", [(801, 1203), (1203, 801), (640, 640)])
def test_a_window_covers_the_same_pixels_whether_the_decoder_reduces_or_not(tmp_path, width, height, place):
    """801 and 1203 are no multiples of 8: reduced sides are rounded up, and what they hold is not stretched for it."""
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([128 + 100 * np.sin(rows / 40), 128 + 100 * np.sin(columns / 40), 0.0 * rows], -1)
    smooth = Image.fromarray(waves.astype(np.uint8))
    view = View(crop=64, shorter=80, place=place)
    of_jpeg = read_image(written(tmp_path, encoded(smooth, "JPEG", quality=98, subsampling=0), "a.jpg"), view)
    of_png = read_image(written(tmp_path, encoded(smooth, "PNG"), "a.png"), view)
    assert (of_jpeg.int() - of_png.int()).abs().max() <= 4  # a quarter of a pixel would be 6


def test_deep_grey_is_scaled_by_the_whole_picture_and_not_by_the_window(tmp_path):
    values = np.full((40, 60), 100.0, np.float32)
    values[0, 0], values[-1, -1] = 0.0, 400.0
    path = saved(tmp_path, values, "a.tiff")
    assert (read_image(path, View(crop=20)) == 64).all()  # 255 * 100 / 400


def test_a_file_in_memory_is_read_like_one_on_disk_and_named_by_its_name(tmp_path):
    data = encoded(quarters(), "JPEG")
    path = written(tmp_path, data, "a.jpg")
    for view in (None, View(crop=16), View(crop=8, shorter=8)):
        assert read_image(io.BytesIO(data), view).equal(read_image(path, view))
    with pytest.raises(UnreadableImage, match="^image in memory: empty file$"):
        read_image(io.BytesIO(b""))
    member = io.BytesIO(b"<html>")
    with pytest.raises(UnreadableImage, match="^image in memory: a web page or other text, not an image$"):
        read_image(member)
    assert not member.closed
    with open(written(tmp_path, data[:200], "cut.jpg"), "rb") as file:
        with pytest.raises(UnreadableImage, match=f"^{tmp_path}/cut.jpg: "):
            read_image(file)


def test_a_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = written(tmp_path, png(13_378, 13_378, 8, 2))  # the first square above the limit
    with pytest.raises(UnreadableImage, match="too large"):
        read_image(path)
    path = written(tmp_path, png(13_377, 13_377, 1, 0))  # the last below: what is wrong is that it has no pixels
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(path)


def test_a_pipe_does_not_hang_the_reader(odd):
    reader = threading.Thread(
        target=lambda: pytest.raises(UnreadableImage, read_image, odd["pipe.jpg"][0]), daemon=True
    )
    reader.start()
    reader.join(timeout=5)
    assert not reader.is_alive()


def test_a_label_map_keeps_class_numbers_whatever_the_palette_shows(tmp_path):
    numbers = np.array([[0, 1, 255], [7, 8, 9]], np.uint8)
    coloured = Image.fromarray(numbers, "P")
    coloured.putpalette(np.random.default_rng(0).integers(0, 255, 768).tolist())
    for image in (coloured, Image.fromarray(numbers), Image.fromarray(numbers.astype(np.uint16))):
        labels = read_label_map(written(tmp_path, encoded(image, "PNG")))
        assert labels.dtype == torch.uint8 and labels.tolist() == numbers.tolist()
    assert read_label_map(saved(tmp_path, numbers > 7)).tolist() == [[0, 0, 1], [0, 1, 1]]


def test_a_label_map_of_colours_or_of_large_numbers_is_refused(tmp_path):
    with pytest.raises(UnreadableImage, match="one class number per pixel, this image is RGB"):
        read_label_map(written(tmp_path, encoded(quarters(), "PNG")))
    with pytest.raises(UnreadableImage, match="class numbers must be 0 to 255, found 0 to 256"):
        read_label_map(saved(tmp_path, np.array([[0, 256]], np.uint16)))


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, 1], [1, 0]], np.uint8),
        np.array([[0, 255], [255, 0]], np.uint8),
        np.array([[30, 200], [128, 127]], np.uint8),
        np.array([[False, True], [True, False]]),
        np.array([[0, 65535], [65535, 0]], np.uint16),
        np.array([[0, 1], [1, 0]], np.uint16),
        np.array([[0, 255], [255, 0]], np.uint16),
        np.array([[[0] * 3, [255] * 3], [[255] * 3, [0] * 3]], np.uint8),
        np.array([[[0, 0, 0, 255], [255] * 4], [[255] * 4, [255, 255, 255, 0]]], np.uint8),  # transparent is no hole
    ],
)
def test_white_is_the_hole_in_masks_of_every_depth(tmp_path, values):
    path = saved(tmp_path, values)
    mask = read_mask(path)
    assert mask.dtype == torch.float32 and mask.tolist() == [[[0, 1], [1, 0]]]
    inverse = [[[1, 0], [0, 0 if values.shape[-1] == 4 else 1]]]
    assert read_mask(path, polarity="black").tolist() == inverse


def test_float_masks_and_constant_masks_are_understood(tmp_path):
    assert read_mask(saved(tmp_path, np.array([[0.0, 1.0]], np.float32), "a.tiff")).tolist() == [[[0, 1]]]
    assert read_mask(saved(tmp_path, np.zeros((1, 2), np.uint8))).tolist() == [[[0, 0]]]
    assert read_mask(saved(tmp_path, np.full((1, 2), 255, np.uint8))).tolist() == [[[1, 1]]]


def test_the_orientation_of_a_mask_is_applied(odd):
    upright = read_mask(odd["orientation 1.jpg"][0])
    assert 0 < upright.mean() < 1
    assert all(read_mask(odd[f"orientation {code}.jpg"][0]).equal(upright) for code in range(2, 9))


def test_an_unknown_polarity_is_refused(odd):
    with pytest.raises(ValueError, match="'white' or 'black'; got 'gray'"):
        read_mask(odd["1 bit.png"][0], polarity="gray")


def profile_of(space):
    """The bytes of an ICC profile that says it is for 'RGB ', 'GRAY' or 'CMYK'."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:16] + space + profile[20:]


@pytest.mark.parametrize(
    ("mode", "space", "kept"), [("RGB", b"RGB ", True), ("L", b"GRAY", False), ("CMYK", b"CMYK", False)]
)
def test_a_profile_is_kept_only_if_it_is_for_rgb(tmp_path, mode, space, kept):
    profile = profile_of(space)
    photo = read_photo(written(tmp_path, encoded(quarters().convert(mode), "JPEG", icc_profile=profile), "a.jpg"))
    assert photo.icc_profile == (profile if kept else None)
    write_photo(tmp_path / "b.png", photo.image, like=photo)
    assert Image.open(tmp_path / "b.png").info.get("icc_profile") == photo.icc_profile


def test_a_photo_is_the_whole_upright_picture_and_its_format(odd):
    photo = read_photo(odd["orientation 8.jpg"][0])
    assert_quarters(photo.image)
    assert photo.image.shape == (3, HEIGHT, WIDTH) and photo.image.is_contiguous()
    assert photo.alpha is None and photo.icc_profile is None and photo.format == "JPEG"
    assert read_photo(odd["plain.jpg"][0]).exif is None
    assert read_photo(odd["damaged exif.jpg"][0]).exif is None


def test_alpha_comes_apart_and_goes_back(odd, tmp_path):
    photo = read_photo(odd["rgba.png"][0])
    assert photo.alpha.shape == (1, HEIGHT, WIDTH) and photo.alpha.unique().tolist() == [0, 255]
    assert photo.image[:, 0, 0].tolist() == [0, 0, 0]  # as stored, not composited
    for name in ("out.png", "out.webp", "out.tif"):
        write_photo(tmp_path / name, photo.image, like=photo)
        assert read_photo(tmp_path / name).alpha.equal(photo.alpha), name
    write_photo(tmp_path / "out.jpg", photo.image, like=photo)
    assert (read_image(tmp_path / "out.jpg")[:, :, :8] > 250).all()  # white behind it


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_goes_along_with_orientation_1_and_without_the_old_file(tmp_path, suffix):
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010F: "Maker", 0x0111: 99})  # 0x0111: where the old file's strips begin
    exif[0x8769] = {0x9003: "2001:02:03 04:05:06", 0x927C: b"maker notes with offsets"}
    exif[0x8825] = {1: "N"}
    photo = read_photo(written(tmp_path, encoded(quarters(), "JPEG", exif=exif), "old.jpg"))
    path = tmp_path / f"new{suffix}"
    write_photo(path, photo.image, like=photo)
    assert read_image(path).shape == photo.image.shape == (3, WIDTH, HEIGHT)  # turned once, not twice
    new = Image.open(path).getexif()
    assert new[0x010F] == "Maker" and new.get(0x0112, 1) == 1
    assert new.get_ifd(0x8769)[0x9003] == "2001:02:03 04:05:06" and 0x927C not in new.get_ifd(0x8769)
    assert new.get_ifd(0x8825)[1] == "N"
    assert suffix == ".tif" or 0x0111 not in new


def test_lossless_formats_give_back_what_was_written_and_the_others_nearly(tmp_path):
    noise = torch.randint(0, 256, (3, 20, 30), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for suffix in (".png", ".tif", ".tiff", ".bmp", ".ppm"):
        write_photo(tmp_path / f"a{suffix}", noise)
        assert read_image(tmp_path / f"a{suffix}").equal(noise), suffix
    for suffix in (".jpg", ".jpeg", ".webp"):
        write_photo(tmp_path / f"a{suffix}", torch.from_numpy(np.array(quarters())).permute(2, 0, 1))
        assert_quarters(read_image(tmp_path / f"a{suffix}"), tolerance=6)
    assert len(list(tmp_path.iterdir())) == len(decoding.SAVING)


def test_jpegs_are_written_in_quality_95_at_full_chroma(tmp_path):
    write_photo(tmp_path / "a.JPG", torch.zeros(3, 16, 16, dtype=torch.uint8))
    with (
        Image.open(tmp_path / "a.JPG") as image,
        Image.open(written(tmp_path, encoded(quarters(), "JPEG", quality=95), "b.jpg")) as other,
    ):
        assert image.quantization == other.quantization
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_photo(tmp_path / "a.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    before = (tmp_path / "a.png").read_bytes()

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoding.os, "replace", full)
    with pytest.raises(DataError, match="a.png: cannot be written: No space left on device"):
        write_photo(tmp_path / "a.png", torch.ones(3, 4, 4, dtype=torch.uint8))
    assert os.listdir(tmp_path) == ["a.png"] and (tmp_path / "a.png").read_bytes() == before


def test_what_cannot_be_written_says_so(tmp_path):
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"can be written as \.jpg .*, not as '\.gif'"):
        write_photo(tmp_path / "a.gif", image)
    with pytest.raises(DataError, match="cannot be written: No such file or directory"):
        write_photo(tmp_path / "none" / "a.png", image)
    with pytest.raises(DataError, match="cannot be written"):
        write_photo(tmp_path / "a.jpg", torch.zeros(3, 1, 70_000, dtype=torch.uint8))
    assert os.listdir(tmp_path) == []


def test_a_photo_without_metadata_needs_none(tmp_path):
    photo = Photo(torch.zeros(3, 4, 4, dtype=torch.uint8), None, None, None, "PNG")
    write_photo(tmp_path / "a.png", photo.image, like=photo)
    assert read_photo(tmp_path / "a.png").exif is None
