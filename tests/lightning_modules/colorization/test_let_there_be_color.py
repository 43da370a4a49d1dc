"""Iizuka 2016. Layer table and shapes: the paper's Table 1; parameter counts: the arithmetic of its layers."""

import math

import pytest
import torch
from torch.nn import functional as F
from toys import one_step_each

from lightning_modules.color.lab import lab_to_rgb, rgb_to_lab
from lightning_modules.color.yuv import rgb_to_yuv
from lightning_modules.colorization.let_there_be_color import (
    COLOR_SPACES,
    LetThereBeColor,
    LetThereBeColorConfig,
    LetThereBeColorNet,
)

CLASSES = 6
PARAMETERS = {  # without batch norm
    "low": 2_287_488,
    "global_": 9_439_232 + 26_347_264,  # convolutions and linear layers
    "mid": 3_539_712,
    "fusion": 131_328,
    "fusion_norm": 0,
    "color": 424_802,
    "classifier": 184_013,
}


def photo(batch=2, side=32, seed=0):
    """Smooth colours, not too strong, RGB in [0,1] (B,3,side,side)."""
    coarse = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return 0.2 + 0.6 * F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)


def labelled(batch=4, seed=0):
    return {"image": photo(batch, seed=seed), "label": torch.arange(batch) % CLASSES, "index": torch.arange(batch)}


def small(**overrides):
    """A sixteenth of the channels, a global view of 32 x 32."""
    torch.manual_seed(0)
    return LetThereBeColor(**{"width": 4, "global_side": 32, "classes": CLASSES, "working_side": 32, **overrides})


def settled(**overrides):
    """A network for prediction whose running statistics are those of photographs, as after training."""
    module = small(**overrides).train()
    for layer in module.modules():
        if hasattr(layer, "momentum"):
            layer.momentum = 1.0
    with torch.no_grad():
        module(module.lightness(photo(8, seed=3)))
    return module.eval()


def gradients(module, batch, of=None):
    """What one training step hands to `update`, and the gradients of its total, or of one term, by name."""
    seen = {}

    def keep(name, optimizer, loss, **terms):
        module.zero_grad()
        (loss if of is None else terms[of]).backward()
        seen.update(loss=loss.detach(), terms=terms)

    module.optimizers, module.update = lambda: None, keep
    module.train().training_step(batch, 0)
    return seen, {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def parts(gradients):
    """'low', 'global_.fc2', ...: the layers that got a gradient, batch norms left out."""
    return {
        name.removeprefix("network.").rpartition(".")[0]
        for name, gradient in gradients.items()
        if "norm" not in name and gradient.abs().max() > 0
    }


# Networks


@pytest.fixture(scope="module")
def paper_net():
    with torch.device("meta"):
        return LetThereBeColorNet()


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_parameters_without_batch_norm_are_those_of_the_table():
    with torch.device("meta"):
        net = LetThereBeColorNet(batch_norm=False)
    assert {name: count(part) for name, part in net.named_children()} == PARAMETERS
    assert count(net) == 42_353_839
    convolutions = sum(p.numel() for name, p in net.global_.named_parameters() if "conv" in name)
    assert convolutions == 9_439_232


def test_batch_norm_adds_two_weights_a_channel_to_all_layers_but_the_two_outputs(paper_net):
    assert count(paper_net) == 42_353_839 + 2 * 6_752
    assert sum(buffer.numel() for buffer in paper_net.buffers()) == 2 * 6_752 + 21  # 21 layers count their batches
    assert not [name for name, _ in paper_net.named_modules() if name in ("color.norm5", "classifier.norm2")]


def test_the_head_of_imagenet_has_795_outputs_more_and_alpha_0_has_none(paper_net):
    with torch.device("meta"):
        imagenet, headless = LetThereBeColorNet(classes=1000), LetThereBeColorNet(classes=None)
    assert count(imagenet) - count(paper_net) == 204_315  # 795 * 257
    assert count(headless) == 42_182_818
    assert headless.classifier is None


def test_state_has_the_layers_by_name_and_nothing_else_without_batch_norm():
    net = LetThereBeColorNet(width=2, global_side=32, batch_norm=False)
    counts = {"low.conv": 6, "global_.conv": 4, "global_.fc": 3, "mid.conv": 2, "color.conv": 5, "classifier.fc": 2}
    layers = [f"{part}{n}" for part, layers in counts.items() for n in range(1, layers + 1)] + ["fusion"]
    assert set(net.state_dict()) == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def test_layers_at_224_have_the_shapes_of_the_table(paper_net):
    shapes = {}
    for name in ("low", "mid", "global_.conv4_relu", "global_.flatten", "global_.fc2_relu", "global_"):
        paper_net.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: output})
        )
    output, logits = paper_net(torch.empty(2, 1, 224, 224, device="meta"))
    assert shapes["low"].shape == (2, 512, 28, 28)
    assert shapes["global_.conv4_relu"].shape == (2, 512, 7, 7)
    assert shapes["global_.flatten"].shape == (2, 25_088)
    assert [vector.shape for vector in shapes["global_"]] == [(2, 512), (2, 256)]
    assert shapes["mid"].shape == (2, 256, 28, 28)
    assert output.shape == (2, 2, 112, 112) and logits.shape == (2, 205)


