import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from skimage.color import lab2rgb, rgb2lab

from datamodules.landscapes import SCENES, SEMANTIC_CLASSES
from datamodules.synthetic import Scenes, Synthetic, SyntheticConfig


def scenes(split, count, size=64):
    """RGB in [0,1] (N,H,W,3) and class maps (N,H,W) of the first scenes of a split."""
    items = [Scenes(split, count, size, seed=0).read(position) for position in range(count)]
    images = np.stack([item["image"].permute(1, 2, 0).numpy() for item in items])
    return images / 255, np.stack([item["semantic"].numpy() for item in items])


@pytest.fixture(scope="module")
def train():
    return scenes("train", 80)


@pytest.fixture(scope="module")
def val():
    return scenes("val", 80)


def psnr(pred, target):
    return -10 * np.log10(np.mean((pred - target) ** 2))


def test_an_item_has_image_label_and_class_map():
    item = Scenes("train", 10, 48, seed=0).read(3)
    assert item["image"].shape == (3, 48, 48) and item["image"].dtype == torch.uint8
    assert item["semantic"].shape == (48, 48) and item["semantic"].dtype == torch.uint8
    assert item["label"] == 3 and Scenes.classes[3] == "desert"


def test_a_scene_is_a_function_of_seed_split_and_position():
    def image(seed, split, position, count=100):
        return Scenes(split, count, 32, seed).read(position)["image"]

    assert torch.equal(image(0, "train", 5), image(0, "train", 5, count=7))
    for other in (image(1, "train", 5), image(0, "val", 5), image(0, "test", 5), image(0, "train", 13)):
        assert not torch.equal(image(0, "train", 5), other)


def test_train_and_val_share_no_scene(train, val):
    small, other = (images[:, ::4, ::4].reshape(80, 1, -1) for images, _ in (train, val))
    distance = np.abs(small - other.swapaxes(0, 1)).mean(2)  # (80, 80) mean difference of each pair
    assert distance.min() > 0.02


def test_labels_are_balanced_in_every_stretch():
    source = Synthetic(train_count=64).source("train")
    labels = [source.read(position)["label"] for position in range(len(source))]
    assert np.bincount(labels).tolist() == [8] * len(SCENES)


def test_every_class_is_drawn_and_every_scene_holds_several(train):
    _, semantic = train
    assert set(np.unique(semantic)) == set(range(len(SEMANTIC_CLASSES)))
    held = [len(np.unique(plane)) for plane in semantic]
    assert min(held) >= 2 and np.median(held) >= 4


@pytest.mark.parametrize("name, needs", [("coast", {"sky", "water", "sand"}), ("highway", {"sky", "grass", "road"})])
def test_a_scene_holds_the_regions_that_name_it(name, needs):
    semantic = Scenes("train", 8, 64, seed=0).read(Scenes.classes.index(name))["semantic"]
    assert needs <= {SEMANTIC_CLASSES[index] for index in semantic.unique().tolist()}


def test_class_maps_agree_between_sizes():
    small, large = (Scenes("train", 8, size, seed=0).read(0)["semantic"] for size in (32, 128))
    assert (small == large[2::4, 2::4]).float().mean() > 0.9


