import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.errors import DataError, UnreadableImage
from datamodules.masks.from_folder import FromFolder
from datamodules.randomness import Draws

HOLE = np.zeros((8, 12), dtype=bool)
HOLE[1:4, 2:9] = True


def draws(count, epoch=0):
    return Draws(0, epoch, torch.arange(count), "mask")


def save(folder, name, pixels, mode=None):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def bars(folder, count=5, side=20):
    """Files whose hole is column k."""
    for number in range(count):
        pixels = np.zeros((side, side), dtype=np.uint8)
        pixels[:, number] = 255
        save(folder, f"{number}.png", pixels)
    return folder


@pytest.mark.parametrize(
    "pixels, mode",
    [
        (HOLE.astype(np.uint8), None),
        (HOLE.astype(np.uint8) * 255, None),
        (HOLE.astype(np.uint8) * 200 + 20, None),
        (HOLE.astype(np.uint8) * 255, "1"),
        (HOLE.astype(np.uint8) * 255, "P"),
        (HOLE.astype(np.uint8) * 255, "RGB"),
        (HOLE.astype(np.uint8) * 255, "RGBA"),
        (HOLE.astype(np.uint16) * 65535, None),
        (HOLE, None),
    ],
    ids=["0 and 1", "0 and 255", "greys", "bits", "palette", "RGB", "RGBA", "16 bit", "bool"],
)
def test_white_is_the_hole_in_every_kind_of_file(tmp_path, pixels, mode):
    save(tmp_path, "mask.png", pixels, mode)
    mask = FromFolder(folder=str(tmp_path))(draws(2), 8, 12)
    assert torch.equal(mask, torch.from_numpy(HOLE).float().expand(2, 1, 8, 12))


def test_black_can_be_the_hole(tmp_path):
    save(tmp_path, "mask.png", (~HOLE).astype(np.uint8) * 255)
    mask = FromFolder(folder=str(tmp_path), polarity="black")(draws(1), 8, 12)
    assert torch.equal(mask[0, 0], torch.from_numpy(HOLE).float())


def test_files_are_resized_without_new_values(tmp_path):
    save(tmp_path, "mask.png", HOLE.astype(np.uint8) * 255)
    mask = FromFolder(folder=str(tmp_path))(draws(1), 16, 24)[0, 0]
    assert torch.equal(mask, torch.from_numpy(HOLE).float().repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_fixed_masks_go_to_images_by_number_in_every_epoch(tmp_path):
    generator = FromFolder(folder=str(bars(tmp_path)), fixed=True)
    for epoch in (0, 1):
        assert generator(draws(5, epoch), 20, 20)[:, 0, 0].argmax(1).tolist() == [0, 1, 2, 3, 4]


def test_an_image_beyond_the_last_fixed_mask_is_an_error_unless_they_start_again(tmp_path):
    folder = str(bars(tmp_path))
    with pytest.raises(DataError, match="^image 7 has no mask: .* has 5, .* data.limit=5, .* data.masks.cycle=true$"):
        FromFolder(folder=folder, fixed=True)(draws(8), 20, 20)
    mask = FromFolder(folder=folder, fixed=True, cycle=True)(draws(12), 20, 20)
    assert mask[:, 0, 0].argmax(1).tolist() == [number % 5 for number in range(12)]


def test_fixed_masks_are_resized_only_where_that_is_asked_for(tmp_path):
    folder = str(bars(tmp_path))
    with pytest.raises(
        UnreadableImage, match="0.png: a mask of 20 x 20 for images of 40 x 20; set data.crop .* data.masks.resize=true"
    ):
        FromFolder(folder=folder, fixed=True)(draws(1), 40, 20)
    with pytest.raises(UnreadableImage, match="a mask of 20 x 20 for images of 10 x 10"):
        FromFolder(folder=folder, resize=False)(draws(1), 10, 10)
    mask = FromFolder(folder=folder, fixed=True, resize=True)(draws(5), 40, 20)
    assert mask.shape == (5, 1, 40, 20) and mask[:, 0, 39].argmax(1).tolist() == [0, 1, 2, 3, 4]


def test_a_set_that_is_not_complete_is_refused(tmp_path):
    folder = str(bars(tmp_path))
    assert len(FromFolder(folder=folder, count=5).files) == 5
    with pytest.raises(DataError, match="expected 12000 mask files in .*, found 5; complete the set, or correct"):
        FromFolder(folder=folder, count=12_000)


def test_masks_of_512_px_serve_images_of_256(tmp_path):
    pixels = np.kron(np.random.default_rng(0).random((64, 64)) < 0.4, np.ones((8, 8))).astype(np.uint8) * 255
    save(tmp_path, "00000.png", pixels)
    generator = FromFolder(folder=str(tmp_path), fixed=True, resize=True, count=1)
    assert torch.equal(generator(draws(1), 256, 256)[0, 0], torch.from_numpy(pixels[1::2, 1::2] > 0).float())


def test_drawn_masks_use_every_file_about_equally(tmp_path):
    mask = FromFolder(folder=str(bars(tmp_path)))(draws(500), 20, 20)
    counts = mask[:, 0, 0].argmax(1).bincount()
    assert len(counts) == 5 and counts.min() > 70


def test_files_below_the_folder_count_in_the_order_of_their_paths(tmp_path):
    bars(tmp_path / "b", count=1)
    bars(tmp_path / "a", count=2)
    save(tmp_path, "c.PNG", HOLE.astype(np.uint8))
    names = [path.relative_to(tmp_path).as_posix() for path in FromFolder(folder=str(tmp_path)).files]
    assert names == ["a/0.png", "a/1.png", "b/0.png", "c.PNG"]


def test_a_file_is_read_once_while_there_is_room(tmp_path):
    generator = FromFolder(folder=str(bars(tmp_path)), fixed=True, resize=True)
    before = generator(draws(5), 20, 20)
    for path in generator.files:
        path.unlink()
    assert torch.equal(generator(draws(5), 20, 20), before)
    with pytest.raises(UnreadableImage):
        generator(draws(5), 10, 10)  # another size is another mask


def test_without_room_files_are_read_anew(tmp_path):
    generator = FromFolder(folder=str(bars(tmp_path)), fixed=True, cache_mib=0)
    generator(draws(5), 20, 20)
    assert generator.kept == {}


def test_flips_mirror_half_of_the_masks(tmp_path):
    left = FromFolder(folder=str(bars(tmp_path, count=1)), flip=True)(draws(200), 20, 20)[:, 0, 0].argmax(1)
    assert set(left.tolist()) == {0, 19}
    assert 70 < (left == 0).sum() < 130


def test_turns_are_the_four_right_angles(tmp_path):
    corner = np.zeros((12, 12), dtype=np.uint8)
    corner[:2, :5] = 255
    save(tmp_path, "mask.png", corner)
    masks = FromFolder(folder=str(tmp_path), rotate=True)(draws(100), 12, 12)[:, 0]
    expected = [torch.rot90(torch.from_numpy(corner).float() / 255, turns) for turns in range(4)]
    found = [next(turn for turn in range(4) if torch.equal(mask, expected[turn])) for mask in masks]
    assert min(found.count(turn) for turn in range(4)) > 10


def test_crops_are_windows_of_the_mask(tmp_path):
    half = np.zeros((64, 64), dtype=np.uint8)
    half[:, :32] = 255
    save(tmp_path, "mask.png", half)
    share = FromFolder(folder=str(tmp_path), crop=0.6)(draws(100), 64, 64).mean((1, 2, 3))
    assert share.min() < 0.4 and share.max() > 0.6
    assert share.min() >= 0.14 and share.max() <= 0.86  # a window of 60 % holds 10 to 50 of 60 columns, at most


def test_a_window_without_a_hole_is_given_up(tmp_path):
    corner = np.zeros((64, 64), dtype=np.uint8)
    corner[0, 0] = 255
    save(tmp_path, "mask.png", corner)
    assert (FromFolder(folder=str(tmp_path), crop=0.3)(draws(50), 64, 64).sum((1, 2, 3)) > 0).all()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"looked for mask files \(\*\.png\) in .*absent: there is no such folder"):
        FromFolder(folder=str(tmp_path / "absent"))


