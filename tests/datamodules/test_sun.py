import pytest
from odd_files import encoded, quarters
from omegaconf import OmegaConf

from datamodules.errors import DataError
from datamodules.sun import SUN397, SUN397Config

JPEG = encoded(quarters(), "JPEG")
CLASSES = ["abbey", "apartment_building/outdoor", "zoo"]
FOLDERS = ["a/abbey", "a/apartment_building/outdoor", "z/zoo"]
LETTERS = "abcdefghijklmnopqrst"


def write_sun(root, images="SUN397", partitions="Partitions"):
    """20 images of each of three classes; partition 1 trains on the first ten, partition 2 on the last."""
    names = [[f"{folder}/sun_aaaaaaaaaaaaaaa{letter}.jpg" for letter in LETTERS] for folder in FOLDERS]
    for name in sum(names, []):
        (root / images / name).parent.mkdir(parents=True, exist_ok=True)
        (root / images / name).write_bytes(JPEG)
    (root / images / "ClassName.txt").write_text("".join(f"/{folder}\n" for folder in FOLDERS))
    (root / partitions).mkdir(exist_ok=True)
    halves = ["".join(f"/{name}\n" for each in names for name in each[part]) for part in (slice(10), slice(10, None))]
    for number, (train, test) in enumerate((halves, reversed(halves)), start=1):
        (root / partitions / f"Training_{number:02}.txt").write_text(train)
        (root / partitions / f"Testing_{number:02}.txt").write_text(test)
    return root


def content(source):
    return {source.name(i): source.classes[source.read(i)["label"]] for i in range(len(source))}


@pytest.mark.parametrize(
    ("images", "partitions"), [("SUN397", "Partitions"), ("SUN397", "SUN397/Partitions"), ("", ".")]
)
def test_the_official_partitions(tmp_path, images, partitions):
    data = SUN397(root=str(write_sun(tmp_path, images, partitions)), crop=16, val_share=0.3)
    assert data.source("train").classes == CLASSES
    train, val, test = (content(data.source(split)) for split in ("train", "val", "test"))
    assert len(train) + len(val) == len(train | val) == 30 and 3 < len(val) < 20
    halves = [
        {
            f"{folder}/sun_aaaaaaaaaaaaaaa{letter}.jpg": name
            for folder, name in zip(FOLDERS, CLASSES, strict=True)
            for letter in part
        }
        for part in (LETTERS[:10], LETTERS[10:])
    ]
    assert train | val == halves[0] and test == halves[1]
    second = SUN397(root=str(tmp_path), crop=16, partition=2)
    assert content(second.source("test")) == halves[0]


def test_a_wrong_root_or_a_missing_list_is_named(tmp_path):
    (tmp_path / "SUN397.tar.gz").touch()
    with pytest.raises(DataError, match=f"none of SUN397/a, a is a folder in {tmp_path}; found 1 .gz"):
        SUN397(root=str(tmp_path), crop=16).source("train")
    write_sun(tmp_path)
    with pytest.raises(
        DataError, match=f"no Training_03.txt in {tmp_path} or in Partitions, .*; found 1 .gz, 2 folders"
    ):
        SUN397(root=str(tmp_path), crop=16, partition=3).source("train")


def test_a_class_that_is_not_listed_is_named(tmp_path):
    write_sun(tmp_path)
    (tmp_path / "SUN397/ClassName.txt").write_text("/a/abbey\n/z/zoo\n")
    with pytest.raises(
        DataError, match="outdoor/sun_.*jpg of Testing_01.txt is in none of the 2 classes of ClassName.txt"
    ):
        SUN397(root=str(tmp_path), crop=16).source("test")


def test_an_empty_split_is_refused(tmp_path):
    write_sun(tmp_path)
    with pytest.raises(DataError, match="SUN397: no image for the split 'val' in .*SUN397; found 1 .txt, 2 folders"):
        SUN397(root=str(tmp_path), crop=16, val_share=1e-6).source("val")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"partition": 0}, "data.partition must be 1 to 10, got 0"),
        ({"val_share": 0.0}, "data.val_share must be between 0 and 1, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SUN397(**settings)


def test_the_config_is_a_structured_config():
    assert OmegaConf.structured(SUN397Config).partition == 1