def test_an_image_of_any_size_comes_out_at_half_of_it(paper_net):
    image, view = torch.empty(2, 1, 320, 256, device="meta"), torch.empty(2, 1, 224, 224, device="meta")
    output, logits = paper_net(image, view)
    assert output.shape == (2, 2, 160, 128) and logits.shape == (2, 205)


def test_an_image_that_is_its_own_view_passes_the_low_level_features_once():
    net = small().network.eval()
    calls = []
    net.low.register_forward_hook(lambda *_: calls.append(1))
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    once = net(x)
    assert len(calls) == 1
    twice = net(x, view=x)
    assert len(calls) == 3
    for a, b in zip(once, twice, strict=True):
        torch.testing.assert_close(a, b)


def test_training_at_the_global_side_passes_the_low_level_features_once():
    module, calls = small(), []
    module.network.low.register_forward_hook(lambda *_: calls.append(1))
    gradients(module, labelled())
    assert len(calls) == 1


def test_fusion_is_equation_5_at_every_position_global_features_first():
    net = small(batch_norm=False).network
    seen = {}
    net.fusion.register_forward_hook(lambda module, inputs, output: seen.update(fused=F.relu(output)))
    net.mid.register_forward_hook(lambda module, inputs, output: seen.update(mid=output))
    net.global_.register_forward_hook(lambda module, inputs, output: seen.update(vector=output[1]))
    net(torch.randn(2, 1, 48, 40, generator=torch.Generator().manual_seed(0)), view=torch.rand(2, 1, 32, 32))
    weight, bias = net.fusion.weight[:, :, 0, 0], net.fusion.bias
    for u in range(6):
        for v in range(5):
            y = F.relu(bias + torch.cat([seen["vector"], seen["mid"][:, :, u, v]], dim=1) @ weight.T)
            torch.testing.assert_close(seen["fused"][:, :, u, v], y, atol=1e-5, rtol=0)


def test_the_baseline_has_a_3x3_convolution_for_the_fusion_and_neither_global_features_nor_classifier():
    with torch.device("meta"):
        net = LetThereBeColorNet(global_side=None, batch_norm=False)
    assert net.fusion.weight.shape == (256, 256, 3, 3)
    assert count(net) == 2_287_488 + 3_539_712 + 590_080 + 424_802  # 590,080 = 256 * (256 * 9 + 1)
    output, logits = net(torch.empty(1, 1, 64, 32, device="meta"))
    assert output.shape == (1, 2, 32, 16) and logits is None


