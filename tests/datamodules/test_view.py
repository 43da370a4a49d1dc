import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from datamodules.view import View, pixels_at, show, show_labels, shown


def interleaved(planes):
    """The same pixels as decoders lay them."""
    return planes.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def picture(height, width):
    """Smooth uint8 (3,H,W)."""
    noise = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    return v2.functional.resize((noise[0] * 255).byte(), [height, width], antialias=True)


def test_resize_keeps_the_aspect_and_squash_does_not():
    assert View(crop=8, shorter=10).resized(20, 30) == (10, 15)
    assert View(crop=8, shorter=10).resized(31, 20) == (16, 10)  # 15.5, to even
    assert View(crop=8, shorter=10, squash=True).resized(20, 30) == (10, 10)


def test_without_a_size_only_what_is_smaller_than_the_window_is_enlarged():
    assert View(crop=8).resized(20, 30) == (20, 30)
    assert View(crop=8).resized(5, 7) == (8, 11)


def test_the_window_is_the_centre_or_moves_over_all_places_evenly():
    assert View(crop=8).corner(21, 30) == (6, 11)
    assert View(crop=8, place=(0.0, 0.0)).corner(20, 30) == (0, 0)
    assert View(crop=8, place=(0.9999, 0.9999)).corner(20, 30) == (12, 22)
    tops = [View(crop=8, place=(step / 130, 0.0)).corner(20, 30)[0] for step in range(130)]
    assert [tops.count(top) for top in range(13)] == [10] * 13
    assert View(crop=8, shorter=10, place=(0.9999, 0.9999)).corner(20, 30) == (2, 7)


@pytest.mark.parametrize("place", [None, (0.0, 0.0), (0.99, 0.99), (0.2, 0.7)])
@pytest.mark.parametrize("shorter", [97, 40, 150])
@pytest.mark.parametrize("squash", [True, False])
def test_the_window_is_cut_out_of_the_whole_picture_resized(shorter, squash, place):
    """Against Pillow, to the rounding of fixed-point weights, and torchvision, bit for bit."""
    image = interleaved(picture(97, 131))
    view = View(crop=32, shorter=shorter, squash=squash, place=place)
    (height, width), (top, left) = view.resized(97, 131), view.corner(97, 131)
    seen = shown({"image": image}, view)["image"]
    whole = v2.functional.resize(image, [height, width], antialias=True)
    assert seen.equal(whole[:, top : top + 32, left : left + 32])
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((width, height), Image.Resampling.BILINEAR)
    expected = torch.from_numpy(np.array(pillow)).permute(2, 0, 1)[:, top : top + 32, left : left + 32]
    assert (seen.int() - expected.int()).abs().max() <= 1


def test_pixels_are_kept_as_they_are_where_the_size_does_not_change():
    image = picture(40, 60)
    for view in (View(crop=24, place=(0.3, 0.6)), View(crop=24, shorter=40, place=(0.3, 0.6))):
        top, left = view.corner(40, 60)
        assert shown({"image": image}, view)["image"].equal(image[:, top : top + 24, left : left + 24])


def test_a_mirrored_window_is_the_window_mirrored_with_its_labels():
    item = {"image": picture(40, 60), "semantic": torch.arange(2400).reshape(40, 60).byte(), "label": 3}
    plain, mirrored = (shown(item, View(crop=24, shorter=30, mirror=mirror)) for mirror in (False, True))
    assert mirrored["image"].equal(plain["image"].flip(-1)) and not mirrored["image"].equal(plain["image"])
    assert mirrored["semantic"].equal(plain["semantic"].flip(-1))
    assert mirrored["label"] == 3 and mirrored["image"].is_contiguous()


def test_without_a_view_an_item_stays_whole():
    item = {"image": picture(40, 60)}
    assert shown(item, None) is item


def test_labels_are_those_under_the_middles_of_the_pixels():
    assert pixels_at(range(4), 4, 4).tolist() == [0, 1, 2, 3]
    assert pixels_at(range(2), 2, 4).tolist() == [1, 3]  # middles at 1.0 and 3.0
    assert pixels_at(range(2, 6), 8, 4).tolist() == [1, 1, 2, 2]
    columns = (torch.arange(60) // 20).byte().expand(40, -1)  # bands of 20
    assert show_labels(columns, View(crop=20, shorter=20))[0].tolist() == [0] * 5 + [1] * 10 + [2] * 5


def test_labels_and_image_lie_on_each_other():
    """An edge in the picture and in its label map stays within half a pixel of itself."""
    columns = (torch.arange(131) >= 60).byte().expand(97, -1)
    image = 255 * columns.expand(3, -1, -1)
    for place in ((0.5, step / 10) for step in range(10)):
        item = shown({"image": image.contiguous(), "semantic": columns}, View(crop=32, shorter=40, place=place))
        assert (item["semantic"][3].bool() != (item["image"][0, 3] > 127)).sum() <= 1


@pytest.mark.parametrize("height, width", [(128, 192), (129, 191)])
def test_a_reduced_image_is_measured_in_its_own_pixels(height, width):
    """191 columns reduced by two are 96, the last of which is half empty."""
    whole = picture(height, width)
    halves = Image.fromarray(interleaved(whole).permute(1, 2, 0).numpy()).reduce(2)
    assert halves.size == (96, -(-height // 2))
    half = torch.from_numpy(np.array(halves)).permute(2, 0, 1)
    for place in ((0.0, 0.0), (0.4, 0.6), (0.99, 0.99)):
        view = View(crop=32, shorter=40, place=place)
        seen, expected = show(half, view, height, width, reduced=2), show(whole, view, height, width)
        assert (seen.int() - expected.int()).abs().max() <= 3
