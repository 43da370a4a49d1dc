import numpy as np
import pytest
from odd_files import plant
from omegaconf import OmegaConf

from datamodules.errors import DataError
from datamodules.imagenet import ImageNet, ImageNetConfig

# real WordNet ids and words; the numbers of the devkit follow another order than the ids, as they do there
SYNSETS = {
    "n02119789": (1, "kit fox, Vulpes macrotis"),
    "n03995372": (150, "power drill"),
    "n01440764": (449, "tench, Tinca tinca"),
}
WNIDS = sorted(SYNSETS)
VAL = ["n03995372", "n01440764", "n02119789", "n01440764"]  # of the validation images 1 to 4


def write_train(root):
    return plant(root, *(f"train/{wnid}/{wnid}_{i}.JPEG" for wnid in WNIDS for i in (10026, 7)))


def val_name(number):
    return f"ILSVRC2012_val_{number:08}.JPEG"


def write_flat_val(root):
    return plant(root, *(f"val/{val_name(number)}" for number in range(1, 5)))


def write_sorted_val(root):
    return plant(root, *(f"val/{wnid}/{val_name(number)}" for number, wnid in enumerate(VAL, start=1)))


def write_devkit(root):
    """meta.mat with the three classes and one synset above them, and the ground truth."""
    from scipy.io import savemat

    folder = root / "ILSVRC2012_devkit_t12/data"
    folder.mkdir(parents=True)
    rows = [(number, wnid, words, 0) for wnid, (number, words) in SYNSETS.items()] + [(1001, "n00001740", "entity", 3)]
    fields = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object), ("num_children", object)]
    savemat(folder / "meta.mat", {"synsets": np.array(rows, dtype=fields)[:, None]})
    truth = "".join(f"{SYNSETS[wnid][0]}\n" for wnid in VAL)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)


def write_kaggle_tables(root):
    lines = "".join(f"{wnid} {words}\n" for wnid, (_, words) in SYNSETS.items())
    (root / "LOC_synset_mapping.txt").write_text(lines)
    rows = [f"ILSVRC2012_val_{number:08},{wnid} 85 1 499 272 {wnid} 1 2 3 4 \n" for number, wnid in enumerate(VAL, 1)]
    (root / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "".join(reversed(rows)))


def labelled(source):
    """{name of the file: name of its class}."""
    return {source.name(i).split("/")[-1]: source.classes[source.read(i)["label"]] for i in range(len(source))}


TRAIN = {f"{wnid}_{i}.JPEG": SYNSETS[wnid][1] for wnid in WNIDS for i in (7, 10026)}
TRUTH = {val_name(number): SYNSETS[wnid][1] for number, wnid in enumerate(VAL, start=1)}


@pytest.mark.parametrize("write_val", [write_flat_val, write_sorted_val])
def test_the_archives_of_ilsvrc_with_the_devkit(tmp_path, write_val):
    write_val(write_train(tmp_path))
    write_devkit(tmp_path)
    data = ImageNet(root=str(tmp_path), crop=16)
    assert data.source("train").classes == [SYNSETS[wnid][1] for wnid in WNIDS]  # label order: sorted ids
    assert labelled(data.source("train")) == TRAIN
    assert labelled(data.source("val")) == labelled(data.source("test")) == TRUTH


@pytest.mark.parametrize("inside", ["", "ILSVRC", "ILSVRC/Data/CLS-LOC"])
def test_the_edition_of_kaggle_from_any_of_its_folders(tmp_path, inside):
    write_flat_val(write_train(tmp_path / "ILSVRC/Data/CLS-LOC"))
    write_kaggle_tables(tmp_path)
    data = ImageNet(root=str(tmp_path / inside), crop=16)
    assert labelled(data.source("train")) == TRAIN and labelled(data.source("val")) == TRUTH


def test_without_tables_the_classes_are_the_ids_and_a_flat_val_has_no_labels(tmp_path, caplog):
    write_flat_val(write_train(tmp_path))
    data = ImageNet(root=str(tmp_path), crop=16)
    assert data.source("train").classes == WNIDS
    assert data.source("train").read(5)["label"] == 2
    assert "label" not in data.source("val").read(0) and "has no labels" in caplog.text


