import pytest
from odd_files import plant
from omegaconf import OmegaConf

from datamodules.errors import DataError
from datamodules.places import Places, PlacesConfig

CLASSES = ["airfield", "apartment_building/outdoor", "zen_garden"]
FOLDERS = ["a/airfield", "a/apartment_building/outdoor", "z/zen_garden"]


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_images(root, train="data_256", size="256"):
    """Two training images a class, three for validation, two for the test."""
    plant(root, *(f"{train}/{folder}/0000000{i}.jpg" for folder in FOLDERS for i in (1, 2)))
    plant(root, *(f"val_{size}/Places365_val_0000000{i}.jpg" for i in (1, 2, 3)))
    return plant(root, *(f"test_{size}/Places365_test_0000000{i}.jpg" for i in (1, 2)))


def write_categories(root):
    write(root / "categories_places365.txt", *(f"/{folder} {label}" for label, folder in enumerate(FOLDERS)))


def write_lists(root, kind="standard"):
    write_categories(root)
    train = [f"/{folder}/0000000{i}.jpg {label}" for label, folder in enumerate(FOLDERS) for i in (2, 1)]
    write(root / f"places365_train_{kind}.txt", *train)
    write(root / "places365_val.txt", *(f"Places365_val_0000000{i}.jpg {2 - i % 3}" for i in (1, 2, 3)))
    write(root / "places365_test.txt", *(f"Places365_test_0000000{i}.jpg" for i in (1, 2)))


def content(source):
    """[(name, class)] in order; the class is None where there is no label."""
    items = [source.read(i) for i in range(len(source))]
    return [(source.name(i), source.classes[it["label"]] if "label" in it else None) for i, it in enumerate(items)]


TRAIN = [(f"{folder}/0000000{i}.jpg", name) for folder, name in zip(FOLDERS, CLASSES, strict=True) for i in (2, 1)]
VAL = [(f"Places365_val_0000000{i}.jpg", CLASSES[2 - i % 3]) for i in (1, 2, 3)]
TEST = [(f"Places365_test_0000000{i}.jpg", None) for i in (1, 2)]


@pytest.mark.parametrize("lists", ["", "filelist_places365-standard", "meta"])
@pytest.mark.parametrize("train", ["data_256", "data_256_standard", "train_256_places365standard/data_256"])
def test_places365_standard_as_its_archives_unpack(tmp_path, lists, train):
    write_lists(write_images(tmp_path, train) / lists)
    data = Places(root=str(tmp_path), crop=16, test_on="test")
    assert data.source("train").classes == CLASSES
    assert content(data.source("train")) == TRAIN
    assert content(data.source("val")) == VAL and content(data.source("test")) == TEST


def test_the_test_split_is_the_validation_images_unless_told_otherwise(tmp_path):
    write_lists(write_images(tmp_path))
    assert content(Places(root=str(tmp_path), crop=16).source("test")) == VAL


@pytest.mark.parametrize("train", ["data_large", "data_large_challenge"])
def test_the_challenge_in_high_resolution(tmp_path, train):
    write_images(tmp_path, train, "large")
    write_lists(tmp_path / "filelist_places365-challenge", "challenge")
    data = Places(root=str(tmp_path), crop=16, variant="places365_challenge", resolution="high", test_on="test")
    assert content(data.source("train")) == TRAIN
    assert content(data.source("val")) == VAL and content(data.source("test")) == TEST


def test_the_list_and_not_the_folder_decides_what_is_trained_on(tmp_path):
    write_lists(write_images(tmp_path))
    plant(tmp_path, "data_256/a/airfield/00000099.jpg")
    assert content(Places(root=str(tmp_path), crop=16).source("train")) == TRAIN


def test_without_lists_training_images_are_labelled_by_their_folders(tmp_path, caplog):
    write_categories(write_images(tmp_path))
    data = Places(root=str(tmp_path), crop=16)
    assert content(data.source("train")) == sorted(TRAIN)
    assert [label for _, label in content(data.source("val"))] == [None] * 3
    assert "have no labels: places365_val.txt is not in" in caplog.text


def test_without_lists_and_categories_the_images_alone_are_there(tmp_path):
    source = Places(root=str(write_images(tmp_path)), crop=16).source("train")
    assert content(source) == [(name, None) for name, _ in sorted(TRAIN)] and source.classes is None