@pytest.mark.parametrize(("part", "pixels"), [("low", 43), ("mid", 75)])
def test_local_features_see_43_pixels_after_the_low_level_and_75_after_the_mid_level(part, pixels):
    """By the support of the gradient in a net of positive weights, where nothing cancels and no ReLU closes."""
    net = LetThereBeColorNet(width=2, global_side=32, batch_norm=False).double()
    for p in net.parameters():
        p.detach().abs_()
    x = torch.ones(1, 1, 128, 128, dtype=torch.double, requires_grad=True)
    features = net.low(x) if part == "low" else net.mid(net.low(x))
    features[:, :, 8, 8].sum().backward()
    assert ((x.grad[0, 0] > 0).any(0).sum(), (x.grad[0, 0] > 0).any(1).sum()) == (pixels, pixels)


# Luma, chroma and colour spaces


def test_a_neutral_output_is_a_neutral_grey():
    for name, space in COLOR_SPACES.items():
        luma = torch.linspace(0, 1, 11).reshape(1, 1, 1, 11)
        chroma = space.decode(torch.full((1, len(space.low), 1, 11), 0.5))
        uv = space.uv(luma, chroma)
        assert uv.abs().max() < 1e-3, name


def test_outputs_stand_for_ab_from_minus_100_to_100():
    ab = COLOR_SPACES["lab"].decode(torch.tensor([0.0, 0.5, 1.0]).expand(1, 2, 1, 3))
    assert ab[0, 0, 0].tolist() == ab[0, 1, 0].tolist() == [-100, 0, 100]


def test_targets_beyond_100_are_clipped():
    blue = torch.tensor([0.0, 0.0, 1.0])[None, :, None, None]  # b = -107.9
    assert rgb_to_lab(blue)[0, 2].item() < -100
    target = COLOR_SPACES["lab"].encode(blue)[0, :, 0, 0]
    assert target[0].item() == pytest.approx((79.19 / 100 + 1) / 2, abs=1e-3)  # a of sRGB blue
    assert target[1].item() == 0


@pytest.mark.parametrize("name", COLOR_SPACES)
def test_an_encoded_image_comes_back_from_its_own_luma(name):
    image = photo(1)
    module = small(color_space=name)
    chroma = module.space.decode(module.space.encode(image))
    result = module.join(module.lightness(image), chroma)
    # In Lab, L is taken from the grey of the same luma, which the colour itself does not have.
    assert (result - image).abs().mean() < (0.02 if name == "lab" else 1e-4)


def test_chroma_is_joined_by_way_of_the_grey_images_lightness():
    """One pixel by hand: L of the grey (0.5, 0.5, 0.5) is 53.39; U and V of Lab (53.39, 20, 30) go with Y = 0.5."""
    luma, ab = torch.full((1, 1, 1, 1), 0.5), torch.tensor([20.0, 30.0]).reshape(1, 2, 1, 1)
    u, v = rgb_to_yuv(lab_to_rgb(torch.tensor([53.389, 20.0, 30.0]).reshape(1, 3, 1, 1)))[0, 1:].flatten().tolist()
    by_hand = [0.5 + 1.14 * v, 0.5 - 0.396 * u - 0.581 * v, 0.5 + 2.029 * u]  # PAL's matrix, to three decimals
    assert small().join(luma, ab).flatten().tolist() == pytest.approx(by_hand, abs=1e-3)


@pytest.mark.parametrize("name", COLOR_SPACES)
def test_the_result_has_the_luma_of_the_input(name):
    image = photo()
    module = settled(color_space=name)
    with torch.no_grad():
        result = module.colorize(image)
    inside = ((result > 0) & (result < 1)).all(dim=1)
    assert inside.float().mean() > 0.9
    assert (rgb_to_yuv(result) - rgb_to_yuv(image))[:, 0][inside].abs().max() < 1e-3


