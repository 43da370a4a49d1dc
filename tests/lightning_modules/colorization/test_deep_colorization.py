"""Cheng 2015. Sizes and parameter counts: the paper's features and layers, and arithmetic shown where it is used."""

from dataclasses import asdict

import pytest
import torch
import torchvision
import torchvision.transforms.v2
from torch.nn import functional as F
from toys import fit, one_step_each, synthetic

from datamodules.randomness import Draws
from lightning_modules.color.yuv import rgb_to_yuv
from lightning_modules.colorization import deep_colorization
from lightning_modules.colorization.deep_colorization import (
    DeepColorization,
    DeepColorizationConfig,
    ImageClusters,
    PixelNetwork,
    luma_histogram,
    patches,
    refined,
    sampled,
    smoothed,
)
from lightning_modules.ops.class_maps import one_hot
from lightning_modules.ops.daisy import daisy
from lightning_modules.segmentation.scene_parser import SceneParser

CLASSES = 11  # of the drawn landscapes


def photo(batch=2, height=24, width=32, seed=0):
    """Smooth colours, RGB in [0,1]."""
    coarse = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)


def small(**overrides):
    torch.manual_seed(0)
    return DeepColorization(
        **{"semantic_classes": CLASSES, "parser_width": 2, "daisy_radius": 3, "pixels": 64} | overrides
    )


@pytest.fixture(scope="module")
def batch():
    return next(synthetic(1, crop=32, batch_size=8).initial_batches())


@pytest.fixture(scope="module")
def parser_path(tmp_path_factory):
    """A scene parser of random weights, as training leaves it."""
    torch.manual_seed(1)
    parser = SceneParser(classes=CLASSES, first_label=0, width=2)
    model = asdict(parser.cfg) | {"_target_": "lightning_modules.segmentation.scene_parser.SceneParser"}
    path = tmp_path_factory.mktemp("parser") / "last.ckpt"
    torch.save({"state_dict": parser.state_dict(), "config": {"model": model}, "iteration": 1}, path)
    return str(path)


@pytest.fixture(scope="module")
def torchvision_path(tmp_path_factory):
    """The lightest of torchvision's segmentation networks, of random weights."""
    torch.manual_seed(1)
    network = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    path = tmp_path_factory.mktemp("torchvision") / "network.pth"
    torch.save(network.state_dict(), path)
    return str(path)


def by_torchvision(path, **overrides):
    return small(semantic="torchvision", torchvision_model="lraspp_mobilenet_v3_large", parser=path, **overrides)


# Network


@pytest.mark.parametrize(
    ("classes", "features", "width", "parameters"),
    [
        (47, 128, 64, 64 * 129 + 2 * 64 * 65 + 2 * 65),  # the paper's
        (33, 114, 57, 57 * 115 + 2 * 57 * 58 + 2 * 58),  # SIFT Flow's classes
        (150, 231, 115, 115 * 232 + 2 * 115 * 116 + 2 * 116),  # ADE20K's
    ],
)
def test_the_hidden_layers_are_half_as_wide_as_the_features(classes, features, width, parameters):
    network = DeepColorization(semantic_classes=classes, parser_width=1).networks[0]
    assert network.hidden[0].weight.shape == (width, features) and network.out.weight.shape == (2, width)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert parameters in (16_706, 13_283, 53_592)


def test_the_network_of_the_paper_has_these_keys_and_shapes():
    shapes = {key: tuple(value.shape) for key, value in PixelNetwork().state_dict().items()}
    assert shapes == {
        "hidden.0.weight": (64, 128), "hidden.0.bias": (64,),
        "hidden.1.weight": (64, 64), "hidden.1.bias": (64,),
        "hidden.2.weight": (64, 64), "hidden.2.bias": (64,),
        "out.weight": (2, 64), "out.bias": (2,),
    }  # fmt: skip


