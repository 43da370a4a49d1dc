"""What is composed for an evaluation, before anything is scored."""

import re
from pathlib import Path

import pytest
import torch

from datamodules.errors import DataError
from datamodules.folder import Folder
from datamodules.randomness import Draws
from experiments.compose import build, compose_config, settings_given
from experiments.config_store import path_of
from experiments.errors import UserError
from experiments.evaluation.baselines import BASELINES
from experiments.evaluation.setup import check, compose_evaluation, known_class, prepare, typed

SCENES = [
    "data=synthetic",
    "data.crop=32",
    "data.batch_size=4",
    "data.workers=0",
    "data.val_count=3",
    "data.test_count=10",
]


class Trained:
    """Stands for a candidate in composition."""

    def __init__(self, name, task, config):
        self.name, self.task, self.config = name, task, config


def composed(*overrides, data, task="inpainting"):
    overrides = ["checkpoint=x", *overrides]
    return compose_evaluation(overrides, settings_given(overrides), [Trained("x", task, {"data": data})])


@pytest.fixture
def trained_on():
    """The data settings of a checkpoint."""
    return compose_config([*SCENES, "model=colorful", "masks@data.masks=rectangle", "data.masks.side=[8,9]"])["data"]


def test_data_and_masks_are_the_checkpoints_unless_given(trained_on):
    assert composed(data=trained_on)["data"] == trained_on
    assert composed("data.limit=2", data=trained_on)["data"] == trained_on | {"limit": 2}
    other = composed("data=photos", data=trained_on)["data"]
    assert other["_target_"] == "datamodules.photos.Photos" and other["masks"] == trained_on["masks"]
    blank = composed("data=photos", data=trained_on | {"masks": None}, task="colorization")["data"]
    assert blank["masks"] is None


def test_a_protocol_sets_geometry_and_masks_and_the_command_line_has_the_last_word(trained_on):
    data = composed("protocol=context_encoder_centre", data=trained_on)["data"]
    assert (data["resize"], data["squash"], data["crop"]) == (128, True, 128)
    assert data["masks"] == {"_target_": "datamodules.masks.centre.Centre", "side": 64}
    data = composed("protocol=context_encoder_centre", "data.crop=64", "data.masks.side=32", data=trained_on)["data"]
    assert (data["crop"], data["masks"]["side"]) == (64, 32)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("configs/protocol/*.yaml")), ids=lambda p: p.stem
)
def test_every_protocol_composes_and_names_metrics_of_its_task(path, trained_on):
    keys = {"test_list": "data.test_list", "folder": "data.masks.folder"}
    required = [f"{keys[key]}=x" for key in re.findall(r"(\w+): \?\?\?", path.read_text())]
    config = composed(f"protocol={path.stem}", *required, data=trained_on)
    protocol, data = config["protocol"], config["data"]
    assert protocol["name"] == path.stem and protocol["metrics"] and protocol["baselines"]
    check(config, Trained("x", protocol["task"], {}))
    if protocol["task"] == "inpainting":
        fillers = {name for name, baseline in BASELINES.items() if baseline.task == "inpainting"}
        assert set(protocol["baselines"]) == fillers and "l1_hole" in protocol["metrics"]
        if "folder" not in data["masks"]:
            build(data["masks"], "data.masks")


def test_the_protocol_of_a_papers_own_images_does_not_take_those_of_a_checkpoint(trained_on):
    assert composed("protocol=context_encoder_centre", data=trained_on)["data"]["_target_"] == path_of(Folder)


def test_a_protocol_that_names_its_data_needs_none_from_the_checkpoint(trained_on):
    baseline = Trained("baseline/telea", "inpainting", None)
    words = ["checkpoint=x", "protocol=places_256_square", "data.root=/places"]
    config = compose_evaluation(words, settings_given(words), [baseline])
    assert config["data"]["_target_"] == "datamodules.places.Places" and config["data"]["masks"]["side"] == 128
    others = [Trained("x", "inpainting", {"data": trained_on | {"crop": crop}}) for crop in (8, 9)]
    assert compose_evaluation(words, settings_given(words), others)["data"] == config["data"]
    with pytest.raises(UserError, match="give data=..."):
        compose_evaluation(["checkpoint=x"], {}, [baseline])


def test_the_shares_of_the_irregular_holes_lie_in_the_ranges_of_the_buckets(trained_on):
    for name in ("places_256_irregular", "places_256_irregular_inset"):
        config = composed(f"protocol={name}", data=trained_on)
        edges, masks = config["protocol"]["buckets"], build(config["data"]["masks"], "data.masks")
        index = torch.arange(3)
        for part, low, high in zip(masks.parts, edges, edges[1:], strict=False):
            shares = part(Draws(0, torch.zeros_like(index), index, "mask"), 256, 256).mean((1, 2, 3))
            assert ((shares > low) & (shares <= high)).all(), (name, low, shares)


def test_a_checkpoint_of_another_version_is_refused_in_one_line(trained_on):
    with pytest.raises(UserError, match="none of the project's"):
        known_class({"_target_": "os.system"})
    cls = known_class(trained_on)
    with pytest.raises(UserError, match="do not fit this version"):
        typed(cls.Config, {"nosuch": 1})


def test_the_data_set_comes_seeded_and_the_candidates_with_the_trivial_answer():
    setup = prepare(["checkpoint=baseline/grey", *SCENES, "seed=7", "data.limit=3"])
    names = [candidate.name for candidate in setup.candidates]
    assert names == ["baseline/grey", "baseline/truth", "baseline/random_colour"] and setup.named == ["baseline/grey"]
    assert all(candidate.data is setup.data for candidate in setup.candidates)
    assert setup.data.seed == 7 and len(setup.data.dataset("test")) == 3


def test_a_data_set_that_is_not_there_is_found_at_once(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        prepare(["checkpoint=baseline/grey", "data=folder", f"data.root={tmp_path / 'nowhere'}"])
