import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from datamodules.errors import DataError
from datamodules.photos import PHOTOGRAPHS, SPLITS, Photos, PhotosConfig, corners, photo_path, photograph
from datamodules.photos import regions as regions_of

# Width x height of the files in scikit-image 0.25 and 0.26.
SIZES = {
    "astronaut.png": (512, 512),
    "chelsea.png": (451, 300),
    "coffee.png": (600, 400),
    "motorcycle_left.png": (741, 500),
    "rocket.jpg": (640, 427),
}


def names(source):
    """The photographs that the windows of a source come from."""
    return {source.name(position).partition("@")[0] for position in range(len(source))}


def drawn(source):
    """How many windows of a source lie over each pixel, one (H,W) array a photograph."""
    layers = [np.zeros(planes.shape[-2:], int) for planes in source.photographs]
    for number, y, x in source.windows.tolist():
        assert y + source.crop <= layers[number].shape[0] and x + source.crop <= layers[number].shape[1]
        layers[number][y : y + source.crop, x : x + source.crop] += 1
    return layers


def test_every_photograph_comes_with_the_installed_package():
    assert [photo_path(name).name for name in PHOTOGRAPHS] == list(PHOTOGRAPHS)
    for name, (width, height) in SIZES.items():
        planes = photograph(name, None)
        assert planes.shape == (3, height, width) and planes.dtype == torch.uint8


def test_photographs_are_in_colour_and_rgb_in_that_order():
    coffee = photograph("coffee.png", None).float().mean((1, 2))  # red wood and a red saucer
    rocket = photograph("rocket.jpg", None)[:, :100].float().mean((1, 2))  # an evening sky
    assert coffee[0] > coffee[1] > coffee[2] and rocket[2] > rocket[1] > rocket[0]


def test_a_photograph_is_decoded_once():
    assert photograph("chelsea.png", None) is photograph("chelsea.png", None)


def test_a_missing_photograph_is_named_with_the_version():
    with pytest.raises(DataError, match=r"scikit-image \d.* has no .*gone\.png; .*0\.25 and 0\.26"):
        photo_path("gone.png")


@pytest.mark.parametrize("reduce_to, shape", [(150, (150, 226)), (300, (300, 451)), (400, (300, 451))])
def test_reduce_to_reduces_the_shorter_side_and_never_enlarges(reduce_to, shape):
    assert photograph("chelsea.png", reduce_to).shape[-2:] == shape


def test_the_item_is_the_window_itself_and_its_name_says_where():
    photos = Photos(crop=64, reduce_to=200)
    dataset = photos.dataset("val")
    for position in range(len(dataset)):
        name, _, corner = dataset.source.name(position).partition("@")
        y, x = map(int, corner.split(","))
        window = photograph(name, 200)[:, y : y + 64, x : x + 64]
        assert torch.equal(dataset[(0, position)]["image"], window)


def test_training_items_are_windows_mirrored_half_of_the_time():
    dataset = Photos(crop=64).dataset("train", train=True)
    mirrored = 0
    for position in range(200):
        window, image = dataset.source.read(position)["image"], dataset[(0, position)]["image"]
        assert torch.equal(image, window) or torch.equal(image, window.flip(-1))
        mirrored += not torch.equal(image, window)
    assert 70 < mirrored < 130


def test_reading_hands_out_a_copy_of_the_shared_photograph():
    source = Photos(crop=64).source("val")
    before = source.read(0)["image"].clone()
    source.read(0)["image"].zero_()
    assert torch.equal(source.read(0)["image"], before)


@pytest.mark.parametrize(
    "crop, reduce_to, stride", [(64, None, 8), (64, None, 5), (32, None, 8), (64, 256, 4), (256, None, 16)]
)
def test_no_training_window_overlaps_a_held_back_pixel(crop, reduce_to, stride):
    photos = Photos(crop=crop, reduce_to=reduce_to, stride=stride)
    train, val, test = (drawn(photos.source(split)) for split in SPLITS)
    for number, trained in enumerate(train):
        held = val[number] + test[number]
        assert held.max(initial=0) <= 1  # held-back windows overlap neither each other nor the other split's
        assert trained[held > 0].sum() == 0
        owner = photos.owner(number, *trained.shape)
        assert np.array_equal(val[number] > 0, owner == 1) and np.array_equal(test[number] > 0, owner == 2)