def test_layers_on_pixels_equal_1x1_convolutions():
    network, maps = PixelNetwork(), torch.rand(2, 128, 5, 6, generator=torch.Generator().manual_seed(0))
    x = maps
    for layer in network.hidden:
        x = F.relu(F.conv2d(x, layer.weight[:, :, None, None], layer.bias))
    x = F.conv2d(x, network.out.weight[:, :, None, None], network.out.bias)
    torch.testing.assert_close(network(maps.movedim(1, -1)).movedim(-1, 1), x, atol=1e-6, rtol=0)


def test_the_output_is_linear_and_can_be_negative():
    assert PixelNetwork()(torch.rand(500, 128)).min() < 0


def test_depth_and_width_are_settings():
    network = PixelNetwork(100, hidden_layers=1, hidden_share=0.25)
    assert [tuple(layer.weight.shape) for layer in network.hidden] == [(25, 100)]


# Features


def test_features_are_patch_then_daisy_then_classes(batch):
    module = DeepColorization(semantic="labels")
    luma = module.lightness(batch["image"])
    probabilities = module.probabilities(luma, batch["semantic"])
    levels = module.levels(luma, probabilities)
    assert [level.shape[1] for level in levels] == [49, 32, 47]
    assert sum(level.shape[1] for level in levels) == module.cfg.features() == 128
    assert torch.equal(levels[1], daisy(luma, radius=15, rings=1, histograms=3, orientations=8))
    assert torch.equal(levels[2], probabilities)


