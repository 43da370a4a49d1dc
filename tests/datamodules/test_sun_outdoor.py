import pickle

import numpy as np
import pytest
import torch
from odd_files import encoded, quarters
from omegaconf import OmegaConf
from PIL import Image

from datamodules.errors import DataError, UnreadableImage
from datamodules.sun_outdoor import SCENES, SET, SUNOutdoor, SUNOutdoorConfig

JPEG = encoded(quarters(), "JPEG")
# one name of each kind as in the archive, with the numbers that tell them apart
STEMS = [
    *("coast_arnat59", "forest_for10", "highway_bost292", "insidecity_art727"),
    *("mountain_nat67", "Opencountry_land359", "street_urb885", "tallbuilding_a212019"),
]
NAMES = [f"{stem}{letter}" for stem in STEMS for letter in "abcdefghij"]


def write_images(root, folder=f"Images/{SET}"):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (root / folder / f"{name}.jpg").write_bytes(JPEG)
    return root


def write_mats(root, folder=f"SemanticLabels/{SET}"):
    from scipy.io import savemat

    (root / folder).mkdir(parents=True)
    for i, name in enumerate(NAMES):
        savemat(root / folder / f"{name}.mat", {"S": np.full((32, 48), i % 34, np.uint8), "names": ["sky", "tree"]})


def content(source):
    """{stem: (scene, label of the objects or None)}."""
    items = {source.name(i).split(".")[0]: source.read(i) for i in range(len(source))}
    return {
        name: (source.classes[item["label"]], int(item["semantic"][0, 0]) if "semantic" in item else None)
        for name, item in items.items()
    }


def test_sift_flow_with_scenes_and_objects(tmp_path):
    write_mats(write_images(tmp_path))
    data = SUNOutdoor(root=str(tmp_path), crop=16)
    train, val, test = (content(data.source(split)) for split in ("train", "val", "test"))
    assert len(train) + len(val) + len(test) == len(train | val | test) == 80
    assert train | val | test == {name: (name.split("_")[0].lower(), i % 34) for i, name in enumerate(NAMES)}
    assert 25 <= len(test) <= 55 and 1 <= len(val) <= 12
    assert data.source("train").classes == SCENES and len(SCENES) == 8
    semantic = data.source("train").read(0)["semantic"]
    assert semantic.dtype == torch.uint8 and semantic.shape == (32, 48)


@pytest.mark.parametrize("folder", [SET, "images", "."])
def test_the_images_alone_have_scenes_only(tmp_path, folder):
    data = SUNOutdoor(root=str(write_images(tmp_path, folder)), crop=16)
    assert all(semantic is None for _, semantic in content(data.source("train")).values())


def test_folders_of_ones_own_and_label_maps_as_images(tmp_path):
    write_images(tmp_path, "pictures")
    (tmp_path / "maps").mkdir()
    for i, name in enumerate(NAMES):
        Image.fromarray(np.full((32, 48), i, np.uint8)).save(tmp_path / "maps" / f"{name}.png")
    data = SUNOutdoor(root=str(tmp_path), crop=16, images="pictures", labels="maps")
    assert all(semantic == NAMES.index(name) for name, (_, semantic) in content(data.source("test")).items())
    assert len(pickle.dumps(data.source("test"))) < 1000


def test_a_list_names_the_test_images(tmp_path):
    write_images(tmp_path)
    (tmp_path / "TestSet1.txt").write_text(f"{SET}\\coast_arnat59a.jpg\n{SET}/street_urb885b.jpg\nforest_for10c\n")
    data = SUNOutdoor(root=str(tmp_path), crop=16, test_list="TestSet1.txt")
    assert set(content(data.source("test"))) == {"coast_arnat59a", "street_urb885b", "forest_for10c"}
    assert len(data.source("train")) + len(data.source("val")) == 77


def test_the_shares_are_those_asked_for(tmp_path):
    write_images(tmp_path)
    sizes = [len(SUNOutdoor(root=str(tmp_path), crop=16, test_share=share).source("test")) for share in (0.2, 0.8)]
    assert 5 <= sizes[0] <= 30 and 50 <= sizes[1] <= 75


def test_what_is_missing_is_named_with_what_is_there(tmp_path):
    with pytest.raises(DataError, match="no image for the split 'train' in .*; .* is empty"):
        SUNOutdoor(root=str(tmp_path), crop=16).source("train")
    write_images(tmp_path)
    with pytest.raises(DataError, match=f"none of pictures is a folder in {tmp_path}; found 1 folder"):
        SUNOutdoor(root=str(tmp_path), crop=16, images="pictures").source("train")
    with pytest.raises(DataError, match="none of maps is a folder"):
        SUNOutdoor(root=str(tmp_path), crop=16, labels="maps").source("train")
    with pytest.raises(DataError, match=f"no list {tmp_path}/test.txt; found 1 folder"):
        SUNOutdoor(root=str(tmp_path), crop=16, test_list="test.txt").source("train")
    (tmp_path / "maps").mkdir()
    with pytest.raises(UnreadableImage, match="maps/.*png: No such file"):
        SUNOutdoor(root=str(tmp_path), crop=16, labels="maps").source("train")


def test_a_matrix_that_is_not_there_is_refused(tmp_path):
    from scipy.io import savemat

    write_mats(write_images(tmp_path))
    for name in NAMES:
        savemat(tmp_path / "SemanticLabels" / SET / f"{name}.mat", {"T": np.zeros((32, 48))})
    with pytest.raises(UnreadableImage, match=r"mat: no matrix S of class numbers in it \('S'\)"):
        SUNOutdoor(root=str(tmp_path), crop=16).source("train")


def test_an_image_of_no_scene_is_named(tmp_path):
    write_images(tmp_path)
    for letter in "abcdefghijkl":  # some of them fall to the training images
        (tmp_path / "Images" / SET / f"kitchen_{letter}.jpg").write_bytes(JPEG)
    with pytest.raises(DataError, match="kitchen_..jpg does not begin with one of the scenes coast, forest"):
        SUNOutdoor(root=str(tmp_path), crop=16).source("train")


def test_shares_out_of_range_are_refused():
    for name in ("test_share", "val_share"):
        with pytest.raises(ValueError, match=f"data.{name} must be between 0 and 1, got 1.5"):
            SUNOutdoor(**{name: 1.5})


def test_the_config_is_a_structured_config():
    assert OmegaConf.structured(SUNOutdoorConfig).labels is None
