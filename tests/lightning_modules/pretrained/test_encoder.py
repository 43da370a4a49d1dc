import pytest
import torch
from tiny_checkpoints import classifier, colorizer, feature_net, inpainter, save

from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.colorization.colorful import Colorful
from lightning_modules.colorization.deep_colorization import DeepColorization
from lightning_modules.inpainting.context_encoder_features import ContextEncoderFeatures, to_caffe
from lightning_modules.inpainting.glcic import GLCIC
from lightning_modules.ops.layer_maps import pooled
from lightning_modules.pretrained.checkpoint import CheckpointError, read_checkpoint
from lightning_modules.pretrained.encoder import (
    build_encoder,
    features,
    order_of_layers,
    paper_of,
    trained_encoder,
    untrained_encoder,
)


@pytest.fixture(scope="module")
def batch():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return {"image": images, "label": torch.tensor([0, 1])}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return colorizer(tmp_path_factory.mktemp("files") / "color.ckpt")


def test_a_colorizer_sees_the_image_in_its_own_unit_of_grey(checkpoint, batch):
    encoder, settings = trained_encoder(checkpoint, ["network.model2"], batch)
    network = encoder.network
    lightness = (rgb_to_lab(batch["image"])[:, :1] - 50) / 100
    expected = network.model2(network.model1(lightness))  # (2,4,8,8)
    found = features(encoder, ["network.model2"], batch, most=10_000)["network.model2"]
    assert settings["width"] == 2 and not encoder.training
    assert torch.equal(found, expected.flatten(1))


def test_colour_does_not_reach_a_colorizers_features(checkpoint, batch):
    encoder, _ = trained_encoder(checkpoint, ["network.model2"], batch)
    twin = {"image": encoder.join(rgb_to_lab(batch["image"])[:, :1], torch.zeros(2, 2, 32, 32))}
    first, second = (features(encoder, ["network.model2"], each, 64)["network.model2"] for each in (batch, twin))
    assert torch.allclose(first, second, atol=1e-3)


def test_an_inpainter_sees_rgb_without_a_hole_but_for_one_pixel(tmp_path):
    encoder, _ = trained_encoder(feature_net(tmp_path / "f.ckpt"), ["network.encoder.pool1"], side(67))
    image = side(67)["image"]
    shown = to_caffe(image)
    shown[:, :, 33, 33] = 0
    alexnet = encoder.network.encoder
    expected = pooled(alexnet.pool1(alexnet.conv1(shown).relu()), 10_000)
    found = features(encoder, ["network.encoder.pool1"], side(67), 10_000)["network.encoder.pool1"]
    assert torch.allclose(found, expected, atol=1e-4)


def test_an_inpainter_sees_the_holes_of_a_batch_that_has_some(tmp_path):
    encoder, _ = trained_encoder(feature_net(tmp_path / "f.ckpt"), ["network.encoder.pool1"], side(67))
    mask = torch.zeros(2, 1, 67, 67)
    mask[..., 20:40, 20:40] = 1
    batch = side(67) | {"mask": mask}
    changed = batch | {"image": torch.where(mask > 0, 0.3, batch["image"])}
    maps = [features(encoder, ["network.encoder.pool1"], each, 10_000) for each in (batch, changed, side(67))]
    first, second, whole = (each["network.encoder.pool1"] for each in maps)
    assert torch.equal(first, second) and not torch.allclose(first, whole)


def side(length):
    return {"image": torch.rand(2, 3, length, length, generator=torch.Generator().manual_seed(1))}


@pytest.mark.parametrize(
    ("make", "layer", "length"),
    [
        (classifier, "network.low.conv6_relu", 40),
        (classifier, "network.global_.fc2_relu", 40),
        (inpainter, "generator.encoder.9", 64),
        (lambda path: save(path, GLCIC(width=4, side=32, local_side=16)), "generator.layers.30", 32),
        (lambda path: save(path, DeepColorization(semantic="none", daisy_radius=3)), "networks.0.hidden.1", 32),
    ],
)
def test_every_paper_gives_features(tmp_path, make, layer, length):
    encoder, _ = trained_encoder(make(tmp_path / "paper.ckpt"), [layer], side(length))
    found = features(encoder, [layer], side(length), 500)[layer]
    assert found.shape[0] == 2 and 0 < found.shape[1] <= 500 and found.isfinite().all()
    assert not torch.equal(found[0], found[1])


def test_layers_run_in_the_networks_order(checkpoint, batch):
    encoder, _ = trained_encoder(checkpoint, ["network.model2"], batch)
    order = order_of_layers(encoder, "network.model2", batch)
    assert order == [f"network.model{block}.{part}" for block in (1, 2) for part in range(5)]