def test_a_patch_is_the_7x7_grey_values_around_a_pixel_row_by_row():
    luma = torch.rand(2, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    found = patches(luma)
    assert found.shape == (2, 49, 20, 30)
    assert torch.equal(found[1, :, 10, 8].reshape(7, 7), luma[1, 0, 7:14, 5:12])
    assert torch.equal(found[:, 24], luma[:, 0])
    assert torch.equal(found[0, :, 0, 8].reshape(7, 7)[0], luma[0, 0, 3, 5:12])  # mirrored at the border


def test_sampling_takes_the_features_of_the_drawn_pixels():
    maps = torch.rand(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    places = torch.tensor([[0, 8, 41], [13, 13, 6]])
    found = sampled(maps, places)
    assert found.shape == (2, 3, 5)
    assert torch.equal(found[0, 1], maps[0, :, 1, 1]) and torch.equal(found[1, 0], maps[1, :, 1, 6])


@pytest.mark.parametrize(("switched_off", "left"), [
    ({"patch": False}, 32 + CLASSES), ({"daisy": False}, 49 + CLASSES), ({"semantic": "none"}, 49 + 32),
    ({"patch": False, "daisy": False}, CLASSES),
])  # fmt: skip
def test_each_level_can_be_switched_off(switched_off, left, batch):
    module = small(**{"semantic": "labels"} | switched_off)
    assert module.networks[0].hidden[0].in_features == left
    luma = module.lightness(batch["image"])
    assert module.chroma(luma, batch["semantic"]).shape == (8, 2, 32, 32)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("source", ["labels", "parser", "torchvision"])
def test_class_probabilities_sum_to_one_and_none_is_negative(source, smooth, batch):
    module = small(semantic=source, smooth_semantics=smooth, torchvision_model="lraspp_mobilenet_v3_large").eval()
    found = module.probabilities(module.lightness(batch["image"]), batch["semantic"])
    assert found.shape == (8, CLASSES, 32, 32) and found.min() >= 0
    torch.testing.assert_close(found.sum(1), torch.ones(8, 32, 32), atol=1e-5, rtol=0)


def test_smoothing_moves_the_boundary_of_the_classes_to_the_edge_of_the_luma():
    luma = torch.zeros(1, 1, 32, 32)
    luma[..., 16:] = 1
    labels = torch.zeros(1, 32, 32, dtype=torch.uint8)
    labels[..., 13:] = 1  # three pixels beside the edge
    raw = one_hot(labels, 2, 0)
    smooth = smoothed(raw, luma)
    assert raw[0, 1, 16, 15] == 1 and smooth[0, 1, 16, 15] < 0.5
    assert smooth[0, 1, 16, 18] > 0.9


def test_both_filters_leave_constants_alone():
    luma = torch.rand(2, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    even = torch.full((2, 5, 20, 30), 0.2)
    torch.testing.assert_close(smoothed(even, luma), even, atol=1e-5, rtol=0)
    uv = torch.tensor([0.1, -0.2])[None, :, None, None].expand(2, 2, 20, 30)
    torch.testing.assert_close(refined(uv, luma), uv, atol=1e-6, rtol=0)


def test_refining_takes_noise_away_and_keeps_edges_of_the_luma():
    noise = 0.05 * torch.randn(1, 2, 40, 40, generator=torch.Generator().manual_seed(0))
    luma = torch.zeros(1, 1, 40, 40)
    luma[..., 20:] = 0.6
    uv = 0.3 * (luma > 0.5).float() + noise
    clean = refined(uv, luma)
    assert clean[..., :20].std() < 0.3 * uv[..., :20].std()
    assert clean[..., 20].mean() - clean[..., 19].mean() > 0.28


# Sources of classes


def test_a_parser_is_loaded_frozen_and_stays_in_eval_mode(parser_path, batch):
    module = small(parser=parser_path)
    module.initialise([batch])
    state = torch.load(parser_path, weights_only=True)["state_dict"]
    for key, value in module.parser.state_dict().items():
        assert torch.equal(value, state[f"network.{key}"])
    before = {key: value.clone() for key, value in module.parser.state_dict().items()}
    one_step_each(module, [batch] * 2)
    assert all(torch.equal(value, before[key]) for key, value in module.parser.state_dict().items())
    assert not module.train().parser.training and module.networks.training


def test_torchvision_sees_luma_in_three_channels_with_imagenet_statistics(torchvision_path, batch):
    module = by_torchvision(torchvision_path, smooth_semantics=False)
    module.initialise([batch])
    luma = module.lightness(batch["image"])
    image = torchvision.transforms.v2.functional.normalize(
        luma.repeat(1, 3, 1, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    network = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    network.load_state_dict(torch.load(torchvision_path, weights_only=True))
    with torch.no_grad():
        expected = network.eval()(image)["out"].softmax(1)
    torch.testing.assert_close(module.eval().probabilities(luma), expected, atol=1e-5, rtol=0)


def test_the_auxiliary_classifier_of_a_published_file_is_left_out(tmp_path):
    network = torchvision.models.segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=3, aux_loss=True
    )
    torch.save(network.state_dict(), tmp_path / "fcn.pth")
    module = small(
        semantic="torchvision", torchvision_model="fcn_resnet50", semantic_classes=3, parser=str(tmp_path / "fcn.pth")
    )
    module.load_parser()
    assert torch.equal(module.parser.classifier[4].weight, network.classifier[4].weight)


def test_labels_give_an_answer_for_a_batch_and_none_for_a_photograph(batch):
    module = small(semantic="labels").eval()
    other = batch | {"semantic": batch["semantic"].flip(0)}
    assert not torch.equal(module.answer(batch), module.answer(other))
    assert set(module.scores(batch)) >= {"psnr", "psnr_grey"}
    with pytest.raises(ValueError, match="trained on true class maps .*which a photograph lacks"):
        module.colorize(photo())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({}, "model.semantic=parser needs model.parser=CHECKPOINT, which `chromafill train experiment=scene_parser"),
        (
            {"semantic": "torchvision", "torchvision_model": "lraspp_mobilenet_v3_large"},
            "needs model.parser=FILE.pth with",
        ),
        ({"parser": "gone.ckpt"}, "model.parser: no file at gone.ckpt"),
    ],
)
def test_a_fresh_run_without_its_parser_is_refused(overrides, message, batch):
    with pytest.raises(ValueError, match=message):
        small(**overrides).initialise([batch])


def test_a_parser_of_another_size_is_refused_with_both_sizes(parser_path, batch):
    for setting, value in (("semantic_classes", 12), ("parser_width", 3)):
        with pytest.raises(ValueError, match=f"has 11 classes and width 2, but .*model.{setting} = {value}"):
            small(parser=parser_path, **{setting: value}).initialise([batch])


def test_other_files_than_a_parser_are_refused_in_one_line(tmp_path, torchvision_path, batch):
    model = {"_target_": "lightning_modules.colorization.colorful.Colorful"}
    torch.save({"state_dict": {}, "config": {"model": model}, "iteration": 1}, tmp_path / "colorful.ckpt")
    with pytest.raises(ValueError, match="colorful.ckpt holds no scene_parser but Colorful"):
        small(parser=str(tmp_path / "colorful.ckpt")).initialise([batch])
    with pytest.raises(ValueError, match=r"does not fit .*semantic_classes = 5: size mismatch for classifier") as error:
        by_torchvision(torchvision_path, semantic_classes=5).initialise([batch])
    assert "\n" not in str(error.value)
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="broken.pth is not a readable PyTorch file"):
        by_torchvision(str(tmp_path / "broken.pth")).initialise([batch])


def test_data_that_does_not_fit_is_refused(batch):
    with pytest.raises(ValueError, match="needs class maps, which this data set has not"):
        small(semantic="labels").check({"image": batch["image"]})
    with pytest.raises(ValueError, match="2 classes from label 0 on end at 1, but the data set has the label"):
        small(semantic="labels", semantic_classes=2).check(batch)
    with pytest.raises(ValueError, match="images of 8 pixels at least"):
        small(semantic="none").check({"image": photo(1, 7, 9)})
    small(semantic="labels").check(batch)


# Colour


def test_a_constant_image_gets_one_colour():
    module = small(semantic="labels").eval()
    luma, labels = torch.full((1, 1, 40, 40), 0.4), torch.full((1, 40, 40), 3, dtype=torch.uint8)
    uv = module.chroma(luma, labels)
    torch.testing.assert_close(uv, uv[..., 20:21, 20:21].expand_as(uv), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("height", "width", "side"), [(33, 50, None), (20, 71, 16), (64, 9, 32)])
def test_colorize_keeps_size_and_luma_at_odd_sizes(height, width, side):
    image = photo(1, height, width) * 0.4 + 0.3
    module = small(semantic="none").eval()
    with torch.no_grad():
        for parameter in module.networks.parameters():
            parameter.mul_(0.3)  # muted colours, which RGB can hold
        result = module.colorize(image, side)
    assert result.shape == image.shape
    torch.testing.assert_close(rgb_to_yuv(result)[:, :1], rgb_to_yuv(image)[:, :1], atol=1e-3, rtol=0)


def test_kept_lightness_is_exact_where_colours_leave_rgb():
    module = small(semantic="none")
    luma = torch.linspace(0, 1, 32).repeat(1, 1, 8, 1)
    uv = torch.tensor([0.4, -0.5])[None, :, None, None].expand(1, 2, 8, 32)
    clipped, kept = (rgb_to_yuv(module.join(luma, uv, keep_lightness=keep))[:, :1] for keep in (False, True))
    assert (clipped - luma).abs().max() > 0.1
    assert (kept - luma).abs().max() < 2e-3


# Clusters of images (journal version)


def test_an_image_trains_the_network_of_its_cluster_alone():
    dark, bright = photo(4) * 0.3, photo(4, seed=1) * 0.3 + 0.7
    module = small(semantic="none", clusters=2)
    module.initialise([{"image": torch.cat([dark, bright])}])
    clusters = module.image_clusters.nearest(luma_histogram(module.lightness(torch.cat([dark, bright]))))
    assert clusters[:4].unique().numel() == clusters[4:].unique().numel() == 1 and clusters[0] != clusters[4]
    moved = {}
    module.optimizers, module.update = lambda: None, lambda name, opt, loss, **terms: loss.backward()
    module.training_step({"image": dark, "draws": Draws(0, 0, torch.arange(4), "model")}, 0)
    for number, network in enumerate(module.networks):
        assert all(p.grad is not None for p in network.parameters())  # ranks average gradients of the same tensors
        moved[number] = sum(p.grad.abs().sum().item() for p in network.parameters())
    assert moved[int(clusters[0])] > 0 and moved[int(clusters[4])] == 0


def test_prediction_takes_the_network_of_the_cluster():
    module = small(semantic="none", clusters=2, refine=False).eval()
    images = torch.cat([photo(1) * 0.3, photo(1, seed=1) * 0.3 + 0.7])
    module.initialise([{"image": images}])
    luma = module.lightness(images)
    cluster = module.image_clusters.nearest(luma_histogram(luma))
    features = torch.cat(module.levels(luma, luma[:, :0]), 1).movedim(1, -1)
    for row, number in enumerate(cluster.tolist()):
        expected = module.networks[number](features[row]).movedim(-1, 0)
        torch.testing.assert_close(module.chroma(luma)[row], expected, atol=1e-6, rtol=0)


def test_the_cluster_of_a_prediction_is_near_in_luma_and_in_classes():
    clusters = ImageClusters(3, 2)
    clusters.luma[0, 0], clusters.luma[1, :2], clusters.luma[2, 31] = 1, torch.tensor([0.9, 0.1]), 1
    clusters.classes.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.2, 0.8]]))
    query = torch.eye(32)[:1]
    assert clusters.nearest(query).item() == 0
    assert clusters.nearest_in_both(query, torch.tensor([[0.1, 0.9]])).item() == 1