def test_a_devkit_that_arrives_later_labels_the_validation_images(tmp_path):
    write_flat_val(write_train(tmp_path))
    assert "label" not in ImageNet(root=str(tmp_path), crop=16).source("val").read(0)
    write_devkit(tmp_path)
    assert labelled(ImageNet(root=str(tmp_path), crop=16).source("val")) == TRUTH


@pytest.mark.parametrize("write_val", [write_flat_val, write_sorted_val])
def test_lists_choose_validation_images_in_their_order(tmp_path, write_val):
    write_val(write_train(tmp_path))
    write_devkit(tmp_path)
    (tmp_path / "val.txt").write_text(f"{val_name(3)}\n{val_name(1)}\n")
    (tmp_path / "ctest.txt").write_text(f"/{val_name(4)} 0\n/n02119789/ILSVRC2012_val_00000002 1\n")
    data = ImageNet(root=str(tmp_path), crop=16, val_list=f"{tmp_path}/val.txt", test_list=f"{tmp_path}/ctest.txt")
    val, test = data.source("val"), data.source("test")
    assert [val.name(i).split("/")[-1] for i in range(2)] == [val_name(3), val_name(1)]
    assert labelled(val) == {val_name(number): TRUTH[val_name(number)] for number in (1, 3)}
    assert labelled(test) == {val_name(number): TRUTH[val_name(number)] for number in (2, 4)}
    assert len(data.source("train")) == 6


def test_a_list_without_known_labels_has_none(tmp_path):
    write_flat_val(tmp_path)
    (tmp_path / "val.txt").write_text(val_name(2))
    source = ImageNet(root=str(tmp_path), crop=16, val_list=str(tmp_path / "val.txt")).source("val")
    assert len(source) == 1 and "label" not in source.read(0)


def test_a_wrong_root_says_what_was_looked_for_and_found(tmp_path):
    (tmp_path / "ILSVRC2012_img_val.tar").touch()
    with pytest.raises(DataError, match=f"neither train nor val is a folder in {tmp_path} .*; found 1 .tar"):
        ImageNet(root=str(tmp_path), crop=16).source("train")


def test_a_missing_split_or_list_is_named(tmp_path):
    write_train(tmp_path)
    with pytest.raises(DataError, match=f"none of val is a folder in {tmp_path}; found 1 folder"):
        ImageNet(root=str(tmp_path), crop=16).source("val")
    write_flat_val(tmp_path)
    with pytest.raises(DataError, match=f"no list {tmp_path}/ten.txt; found 2 folders"):
        ImageNet(root=str(tmp_path), crop=16, val_list=str(tmp_path / "ten.txt")).source("val")
    (tmp_path / "ten.txt").write_text("ILSVRC2012_val_00000099.JPEG")
    with pytest.raises(
        DataError, match="ten.txt lists ILSVRC2012_val_00000099.JPEG, which is not in .*val; found 4 .jpeg"
    ):
        ImageNet(root=str(tmp_path), crop=16, val_list=str(tmp_path / "ten.txt")).source("val")


def test_an_empty_split_is_refused(tmp_path):
    write_train(tmp_path)
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match="no image for the split 'val' in .*val is empty"):
        ImageNet(root=str(tmp_path), crop=16).source("val")


def test_folders_and_images_that_the_tables_do_not_know_are_named(tmp_path):
    write_flat_val(write_train(tmp_path))
    write_kaggle_tables(tmp_path)
    plant(tmp_path, "train/n99999999/x.JPEG")
    with pytest.raises(DataError, match="n99999999/x.JPEG is not in the folder of one of the 3 synsets"):
        ImageNet(root=str(tmp_path), crop=16).source("train")
    plant(tmp_path, f"val/{val_name(5)}")
    with pytest.raises(DataError, match="LOC_val_solution.csv has no label for ILSVRC2012_val_00000005.JPEG"):
        ImageNet(root=str(tmp_path), crop=16).source("val")


def test_the_config_is_a_structured_config():
    assert OmegaConf.structured(ImageNetConfig).test_list is None
