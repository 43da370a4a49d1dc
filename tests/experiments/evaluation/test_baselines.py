import pytest
import torch
from torch.utils.data import default_collate
from toys import synthetic

from datamodules.errors import DataError, UnreadableImage
from datamodules.randomness import sample_uniforms
from experiments.evaluation.baselines import BASELINES, training_image
from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.metrics.pixel import psnr_in_hole
from lightning_modules.ops import classical

INPAINTING = [name for name, baseline in BASELINES.items() if baseline.task == "inpainting"]
COLORIZATION = [name for name, baseline in BASELINES.items() if baseline.task == "colorization"]


def module(seed=0, **settings):
    data = synthetic(1, crop=32, test_count=6, **settings)
    data.seed = seed
    return data


def batch_of(data, positions=range(4)):
    dataset = data.dataset("test")
    batch = data.on_after_batch_transfer(default_collate([dataset[0, position] for position in positions]))
    batch["mask"] = torch.zeros(len(batch["image"]), 1, 32, 32)
    batch["mask"][..., 8:24, 6:20] = 1
    return batch


@pytest.mark.parametrize("name", INPAINTING)
def test_known_pixels_stay_bit_for_bit_and_the_hole_has_no_influence(name):
    data = module()
    batch, answer = batch_of(data), BASELINES[name].answer
    done = answer(batch, data)
    outside = (batch["mask"] == 0).expand_as(done)
    assert torch.equal(done[outside], batch["image"][outside])
    other = batch | {"image": torch.where(batch["mask"] > 0, 0.25, batch["image"])}
    assert torch.equal(answer(other, data), done)


def test_classical_methods_beat_the_mean_colour_on_smooth_pictures():
    x = torch.linspace(0.1, 0.9, 32)
    batch = {"image": torch.stack([x.expand(32, 32), x[:, None].expand(32, 32), x.expand(32, 32)])[None]}
    batch |= {"mask": batch_of(module())["mask"][:1], "index": torch.tensor([0])}
    scores = {
        name: psnr_in_hole(BASELINES[name].answer(batch, None), batch["image"], batch["mask"]).item()
        for name in INPAINTING
    }
    assert all(scores[name] > scores["mean_fill"] + 6 for name in INPAINTING if name != "mean_fill"), scores
    assert max(scores, key=scores.get) == "biharmonic"


@pytest.mark.parametrize("name", INPAINTING)
def test_an_image_that_is_nothing_but_hole_is_one_line_with_its_index(name):
    batch = {"image": torch.rand(2, 3, 8, 8), "mask": torch.zeros(2, 1, 8, 8), "index": torch.tensor([4, 7])}
    batch["mask"][1] = 1
    with pytest.raises(DataError, match="^image 7 is nothing but hole, so there is nothing to fill it from; .*mask$"):
        BASELINES[name].answer(batch, None)


def test_a_hole_too_large_for_biharmonic_is_an_error_of_the_data(monkeypatch):
    monkeypatch.setattr(classical, "MOST_UNKNOWN", 10)
    with pytest.raises(DataError, match="at most 10 pixels"):
        BASELINES["biharmonic"].answer(batch_of(module()), None)


@pytest.mark.parametrize("name", COLORIZATION)
def test_lightness_is_kept_where_the_colour_fits_into_srgb(name):
    data = module()
    batch = batch_of(data)
    done = BASELINES[name].answer(batch, data)
    clipped = ((done <= 0) | (done >= 1)).any(1, keepdim=True)
    error = (rgb_to_lab(done)[:, :1] - rgb_to_lab(batch["image"])[:, :1]).abs()
    assert (~clipped).float().mean() > 0.5 and error[~clipped].max() < 0.02


def test_grey_has_no_colour_and_random_colour_has_that_of_the_training_image():
    data = module()
    batch = batch_of(data)
    assert rgb_to_lab(BASELINES["grey"].answer(batch, data))[:, 1:].abs().max() < 0.02
    done = BASELINES["random_colour"].answer(batch, data)
    other = rgb_to_lab(training_image(data, 2)[None])[:, 1:]
    fits = ((done[2] > 0) & (done[2] < 1)).all(0)
    assert (rgb_to_lab(done[2:3])[:, 1:] - other).abs().amax(1)[0][fits].max() < 0.05


def test_random_colour_depends_on_the_seed_and_the_index_alone():
    answer = BASELINES["random_colour"].answer
    data = module()
    whole = answer(batch_of(data), data)
    assert torch.equal(answer(batch_of(data, [2]), data)[0], whole[2])
    again, other = module(batch_size=3), module(seed=1)
    assert torch.equal(answer(batch_of(again), again), whole)
    assert not torch.equal(answer(batch_of(other), other), whole)
    chosen = [training_image(data, index) for index in range(30)]
    assert len({image.numpy().tobytes() for image in chosen}) > 15


def test_an_unreadable_training_image_gives_way_to_the_next(monkeypatch):
    data = module()
    source = data.dataset("train").source
    read, broken = source.read, {int(sample_uniforms(data.seed, 0, 0, "random colour")[0] * 40)}
    next_one = source.read((min(broken) + 1) % 40)["image"].float() / 255

    def fails(position, shortest=None):
        if position in broken:
            raise UnreadableImage(str(position), "broken")
        return read(position, shortest)

    assert not torch.equal(training_image(data, 0), next_one)
    monkeypatch.setattr(source, "read", fails)
    assert torch.equal(training_image(data, 0), next_one)
    broken.update(range(40))
    with pytest.raises(DataError, match="^40 training images in a row cannot be read, from .* on$"):
        training_image(data, 0)