def test_about_a_fifth_of_every_photograph_is_held_back_in_both_splits_and_spread():
    photos = Photos(crop=64)
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        owner = photos.owner(number, height, width)
        assert 0.15 <= (owner > 0).mean() <= 0.2, name
        assert {0, 1, 2} == set(np.unique(owner)), name
        rows, columns = np.nonzero(owner)
        assert np.ptp(rows) > 0.5 * height and np.ptp(columns) > 0.5 * width, name


def test_there_are_thousands_of_training_windows_from_every_photograph():
    photos = Photos(crop=64)
    assert np.bincount(photos.source("train").windows[:, 0]).min() > 500
    assert [len(photos.source(split)) for split in SPLITS] == [9461, 28, 27]


@pytest.mark.parametrize("crop", [32, 64, 96, 128, 200, 256, 300])
def test_every_split_has_windows_up_to_a_crop_of_300(crop):
    photos = Photos(crop=crop)
    assert min(len(photos.source(split)) for split in SPLITS) >= 1


def test_corners_are_all_the_places_where_a_window_fits():
    inside = np.ones((7, 9), bool)
    inside[3, 4] = False
    brute = [(y, x) for y in range(0, 5, 2) for x in range(0, 7, 2) if inside[y : y + 3, x : x + 3].all()]
    assert list(map(tuple, corners(inside, 3, 2))) == brute
    assert len(corners(inside, 8, 1)) == 0  # the window is higher than the picture


def test_the_held_back_pattern_moves_from_photograph_to_photograph():
    assert not np.array_equal(regions_of(320, 320, 64, 0), regions_of(320, 320, 64, 1))


def test_split_by_photograph_keeps_whole_photographs_apart():
    photos = Photos(split_by="photograph", val_photographs=["rocket.jpg"], test_photographs=["astronaut.png"])
    train, val, test = (names(photos.source(split)) for split in SPLITS)
    assert train == {"chelsea.png", "coffee.png", "motorcycle_left.png"}
    assert val == {"rocket.jpg"} and test == {"astronaut.png"}
    assert len(photos.source("test")) == (512 // 64) ** 2


def test_limit_takes_from_all_photographs():
    photos = Photos(limit=64)
    dataset = photos.dataset("train", train=True)
    first = {dataset.source.name(position).partition("@")[0] for position in range(len(dataset))}
    assert first == set(PHOTOGRAPHS) and len(dataset) == 64


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_the_workers(workers):
    photos = Photos(crop=64, batch_size=4, workers=workers)
    photos.iterations = 2
    batches = list(photos.train_dataloader())
    reference = photos.dataset("train", train=True)
    for batch in batches:
        assert batch["image"].shape == (4, 3, 64, 64)
        for row, (epoch, index) in enumerate(zip(batch["epoch"].tolist(), batch["index"].tolist(), strict=True)):
            assert torch.equal(batch["image"][row], reference[(epoch, index)]["image"])


def test_a_split_without_windows_says_what_to_change():
    with pytest.raises(DataError, match="no test window of data.crop = 256 .* 385 x 256.* a larger reduce_to"):
        Photos(crop=256, reduce_to=256).source("test")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"resize": 128}, "data.resize = 128 has no meaning for photos.*data.reduce_to"),
        ({"crop": 64, "reduce_to": 63}, "data.reduce_to must be at least data.crop = 64, got 63"),
        ({"stride": 0}, "data.stride must be at least 1, got 0"),
        ({"split_by": "photo"}, "data.split_by must be regions or photograph, got photo"),
        ({"val_photographs": ["chelsea"]}, "no photograph 'chelsea'; there are astronaut.png, chelsea.png"),
        ({"test_photographs": ["coffee.png"]}, r"must differ, both have \['coffee.png'\]"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PhotosConfig(**settings)


def test_the_config_is_a_structured_config():
    config = OmegaConf.merge(OmegaConf.structured(PhotosConfig), {"val_photographs": ["rocket.jpg"], "crop": 32})
    source = Photos(**{**config, "split_by": "photograph"}).source("val")
    assert source.name(0).startswith("rocket.jpg@") and source.crop == 32