def test_keep_lightness_keeps_luma_where_clipping_loses_it():
    luma = torch.linspace(0, 1, 21).reshape(1, 1, 1, 21)
    ab = torch.tensor([70.0, 60.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 21)
    module = small()
    clipped, kept = module.join(luma, ab), module.join(luma, ab, keep_lightness=True)
    assert (rgb_to_yuv(clipped)[:, :1] - luma).abs().max() > 0.05
    assert (rgb_to_yuv(kept)[:, :1] - luma).abs().max() < 1e-3
    assert rgb_to_yuv(kept)[:, 1:, :, 10].norm() > 0.1  # and still red


@pytest.mark.parametrize(("height", "width", "side"), [(33, 50, None), (20, 71, 16), (64, 9, 32)])
def test_colorize_keeps_odd_sizes(height, width, side):
    image = F.interpolate(photo(1), (height, width), mode="bilinear")
    with torch.no_grad():
        assert settled().colorize(image, side).shape == image.shape


# Loss


def test_loss_is_equation_6_by_hand():
    module, batch = small(alpha=0.25), labelled()
    output, logits = module.train()(rgb_to_yuv(batch["image"])[:, :1])
    ab = rgb_to_lab(batch["image"])[:, 1:]
    mse = cross_entropy = 0.0
    for b in range(4):
        for y in range(16):
            for x in range(16):
                mean = ((ab[b, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2] / 100 + 1) / 2).mean((1, 2))
                mse += (output[b, :, y, x] - mean).square().sum().item() / (4 * 2 * 16 * 16)
        label = batch["label"][b]
        cross_entropy -= (logits[b, label] - logits[b].exp().sum().log()).item() / 4
    seen, _ = gradients(module, batch)
    assert seen["terms"]["mse"].item() == pytest.approx(mse, rel=1e-4)
    assert seen["terms"]["cross_entropy"].item() == pytest.approx(cross_entropy, rel=1e-5)
    assert seen["loss"].item() == pytest.approx(mse + 0.25 * cross_entropy, rel=1e-4)


def test_at_the_start_every_class_is_as_likely_and_both_terms_are_of_similar_size():
    module = small(width=8, classes=205)
    seen, _ = gradients(module, labelled(batch=6))
    assert seen["terms"]["cross_entropy"].item() == pytest.approx(math.log(205), abs=0.5)  # 5.32
    assert 0.1 < seen["terms"]["mse"].item() / (seen["terms"]["cross_entropy"].item() / 300) < 10


def test_classification_reaches_its_head_and_the_global_and_low_level_features_alone():
    _, found = gradients(small(), labelled(), of="cross_entropy")
    expected = {f"low.conv{n}" for n in range(1, 7)} | {f"global_.conv{n}" for n in range(1, 5)}
    assert parts(found) == expected | {"global_.fc1", "global_.fc2", "classifier.fc1", "classifier.fc2"}


def test_colour_reaches_everything_but_the_head():
    module = small()
    _, found = gradients(module, labelled(), of="mse")
    layers = {name.removeprefix("network.").rpartition(".")[0] for name, _ in module.named_parameters()}
    assert parts(found) == {name for name in layers if "classifier" not in name and "norm" not in name}


def test_alpha_0_needs_no_labels():
    module = small(alpha=0)
    seen, found = gradients(module, {"image": photo()})
    assert seen["loss"] == seen["terms"]["mse"] and set(seen["terms"]) == {"mse"}
    assert set(found) == {name for name, _ in module.named_parameters()}


def test_a_crop_of_another_size_is_resized_for_the_global_features():
    module, views = small(), []
    module.network.global_.register_forward_hook(lambda m, inputs, output: views.append(inputs[0].shape))
    seen, _ = gradients(module, labelled() | {"image": photo(4, side=48)})
    assert views == [(4, 32, 4, 4)]  # 32 / 8
    assert seen["loss"].isfinite()


@pytest.mark.parametrize("name", COLOR_SPACES)
def test_the_network_learns_in_every_colour_space(name):
    module, batch = small(color_space=name), labelled()
    before, _ = gradients(module, batch)
    del module.optimizers, module.update
    one_step_each(module, [batch] * 20)
    after, _ = gradients(module, batch)
    assert after["terms"]["mse"] < 0.9 * before["terms"]["mse"]
    assert after["terms"]["cross_entropy"] < 0.9 * before["terms"]["cross_entropy"]


def test_bf16_autocast_keeps_the_loss_within_five_percent_of_four_images():
    module, batch = small(), labelled()
    exact, _ = gradients(module, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = gradients(module, batch)
        chroma = module.eval().predict_chroma(module.lightness(batch["image"]))
    assert rough["loss"].dtype == chroma.dtype == torch.float32
    assert rough["loss"].item() == pytest.approx(exact["loss"].item(), rel=0.05)


def test_running_statistics_move_in_training_and_decide_in_evaluation():
    module, luma = small(), torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    norm = module.network.global_.norm5
    before = norm.running_mean.clone()
    module.train()(luma)
    after = norm.running_mean.clone()
    assert not torch.equal(before, after)
    with torch.no_grad():
        alone = module.eval()(luma[:1])[0]
        torch.testing.assert_close(alone, module(luma)[0][:1], atol=1e-6, rtol=0)  # images do not see each other
    assert torch.equal(norm.running_mean, after)


# Prediction


def test_the_style_of_another_photograph_changes_the_colours_but_no_local_feature():
    module, seen = settled(), {"low": [], "mid": []}
    luma, other = module.lightness(photo()), module.lightness(photo(1, side=56, seed=7))
    for name, outputs in seen.items():
        module.network.get_submodule(name).register_forward_hook(lambda m, i, o, kept=outputs: kept.append(o))
    with torch.no_grad():
        own, styled = module.predict_chroma(luma), module.predict_chroma(luma, style=other)
    assert own.shape == styled.shape == (2, 2, 16, 16)
    assert (own - styled).abs().max() > 1e-3
    assert torch.equal(seen["mid"][0], seen["mid"][1])
    assert torch.equal(seen["low"][0], seen["low"][1]) and seen["low"][2].shape[0] == 1  # the last is the style's


def test_a_photograph_in_its_own_style_is_as_without_one():
    module = settled()
    luma = module.lightness(photo(2, side=48))
    with torch.no_grad():
        torch.testing.assert_close(module.predict_chroma(luma, style=luma), module.predict_chroma(luma))


def test_classify_gives_the_probabilities_of_the_trained_head():
    module = settled()
    luma = module.lightness(photo())
    with torch.no_grad():
        shares = module.classify(luma)
        torch.testing.assert_close(shares, module(luma)[1].softmax(dim=1))
        assert module.classify(module.lightness(photo(3, side=40))).shape == (3, CLASSES)
    assert shares.sum(dim=1).tolist() == pytest.approx([1, 1])


def test_scores_tell_whether_the_label_is_first_or_among_five():
    module, batch = settled(), labelled()
    with torch.no_grad():
        ranks = module.classify(module.lightness(batch["image"])).argsort(dim=1, descending=True)
        batch["label"] = torch.stack([ranks[0, 0], ranks[1, 1], ranks[2, 4], ranks[3, 5]])
        scores = module.scores(batch)
    assert scores["accuracy"].tolist() == [1, 0, 0, 0]
    assert scores["top5"].tolist() == [1, 1, 1, 0]
    assert scores["psnr"].shape == (4,)


def test_scores_without_labels_or_without_a_head_are_those_of_every_colorization():
    batch = labelled()
    with torch.no_grad():
        unlabelled = settled().scores({"image": batch["image"]})
        headless = settled(alpha=0).scores(batch)
    assert set(unlabelled) == set(headless) == {"psnr", "psnr_grey"}


def test_without_global_features_there_is_no_style_and_without_a_head_no_class():
    luma = torch.rand(1, 1, 32, 32)
    baseline = settled(alpha=0, global_features=False)
    with pytest.raises(ValueError, match="no global features .*to take from a style"):
        baseline.predict_chroma(luma, style=luma)
    for module in (baseline, small(alpha=0)):
        with pytest.raises(ValueError, match=r"trained without a classifier \(model.alpha=0\)"):
            module.classify(luma)
    with torch.no_grad():
        assert baseline.predict_chroma(luma).shape == (1, 2, 16, 16)


# Training


def test_defaults_are_the_papers_values():
    cfg = LetThereBeColorConfig()
    assert (cfg.width, cfg.global_side, cfg.classes, cfg.alpha) == (64, 224, 205, 1 / 300)
    optimizer = small().configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adadelta)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["rho"], group["eps"], group["weight_decay"]) == (1.0, 0.9, 1e-6, 0)