@pytest.mark.parametrize("home", ["", "places365_standard"])
@pytest.mark.parametrize("categories", [True, False])
def test_the_easy_format(tmp_path, home, categories):
    easy = ["airfield", "apartment_building-outdoor", "zen_garden"]
    plant(tmp_path / home, *(f"train/{name}/00000001.jpg" for name in easy))
    plant(tmp_path / home, "val/zen_garden/Places365_val_00000435.jpg", "val/airfield/Places365_val_00000436.jpg")
    if categories:
        write_categories(tmp_path)
    data = Places(root=str(tmp_path), crop=16)
    if not categories:  # the names of the folders of the split: train has them all
        plant(tmp_path / home, "val/apartment_building-outdoor/Places365_val_00000437.jpg")
    assert data.source("train").classes == data.source("val").classes == easy
    assert content(data.source("train")) == [(f"{name}/00000001.jpg", name) for name in easy]
    assert content(data.source("val"))[0] == ("airfield/Places365_val_00000436.jpg", "airfield")
    assert content(data.source("val"))[-1] == ("zen_garden/Places365_val_00000435.jpg", "zen_garden")


@pytest.mark.parametrize("images", ["data/vision/torralba/deeplearning/images256", "images256"])
@pytest.mark.parametrize("lists", ["", "trainvalsplit_places205"])
@pytest.mark.parametrize("index", [True, False])
def test_places205(tmp_path, images, lists, index):
    names = [f"{folder}/gsun_{i:032x}.jpg" for folder in FOLDERS for i in (1, 2)]
    plant(tmp_path / images, *names)
    write(tmp_path / lists / "train_places205.csv", *(f"{name} {i // 2}" for i, name in enumerate(names) if i % 2))
    write(tmp_path / lists / "val_places205.csv", *(f"{name} {i // 2}" for i, name in enumerate(names) if not i % 2))
    if index:
        write(tmp_path / "categoryIndex_places205.csv", *(f"/{folder} {label}" for label, folder in enumerate(FOLDERS)))
    data = Places(root=str(tmp_path), crop=16, variant="places205")
    assert data.source("train").classes == CLASSES
    assert content(data.source("train")) == list(zip(names[1::2], CLASSES, strict=True))
    assert content(data.source("val")) == content(data.source("test")) == list(zip(names[::2], CLASSES, strict=True))


def test_a_wrong_root_says_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "val_256.tar").touch()
    with pytest.raises(DataError, match=f"none of data_256_standard, data_256, .* in {tmp_path}; found 1 .tar"):
        Places(root=str(tmp_path), crop=16).source("train")
    with pytest.raises(DataError, match="none of val_large is a folder in .*; found 1 .tar"):
        Places(root=str(tmp_path), crop=16, resolution="high").source("val")
    with pytest.raises(DataError, match="none of data/vision/torralba/deeplearning/images256, images256 is a folder"):
        Places(root=str(tmp_path), crop=16, variant="places205").source("val")


def test_a_missing_list_of_places205_is_named(tmp_path):
    plant(tmp_path, "images256/a/abbey/gsun_1.jpg")
    with pytest.raises(DataError, match=f"no train_places205.csv in {tmp_path}, .*; found 1 folder"):
        Places(root=str(tmp_path), crop=16, variant="places205").source("train")


def test_an_empty_split_and_a_list_of_other_images_are_refused(tmp_path):
    write_lists(write_images(tmp_path))
    write(tmp_path / "places365_val.txt")
    with pytest.raises(DataError, match="no image for the split 'val' in .*val_256; found 3 .jpg"):
        Places(root=str(tmp_path), crop=16).source("val")
    write(tmp_path / "places365_val.txt", "Places365_val_00036500.jpg 1")
    with pytest.raises(DataError, match="'val' begins with Places365_val_00036500.jpg, which is not in .*found 3 .jpg"):
        Places(root=str(tmp_path), crop=16).source("val")


def test_a_folder_that_is_no_category_is_named(tmp_path):
    write_categories(write_images(tmp_path))
    plant(tmp_path, "data_256/x/xylophone_shop/1.jpg")
    with pytest.raises(DataError, match="x/xylophone_shop/1.jpg is not in the folder of one of the 3 categories"):
        Places(root=str(tmp_path), crop=16).source("train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "places2"}, "data.variant must be one of places365_standard, .*, got places2"),
        ({"resolution": "512"}, "data.resolution must be one of 256, high, got 512"),
        ({"test_on": "train"}, "data.test_on must be one of val, test, got train"),
        ({"variant": "places205", "resolution": "high"}, "places205 has 256 x 256 images for train and val"),
        ({"variant": "places205", "test_on": "test"}, "places205 has 256 x 256 images for train and val"),
    ],
)
def test_settings_that_no_edition_has_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Places(**settings)


def test_the_config_is_a_structured_config_and_takes_the_number_256():
    config = OmegaConf.merge(OmegaConf.structured(PlacesConfig), {"resolution": 256})
    assert config.resolution == "256" and PlacesConfig(resolution=256).resolution == "256"