def test_of_two_clusters_the_one_that_learnt_such_luma_is_taken_though_the_classes_lean_to_the_other():
    clusters = ImageClusters(2, 2)
    clusters.luma[0, :4], clusters.luma[1, -4:] = 0.25, 0.25
    clusters.classes.copy_(torch.tensor([[0.8, 0.2], [0.2, 0.8]]))
    dark = torch.zeros(1, 32)
    dark[0, :3] = 1 / 3
    assert clusters.nearest_in_both(dark, torch.tensor([[0.1, 0.9]])).item() == 0


@pytest.mark.filterwarnings("ignore")  # of SciPy, about the cluster that is empty
def test_a_cluster_without_images_is_nobodys_nearest():
    clusters, luma = ImageClusters(3, 2), torch.eye(32)[[3, 20, 3, 20]]
    classes = torch.tensor([[0.7, 0.3], [0.3, 0.7], [0.7, 0.3], [0.3, 0.7]])
    clusters.fit_(luma, classes, seed=0)
    used = set(clusters.nearest(luma).tolist())
    assert len(used) == 2
    anything = torch.rand(200, 32, generator=torch.Generator().manual_seed(0))
    anything = torch.cat([torch.eye(32), anything / anything.sum(1, keepdim=True)])
    assert set(clusters.nearest(anything).tolist()) <= used
    for shares in (torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])):
        assert set(clusters.nearest_in_both(anything, shares.expand(232, 2)).tolist()) <= used
    assert all(value.isfinite().all() for value in clusters.state_dict().values())