def test_a_checkpoint_restores_the_module_and_the_mean_from_plain_contents(tmp_path):
    module = small(color_space="yuv")
    module.mean.fill_(0.46)
    one_step_each(module, [labelled()] * 2).save_checkpoint(tmp_path / "last.ckpt")
    restored = LetThereBeColor.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert restored.cfg == module.cfg and restored.iteration == 2
    assert restored.mean.item() == pytest.approx(0.46)
    with torch.no_grad():
        assert torch.equal(restored.eval().colorize(photo()), module.eval().colorize(photo()))


def test_luma_is_centred_by_the_mean_in_both_views():
    module = settled()
    luma = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = module(luma)
        module.mean.fill_(0.6)
        for a, b in zip(module(luma + 0.1), expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-4, rtol=0)


def test_a_run_starts_from_the_layers_of_another_that_fit(tmp_path):
    other, path = small(classes=9), tmp_path / "other.ckpt"
    other.mean.fill_(0.46)
    torch.save({"state_dict": other.state_dict()}, path)
    fresh = small(init_from=str(path))
    head = fresh.network.classifier.fc2.weight.clone()
    fresh.initialise([labelled()])
    for key in ("low.conv1.weight", "global_.fc3.bias", "fusion.weight", "classifier.fc1.weight"):
        assert torch.equal(fresh.network.state_dict()[key], other.network.state_dict()[key])
    assert torch.equal(fresh.network.classifier.fc2.weight, head)  # of another number of classes
    assert fresh.mean.item() == pytest.approx(0.46)