def test_a_folder_without_masks_says_what_it_holds_instead(tmp_path):
    for name in ("a.jpg", "b.jpg", "notes"):
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match="found 2 x .jpg, 1 x no extension; convert masks to PNG"):
        FromFolder(folder=str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found nothing"):
        FromFolder(folder=str(tmp_path / "empty"))


@pytest.mark.parametrize("value, share", [(0, "none"), (255, "all")])
def test_a_file_without_a_hole_or_without_an_outside_is_named(tmp_path, value, share):
    save(tmp_path, "flat.png", np.full((8, 8), value, dtype=np.uint8))
    with pytest.raises(UnreadableImage, match=f"flat.png: {share} of it is hole at 8 x 8 .values {value} to {value}"):
        FromFolder(folder=str(tmp_path))(draws(1), 8, 8)


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "broken.png").write_text("not an image")
    with pytest.raises(UnreadableImage, match="broken.png: not readable as a PNG file"):
        FromFolder(folder=str(tmp_path))(draws(1), 8, 8)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"polarity": "grey"}, "polarity must be white or black, the colour of the hole; got 'grey'"),
        ({"crop": 0}, "crop must be a share above 0 and at most 1, got 0"),
        ({"fixed": True, "flip": True}, "fixed masks are used as they are"),
        ({"cycle": True}, "cycle is for fixed masks"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        FromFolder(folder=str(bars(tmp_path)), **settings)


def test_a_fixed_set_must_be_one_of_the_images(tmp_path):
    folder = str(bars(tmp_path))
    files = len(FromFolder(folder=folder).files)
    fixed = FromFolder(folder=folder, fixed=True, resize=True)
    fixed.require_fit(files, 8, 8)
    fixed.require_fit(files - 1, 8, 8, count_matters=False)
    FromFolder(folder=folder, fixed=True, resize=True, count=files).require_fit(files - 1, 8, 8)
    FromFolder(folder=folder).require_fit(1, 8, 8)  # drawn at random, of any number
    with pytest.raises(DataError, match=f"{files} mask files in .* for {files - 1} images, .*count={files}"):
        fixed.require_fit(files - 1, 8, 8)


def test_sizes_and_damage_are_found_by_the_headers_of_the_files_that_are_used(tmp_path):
    folder = bars(tmp_path)
    paths = FromFolder(folder=str(folder)).files
    width, height = Image.open(paths[0]).size
    fixed = FromFolder(folder=str(folder), fixed=True)
    fixed.require_fit(len(paths), height, width)
    Image.new("1", (width, height + 1)).save(paths[-1])
    fixed.require_fit(len(paths) - 1, height, width, count_matters=False)
    with pytest.raises(UnreadableImage, match=f"{paths[-1].name}: a mask of {height + 1} x {width} for images of"):
        fixed.require_fit(len(paths), height, width)
    paths[0].write_bytes(b"none")
    with pytest.raises(UnreadableImage, match=f"{paths[0].name}: not readable as a PNG file"):
        fixed.require_fit(len(paths), height, width)
