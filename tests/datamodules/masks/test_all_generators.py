"""What every mask generator promises, whatever it draws."""

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError
from PIL import Image

from datamodules.masks.centre import Centre
from datamodules.masks.free_form import FreeForm
from datamodules.masks.from_folder import FromFolder
from datamodules.masks.inset import Inset
from datamodules.masks.mixture import Mixture
from datamodules.masks.random_blocks import RandomBlocks
from datamodules.masks.random_region import RandomRegion
from datamodules.masks.rectangle import Rectangle
from datamodules.masks.scratches import Scratches
from datamodules.masks.text_overlay import TextOverlay
from datamodules.randomness import Draws

CLASSES = [
    Centre,
    FreeForm,
    FromFolder,
    Inset,
    Mixture,
    RandomBlocks,
    RandomRegion,
    Rectangle,
    Scratches,
    TextOverlay,
]
CONSTANT = ["centre", "fixed"]
RATIOS = {  # least and greatest hole share of a square image
    "centre": (0.25, 0.25),
    "blocks": (0.05, 0.25),
    "folder": (0.001, 0.999),
    "fixed": (0.001, 0.999),
    "free_form": (0.05, 0.5),
    "inset": (0.03, 0.33),
    "mixture": (0.01, 0.5),
    "narrow": (0.3, 0.31),
    "rectangle": (0.13, 0.26),
    "rectangles": (0.01, 0.48),
    "region": (0.2, 0.3),
    "scratches": (0.002, 0.1),
    "text": (0.01, 0.15),
}
SIZES = [(64, 64), (48, 80), (80, 48)]


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    for number in range(5):
        pixels = np.zeros((40, 60), dtype=np.uint8)
        pixels[4 * number : 4 * number + 12, 10:50] = 255
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return {
        "centre": Centre(),
        "blocks": RandomBlocks(),
        "folder": FromFolder(folder=str(folder), flip=True, rotate=True, crop=0.7),
        "fixed": FromFolder(folder=str(folder), fixed=True, cycle=True, resize=True),
        "free_form": FreeForm(),
        "inset": Inset(part=FreeForm()),
        "mixture": Mixture(parts=[TextOverlay(), FreeForm()], weights=[1, 2]),
        "narrow": FreeForm(min_ratio=0.3, max_ratio=0.31),
        "rectangle": Rectangle(),
        "rectangles": Rectangle(side=[0.1, 0.4], count=[1, 3]),
        "region": RandomRegion(),
        "scratches": Scratches(),
        "text": TextOverlay(),
    }


RANDOM = [name for name in RATIOS if name not in CONSTANT]
HELD = ["blocks", "free_form", "narrow", "region", "scratches"]  # hold their share on oblong images too


def draws(samples, epoch=2, seed=7, device="cpu"):
    return Draws(seed, epoch, torch.as_tensor(samples, device=device), "mask")


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("height, width", [*SIZES, (256, 256)])
def test_masks_are_binary_float_of_one_channel_with_a_hole_in_range(generators, name, height, width):
    mask = generators[name](draws(range(6)), height, width)
    assert mask.shape == (6, 1, height, width) and mask.dtype == torch.float32
    assert not mask.requires_grad and mask.is_contiguous()
    assert ((mask == 0) | (mask == 1)).all()
    share = mask.double().mean((1, 2, 3))
    least, greatest = RATIOS[name]
    assert (share <= greatest).all() and (share > 0).all()
    if height == width or name in HELD:
        assert (share >= least).all()


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("height, width", SIZES[:2])
def test_a_samples_mask_is_the_same_in_any_batch_and_order(generators, name, height, width):
    samples = [3, 1_000_003, 8, 2**31 + 5, 0, 5, 6, 7]
    whole = generators[name](draws(samples), height, width)
    for place, sample in enumerate(samples):
        assert torch.equal(generators[name](draws([sample]), height, width)[0], whole[place])
    assert torch.equal(generators[name](draws(samples[::-1]), height, width), whole.flip(0))
    assert torch.equal(generators[name](draws(samples), height, width), whole)


@pytest.mark.parametrize("name", RANDOM)
def test_masks_differ_between_samples_epochs_and_seeds(generators, name):
    generator = generators[name]
    masks = generator(draws(range(16)), 64, 64)
    assert len(masks.flatten(1).unique(dim=0)) >= 14
    for other in (draws(range(16), epoch=3), draws(range(16), seed=8)):
        changed = (generator(other, 64, 64) != masks).flatten(1).any(1)
        assert changed.sum() >= 14


@pytest.mark.parametrize("name", CONSTANT)
def test_fixed_masks_are_the_same_in_every_epoch(generators, name):
    masks = [generators[name](draws(range(8), epoch=epoch), 64, 64) for epoch in (0, 1)]
    assert torch.equal(*masks)


@pytest.mark.parametrize("kind", CLASSES)
def test_settings_are_a_structured_config_that_refuses_a_misspelt_key(kind):
    config = OmegaConf.structured(kind)
    assert len(config) == len(kind.__dataclass_fields__)
    with pytest.raises(ConfigAttributeError, match="sied"):
        config.sied = 3


def test_hydra_builds_a_generator_from_settings():
    settings = {"_target_": "datamodules.masks.rectangle.Rectangle", "side": [20, 30], "count": [1, 2]}
    built, direct = instantiate(OmegaConf.create(settings)), Rectangle(side=[20, 30], count=[1, 2])
    assert torch.equal(built(draws(range(4)), 64, 64), direct(draws(range(4)), 64, 64))


@pytest.mark.gpu
@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("height, width", [(64, 64), (48, 80), (256, 256)])
def test_cuda_draws_the_same_masks(generators, name, height, width):
    cpu = generators[name](draws(range(8)), height, width)
    cuda = generators[name](draws(range(8), device="cuda"), height, width)
    assert cuda.is_cuda and torch.equal(cuda.cpu(), cpu)