def test_a_start_from_another_width_or_from_layers_with_folded_norms_is_refused(tmp_path):
    torch.save({"state_dict": small(width=6).state_dict()}, tmp_path / "wide.ckpt")
    with pytest.raises(ValueError, match="no layer of .* compare model.width"):
        small(init_from=str(tmp_path / "wide.ckpt")).initialise([])
    folded = small(batch_norm=False)
    torch.save({"state_dict": folded.state_dict()}, tmp_path / "folded.ckpt")
    with pytest.raises(ValueError, match="folded.ckpt has no batch norm, .*; give model.batch_norm=false"):
        small(init_from=str(tmp_path / "folded.ckpt")).initialise([])
    fresh = small(batch_norm=False, init_from=str(tmp_path / "folded.ckpt"))
    fresh.initialise([])
    assert torch.equal(fresh.network.fusion.weight, folded.network.fusion.weight)


def test_data_that_do_not_fit_are_refused_before_training():
    module, batch = small(), labelled()
    module.check(batch)
    with pytest.raises(ValueError, match="Eq. 6 learns from labels, which this data set does not have; .*alpha=0"):
        module.check({"image": batch["image"]})
    with pytest.raises(ValueError, match="the data has at least 9 classes; model.classes is 6"):
        module.check(batch | {"label": torch.tensor([0, 8])})
    with pytest.raises(ValueError, match="data.crop must be a multiple of 8; got images of 36 x 36"):
        module.check(batch | {"image": photo(4, side=36)})
    with pytest.raises(ValueError, match="needs two images; give data.batch_size=2"):
        module.check({key: value[:1] for key, value in batch.items()})
    small(batch_norm=False).check({key: value[:1] for key, value in batch.items()})
    module.class_names = ["a place"] * 365
    with pytest.raises(ValueError, match="the data has at least 365 classes; model.classes is 6"):
        module.check(batch)
    small(alpha=0).check({"image": batch["image"]})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"width": 5}, "model.width must be even and at least 2, got 5"),
        ({"global_side": 200}, "model.global_side must be a multiple of 32, got 200"),
        ({"classes": 1}, "model.classes must be at least 2, got 1"),
        ({"alpha": -1.0}, "model.alpha must be 0 or more, got -1"),
        ({"global_features": False}, "model.global_features=false leaves nothing to classify by; give model.alpha=0"),
        ({"color_space": "hsv"}, "model.color_space must be one of lab, yuv, rgb; got 'hsv'"),
    ],
)
def test_impossible_settings_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        LetThereBeColorConfig(**overrides)