def test_the_luma_histogram_counts_pixels():
    histogram = luma_histogram(torch.tensor([0.0, 0.01, 0.5, 1.0]).reshape(1, 1, 2, 2))
    assert histogram[0, [0, 16, 31]].tolist() == [0.5, 0.25, 0.25]


def test_more_clusters_than_images_are_refused(batch):
    with pytest.raises(ValueError, match="model.clusters = 9 clusters cannot be found in 8 images"):
        small(semantic="none", clusters=9).initialise([batch])


def test_clusters_are_the_same_for_the_same_seed(batch):
    found = []
    for _ in range(2):
        module = small(semantic="labels", clusters=3)
        module.initialise([batch])
        found.append(module.image_clusters.luma)
    assert torch.equal(*found)


# Training


def test_the_loss_is_the_mean_squared_distance_of_uv_over_the_drawn_pixels(batch):
    module, seen = small(semantic="none"), {}
    module.optimizers, module.update = lambda: None, lambda name, opt, loss, **terms: seen.update(loss=loss)
    module.training_step(batch, 0)
    places = batch["draws"].fold("pixels").integers(0, 32 * 32, 64)
    uv = rgb_to_yuv(batch["image"])[:, 1:]
    module.cfg.refine = False
    distance = (module.chroma(module.lightness(batch["image"])) - uv).square().sum(1).flatten(1).gather(1, places)
    assert seen["loss"].item() == pytest.approx(distance.mean().item(), rel=1e-4)