def test_the_untrained_twin_has_other_weights_the_same_for_the_same_seed(checkpoint, batch):
    twins = [untrained_encoder(checkpoint, seed, iter([batch, batch]))[0].state_dict() for seed in (0, 0, 1)]
    key = "network.model1.0.weight"
    assert torch.equal(twins[0][key], twins[1][key]) and not torch.equal(twins[0][key], twins[2][key])
    assert not torch.equal(twins[0][key], read_checkpoint(checkpoint)["state_dict"][key])


def test_the_untrained_twin_starts_as_its_own_training_does(checkpoint, batch):
    """Colorful brings each layer to unit variance on the first batches."""
    encoder, _ = untrained_encoder(checkpoint, 0, iter([batch, batch]))
    lightness = (rgb_to_lab(batch["image"])[:, :1] - 50) / 100
    assert encoder.network.model1[0](lightness).var(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_the_untrained_twin_does_not_start_from_a_file(tmp_path, batch):
    path = save(tmp_path / "tuned.ckpt", Colorful(width=2, init_from="gone.ckpt"))
    encoder, settings = untrained_encoder(path, 0, iter([batch, batch]))
    assert encoder.cfg.init_from is None and settings["init_from"] == "gone.ckpt"


@pytest.mark.parametrize(
    "settings",
    [
        {"semantic_classes": 3, "parser_width": 2},
        {"semantic": "torchvision", "torchvision_model": "lraspp_mobilenet_v3_large", "semantic_classes": 3},
    ],
)
def test_the_untrained_twin_has_the_fixed_networks_of_the_checkpoint(tmp_path, batch, settings):
    trained = DeepColorization(daisy_radius=3, parser=str(tmp_path / "gone.ckpt"), **settings)
    path = save(tmp_path / "deep.ckpt", trained)
    encoder, found = untrained_encoder(path, 0, iter([batch, batch]))
    assert found["parser"] == str(tmp_path / "gone.ckpt")
    expected = trained.parser.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in encoder.parser.state_dict().items())
    assert not torch.equal(encoder.networks[0].out.weight, trained.networks[0].out.weight)


def test_building_an_encoder_leaves_the_random_numbers_alone(checkpoint):
    state = torch.get_rng_state()
    build_encoder(read_checkpoint(checkpoint)["config"]["model"])
    assert torch.equal(torch.get_rng_state(), state)


def published_part(path):
    """What `chromafill convert` makes of an encoder alone."""
    module = ContextEncoderFeatures(fine_size=67, width=4)
    save(path, module)
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {k: v for k, v in content["state_dict"].items() if k.startswith("network.encoder.")}
    torch.save(content | {"part": "the encoder alone"}, path)
    return module


def test_a_published_encoder_serves_for_the_layers_it_has(tmp_path):
    module = published_part(tmp_path / "part.ckpt")
    encoder, _ = trained_encoder(tmp_path / "part.ckpt", ["network.encoder.pool5"], side(67))
    assert torch.equal(encoder.network.encoder.conv5.weight, module.network.encoder.conv5.weight)
    with pytest.raises(CheckpointError, match="holds the encoder alone; layer 'network.across' needs network.across"):
        trained_encoder(tmp_path / "part.ckpt", ["network.across"], side(67))


@pytest.mark.parametrize(
    "target",
    ["os.system", "lightning_modules.nosuch.Paper", "lightning_modules.tasks.TaskModule", "lightning_modules.base.np"],
)
def test_nothing_but_a_paper_is_built(target):
    with pytest.raises(CheckpointError, match=f"there is no paper {target} here"):
        paper_of({"_target_": target})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state_dict": {}}, "does not hold the weights of Colorful: Missing key"),
        ({"colour": 1}, "its settings do not fit this version of Colorful: .*unexpected keyword argument 'colour'"),
        ({"neighbours": 99}, "its settings do not fit this version of Colorful: model.neighbours must be between"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_line(tmp_path, checkpoint, batch, change, message):
    content = torch.load(checkpoint, weights_only=True)
    if "state_dict" in change:
        content |= change
    else:
        content["config"]["model"] |= change
    torch.save(content, tmp_path / "changed.ckpt")
    with pytest.raises(CheckpointError, match=message) as error:
        trained_encoder(tmp_path / "changed.ckpt", ["network.model1"], batch)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_a_missing_file_is_one_line(tmp_path, batch):
    with pytest.raises(CheckpointError, match="no checkpoint .*gone.ckpt"):
        trained_encoder(tmp_path / "gone.ckpt", ["network.model1"], batch)