def test_the_class_tells_the_colour_and_grey_alone_does_not(train, val):
    (image, semantic), (image_val, semantic_val) = train, val
    lab, lab_val = rgb2lab(image), rgb2lab(image_val)

    def score(ab):  # PSNR of a guess of ab under the true lightness
        return psnr(lab2rgb(np.concatenate([lab_val[..., :1], ab], -1)), image_val)

    of_class = np.stack([lab[semantic == index][:, 1:].mean(0) for index in range(len(SEMANTIC_CLASSES))])
    bins, bins_val = (planes[..., 0].astype(int) // 5 for planes in (lab, lab_val))
    of_grey = np.stack([lab[bins == level][:, 1:].mean(0) if (bins == level).any() else [0, 0] for level in range(21)])
    grey = score(np.zeros_like(lab_val[..., 1:]))
    # Measured: grey 16.0 dB, mean colour of the lightness 16.3 dB, mean colour of the class 23.2 dB.
    assert score(of_class[semantic_val]) > grey + 5
    assert score(of_grey[bins_val]) < grey + 1


def test_classes_differ_in_colour_and_overlap_in_lightness(train):
    image, semantic = train
    lab = rgb2lab(image)
    classes = [lab[semantic == index] for index in range(len(SEMANTIC_CLASSES))]
    ab = np.stack([pixels[:, 1:].mean(0) for pixels in classes])
    apart = np.hypot(*(ab[:, None] - ab[None]).transpose(2, 0, 1))[np.triu_indices(len(ab), 1)]
    assert np.median(apart) > 25 and (apart > 10).mean() > 0.9  # road and snow are both near grey
    low, high = (np.array([np.percentile(pixels[:, 0], share) for pixels in classes]) for share in (5, 95))
    overlap = (low[:, None] < high[None]) & (low[None] < high[:, None])
    assert overlap.mean() > 0.7


def test_texture_tells_the_class_in_grey(train):
    image, semantic = train
    grey = image.mean(-1)
    rough = np.abs(np.diff(grey, axis=2))[:, 1:, :] / grey[:, 1:, 1:].clip(0.05)  # relative change to the left
    inner = (semantic[:, 1:, 1:] == semantic[:, 1:, :-1]) & (semantic[:, 1:, 1:] == semantic[:, :-1, 1:])
    change = {
        name: np.median(rough[inner & (semantic[:, 1:, 1:] == index)]) for index, name in enumerate(SEMANTIC_CLASSES)
    }
    assert change["forest"] > 3 * change["sand"] and change["grass"] > 3 * change["snow"] > 0


def test_a_hole_is_filled_better_from_its_regions_than_from_the_mean_of_its_surround(val):
    image, semantic = val
    hole, ring = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    hole[22:42, 22:42], ring[14:50, 14:50] = True, True
    ring &= ~hole
    by_class, by_mean = [], []
    for picture, classes in zip(image, semantic, strict=True):
        mean = picture[ring].mean(0)
        fill = np.broadcast_to(mean, picture.shape).copy()
        for index in np.unique(classes[ring]):
            fill[classes == index] = picture[ring & (classes == index)].mean(0)
        by_class.append(np.mean((fill[hole] - picture[hole]) ** 2))
        by_mean.append(np.mean((mean - picture[hole]) ** 2))
    assert 10 * np.log10(np.mean(by_mean) / np.mean(by_class)) > 2  # dB


def test_scenes_are_drawn_at_scene_size_or_resize_or_crop():
    sizes = [{"crop": 32}, {"crop": 32, "resize": 40}, {"crop": 32, "resize": 40, "scene_size": 64}]
    assert [Synthetic(**size).source("val").size for size in sizes] == [32, 40, 64]
    item = Synthetic(crop=32, scene_size=64).dataset("train", train=True)[(0, 1)]
    assert item["image"].shape == (3, 32, 32) and item["semantic"].shape == (32, 32)


def test_the_class_map_is_mirrored_with_the_image():
    dataset = Synthetic(crop=64).dataset("train", train=True)
    for position in range(12):
        item, scene = dataset[(0, position)], dataset.source.read(position)
        mirrored = not torch.equal(item["image"], scene["image"])
        assert torch.equal(item["semantic"], scene["semantic"].flip(-1) if mirrored else scene["semantic"])


def test_splits_have_their_counts_and_names():
    synthetic = Synthetic(train_count=30, val_count=20, test_count=10)
    assert [len(synthetic.source(split)) for split in ("train", "val", "test")] == [30, 20, 10]
    assert synthetic.source("val").name(9) == "countryside_val_9"


def test_batches_carry_labels_and_class_maps():
    synthetic = Synthetic(crop=32, val_count=9, batch_size=8, workers=0)
    batch = next(iter(synthetic.val_dataloader()))
    assert batch["label"].tolist() == list(range(8)) and batch["semantic"].shape == (8, 32, 32)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"crop": 64, "scene_size": 63}, "data.scene_size must be at least data.crop = 64, got 63"),
        ({"scene_seed": -1}, "data.scene_seed must be 0 or more, got -1"),
        ({"val_count": 0}, "data.val_count must be at least 1, got 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SyntheticConfig(**settings)


def test_the_config_is_a_structured_config():
    config = OmegaConf.merge(OmegaConf.structured(SyntheticConfig), {"crop": 32, "val_count": 3})
    assert len(Synthetic(**config).dataset("val")) == 3