def test_the_drawn_pixels_of_a_sample_do_not_depend_on_its_batch(batch, monkeypatch):
    module, places = small(semantic="none"), []
    module.optimizers, module.update = lambda: None, lambda *args, **terms: None
    monkeypatch.setattr(deep_colorization, "sampled", lambda maps, at: places.append(at) or sampled(maps, at))
    drawn = []
    for rows in (slice(8), slice(4), slice(4, None)):
        module.training_step({key: value[rows] for key, value in batch.items()}, 0)
        drawn.append(places.pop())
    assert torch.equal(drawn[0], torch.cat(drawn[1:]))
    assert len(drawn[0].unique(dim=0)) == 8


@pytest.mark.parametrize("overrides", [{"semantic": "labels"}, {"semantic": "none", "clusters": 2}])
def test_a_few_steps_beat_grey(overrides, batch):
    module = small(lr=1e-2, pixels=256, **overrides)
    module.initialise([batch])
    one_step_each(module, [batch] * 30)
    scores = module.eval().scores(batch)
    assert scores["psnr"].mean() > scores["psnr_grey"].mean() + 1


def test_a_checkpoint_colours_photographs_without_the_parsers_file(parser_path, batch, tmp_path):
    module = small(parser=parser_path, clusters=2)
    module.initialise([batch])
    fit(module, synthetic(2, crop=32)).save_checkpoint(tmp_path / "last.ckpt")
    restored = DeepColorization.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True, parser="moved").eval()
    assert restored.iteration == 2
    with torch.no_grad():
        assert torch.equal(restored.colorize(photo()), module.eval().colorize(photo()))


def test_bf16_autocast_keeps_the_prediction(parser_path, batch):
    module = small(parser=parser_path).eval()
    module.initialise([batch])
    luma = module.lightness(batch["image"])
    exact = module.predict_chroma(luma)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = module.predict_chroma(luma)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_defaults_are_the_papers_values():
    cfg = DeepColorizationConfig()
    assert (cfg.features(), cfg.hidden_layers, cfg.hidden_share, cfg.semantic_classes) == (128, 3, 0.5, 47)
    assert cfg.working_side == 256 and cfg.clusters == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"semantic": "truth"}, "model.semantic must be one of none, parser, torchvision, labels; got 'truth'"),
        ({"patch": False, "daisy": False, "semantic": "none"}, "no feature is left"),
        ({"clusters": 0}, "model.clusters must be at least 1, got 0"),
        ({"hidden_share": 0.001}, "model.hidden_share = 0.001 of 128 features leaves no unit"),
    ],
)
def test_impossible_settings_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        DeepColorizationConfig(**overrides)


def test_an_unknown_network_of_torchvision_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="must be one of deeplabv3_mobilenet_v3_large, .*; got 'resnet50'"):
        small(semantic="torchvision", torchvision_model="resnet50")
