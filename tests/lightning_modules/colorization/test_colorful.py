"""Zhang 2016. Layer table, parameter counts, key list and losses: the paper, the released PyTorch file's keys, and
arithmetic shown where it is used."""

import json

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn

from lightning_modules.color.ab_bins import ab_bins, annealed_mean, published_prior, rebalancing_weights, soft_encode
from lightning_modules.color.lab import lab_to_rgb, rgb_to_lab
from lightning_modules.colorization.colorful import Colorful, ColorfulConfig, ColorfulNet
from lightning_modules.tasks import grey

BLOCK_PARAMETERS = {  # of the PyTorch release, batch norm with weight and bias
    "model1": 37_696,
    "model2": 221_696,
    "model3": 1_475_840,
    "model4": 5_900_800,
    "model5": 7_080_448,
    "model6": 7_080_448,
    "model7": 7_080_448,
    "model8": 3_358_009,
    "model_out": 626,
}


def photo(batch=2, side=32, seed=0):
    """Smooth saturated colours, RGB in [0,1] (B,3,side,side)."""
    coarse = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)


def small(**overrides):
    """A network of 1/16 of the channels, on the data-dependent scale, with a schedule that moves in a test's time."""
    torch.manual_seed(0)
    module = Colorful(**{"width": 4, "lr": 2e-3, **overrides})
    module.initialise([{"image": photo(4)}])
    return module


def gradients(module, image):
    """The loss of one training step and the gradients before the optimiser moves: {name: tensor}."""
    seen = {}

    def keep(name, optimizer, loss, **terms):
        module.zero_grad()
        loss.backward()
        seen.update(loss=loss.detach(), terms=terms)

    module.optimizers, module.update = lambda: None, keep
    module.train().training_step({"image": image}, 0)
    return seen, {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


def fit(module, images, iterations):
    """Trains on the same batch over and over. -> the trainer."""
    loader = torch.utils.data.DataLoader([{"image": image} for image in images] * iterations, batch_size=len(images))
    trainer = pl.Trainer(
        **{"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False},
        **{"max_epochs": 1, "accelerator": "cpu"},
    )
    trainer.fit(module, loader)
    return trainer


# The network


@pytest.fixture(scope="module")
def paper_net():
    return ColorfulNet().to("meta")


def test_parameters_are_those_of_the_release_block_by_block(paper_net):
    counts = {name: sum(p.numel() for p in block.parameters()) for name, block in paper_net.named_children()}
    assert counts == BLOCK_PARAMETERS
    assert sum(counts.values()) == 32_236_011


def test_without_affine_norm_the_parameters_are_those_of_the_caffe_net():
    net = ColorfulNet(affine_norm=False)
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == 32_230_393  # 128.9 MB in fp32; paper: 129 MB
    assert len(net.state_dict()) == 82 - 14  # no weight and bias in seven batch norms


def test_state_has_the_82_keys_and_shapes_of_the_released_file(paper_net):
    expected = {}

    def conv(key, *shape, transposed=False):
        expected[f"{key}.weight"] = shape
        expected[f"{key}.bias"] = (shape[1 if transposed else 0],)

    channels = [1, 64, 128, 256, 512, 512, 512, 512]
    for block in range(1, 8):
        before, after = channels[block - 1], channels[block]
        count = 2 if block < 3 else 3
        for number in range(count):
            conv(f"model{block}.{2 * number}", after, before if number == 0 else after, 3, 3)
        for name in ("weight", "bias", "running_mean", "running_var"):
            expected[f"model{block}.{2 * count}.{name}"] = (after,)
        expected[f"model{block}.{2 * count}.num_batches_tracked"] = ()
    conv("model8.0", 512, 256, 4, 4, transposed=True)
    conv("model8.2", 256, 256, 3, 3)
    conv("model8.4", 256, 256, 3, 3)
    conv("model8.6", 313, 256, 1, 1)
    expected["model_out.weight"] = (2, 313, 1, 1)
    assert {key: tuple(value.shape) for key, value in paper_net.state_dict().items()} == expected
    assert len(expected) == 82


@pytest.mark.parametrize(("side", "out"), [(176, 44), (224, 56), (256, 64)])
def test_output_is_a_quarter_of_the_input(paper_net, side, out):
    assert paper_net(torch.empty(1, 1, side, side, device="meta")).shape == (1, 313, out, out)


def test_block_outputs_at_224_have_the_sides_of_the_table(paper_net):
    x, sides = torch.empty(1, 1, 224, 224, device="meta"), []
    for number in range(1, 8):
        x = getattr(paper_net, f"model{number}")(x)
        sides.append(x.shape[-1])
    assert sides == [112, 56, 28, 28, 28, 28, 28]


def test_receptive_field_of_an_output_pixel_is_349_pixels():
    """By the support of the gradient in a net of positive weights, where nothing cancels and no ReLU closes."""
    net = ColorfulNet(width=1).double().eval()
    for layer in net.trained_layers():
        nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
        nn.init.zeros_(layer.bias)
    lightness = torch.full((1, 1, 16, 800), 100.0, dtype=torch.double, requires_grad=True)
    net(lightness)[0, 0, 2, 100].backward()
    support = lightness.grad[0, 0].abs().sum(0).nonzero().flatten()
    assert len(support) == 349 == support[-1] - support[0] + 1


def test_width_scales_every_layer_but_the_head():
    net = ColorfulNet(width=16)
    assert net.model7[4].weight.shape == (128, 128, 3, 3)
    assert net.model8[6].weight.shape == (313, 64, 1, 1)


def test_input_is_centred_at_50_and_divided_by_100():
    net, seen = ColorfulNet(width=1).eval(), []
    net.model1.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    net(torch.tensor([0.0, 50.0, 100.0, 75.0]).repeat(1, 1, 8, 2))
    assert seen[0][0, 0, 0, :4].tolist() == [-0.5, 0, 0.5, 0.25]


def test_the_last_layer_holds_the_bins_in_units_of_110_and_is_not_trained():
    module = Colorful(width=1)
    assert not module.network.model_out.weight.requires_grad
    torch.testing.assert_close(module.network.model_out.weight[:, :, 0, 0] * 110, ab_bins().T)
    optimised = {id(p) for group in module.configure_optimizers().param_groups for p in group["params"]}
    assert id(module.network.model_out.weight) not in optimised
    assert len(optimised) == len(list(module.parameters())) - 1


# Decoding


def test_decoding_by_the_released_last_layer_gives_the_same_colours():
    module = small().eval()
    lightness = rgb_to_lab(photo())[:, :1]
    logits = module(lightness)
    by_release = module.network.model_out(torch.softmax(logits / 0.38, dim=1)) * 110
    torch.testing.assert_close(module.predict_chroma(lightness), by_release, atol=1e-3, rtol=0)


def test_predicted_ab_is_the_annealed_mean_at_a_quarter_of_the_size():
    module = small(temperature=0.77).eval()
    lightness = rgb_to_lab(photo())[:, :1]
    ab = module.predict_chroma(lightness)
    assert ab.shape == (2, 2, 8, 8)
    torch.testing.assert_close(ab, annealed_mean(module(lightness), 0.77))


@pytest.mark.parametrize(("height", "width", "side"), [(33, 50, None), (20, 71, 16), (64, 9, 32)])
def test_colorize_keeps_size_and_lightness_at_odd_sizes(height, width, side):
    image = nn.functional.interpolate(photo(1), (height, width), mode="bilinear")
    module = small().eval()
    with torch.no_grad():
        module.network.model8[6].bias.add_(30 * (ab_bins().norm(dim=1) < 15))  # muted colours, which sRGB can hold
        result = module.colorize(image, side)
    assert result.shape == image.shape
    difference = (rgb_to_lab(result)[:, 0] - rgb_to_lab(image)[:, 0]).abs()
    inside = ((result > 0) & (result < 1)).all(dim=1)
    assert inside.float().mean() > 0.9
    assert difference[inside].max() < 100 / 255


# Losses


def test_loss_is_the_equation_by_hand():
    """Eq. 2 with Eq. 3 for one position: -v * sum_q Z_q log Zhat_q, summed over positions, mean over images."""
    module = small()
    image = photo()
    lab = rgb_to_lab(image)
    ab = lab[:, 1:, ::4, ::4]
    index, weight = soft_encode(ab, 5)
    log_p = module.train()(lab[:, :1]).log_softmax(dim=1)
    w = rebalancing_weights(published_prior(), 0.5)
    expected, bare = 0.0, 0.0
    for b in range(2):
        for y in range(8):
            for x in range(8):
                nearest = (ab[b, :, y, x] - ab_bins()).square().sum(1).argmin()
                term = -(weight[b, :, y, x] * log_p[b, index[b, :, y, x], y, x]).sum()
                expected, bare = expected + w[nearest] * term / 2, bare + term / 2
    seen, _ = gradients(module, image)
    assert seen["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert seen["terms"]["cross_entropy"].item() == pytest.approx(bare.item(), rel=1e-5)


def test_caffe_form_is_the_cross_entropy_less_the_entropy_of_the_targets():
    """Zero for a network that gives exactly the soft targets; 0 log 0 = 0 where a target is one-hot."""
    module = small()
    seen, _ = gradients(module, photo())
    _, weight = soft_encode(rgb_to_lab(photo())[:, 1:, ::4, ::4], 5)
    entropy = -(weight * weight.log()).sum() / 2
    assert (seen["terms"]["cross_entropy"] - seen["terms"]["caffe_kl"]).item() == pytest.approx(
        entropy.item(), rel=1e-5
    )
    one_hot, _ = gradients(small(neighbours=1), photo())
    assert one_hot["terms"]["caffe_kl"].item() == pytest.approx(one_hot["terms"]["cross_entropy"].item())


def test_targets_are_every_fourth_pixel_not_a_mean_of_four():
    image = photo()
    module = small()
    before, _ = gradients(module, image)
    lab = rgb_to_lab(image)
    kept = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    kept[:, :, ::4, ::4] = True
    lab[:, 1:] = torch.where(kept, lab[:, 1:], 0.3 * lab[:, 1:])
    after, _ = gradients(module, lab_to_rgb(lab))
    assert after["loss"].item() == pytest.approx(before["loss"].item(), rel=1e-3)


def test_grey_images_give_no_gradient_and_do_not_change_that_of_others():
    module = small().eval()
    module.train = lambda: module  # running statistics: images do not see each other
    _, alone = gradients(module, grey(photo()))
    assert max(g.abs().max() for g in alone.values()) == 0
    colour, grey_one = photo(1), grey(photo(1, seed=5))
    _, one = gradients(module, colour)
    _, both = gradients(module, torch.cat([colour, grey_one]))
    for name, gradient in one.items():
        torch.testing.assert_close(both[name], gradient / 2, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())


def test_rebalancing_multiplies_the_gradient_of_a_position_by_its_weight():
    """A picture of one colour: the gradient with rebalancing is v = w[its bin] times that without."""
    lab = torch.stack(
        [torch.linspace(30, 70, 32).repeat(32, 1), torch.full((32, 32), 20.0), torch.full((32, 32), 30.0)]
    )
    image = lab_to_rgb(lab[None])
    _, plain = gradients(small(rebalance_lambda=1.0), image)
    _, rebalanced = gradients(small(), image)
    bin_ = (ab_bins() == torch.tensor([20.0, 30.0])).all(1).nonzero().item()
    v = rebalancing_weights(published_prior(), 0.5)[bin_].item()
    assert v > 1.1
    for name, gradient in plain.items():
        torch.testing.assert_close(rebalanced[name], v * gradient, rtol=1e-3, atol=1e-4 * gradient.abs().max().item())


def test_lambda_1_leaves_every_weight_at_1():
    assert small(rebalance_lambda=1.0).bin_weights.numpy() == pytest.approx(1.0)


def test_l2_variant_has_two_outputs_and_the_summed_squared_error():
    module = small(loss="l2")
    assert module.network.model8[6].weight.shape == (2, 16, 1, 1)
    assert not hasattr(module.network, "model_out")
    image = photo()
    lab = rgb_to_lab(image)
    pred = module.train()(lab[:, :1])
    expected = 0.5 * (pred - lab[:, 1:, ::4, ::4]).square().sum() / 2  # Eq. 1, mean over the two images
    seen, _ = gradients(module, image)
    assert seen["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert module.eval().predict_chroma(lab[:, :1]).shape == (2, 2, 8, 8)


def test_every_trained_parameter_gets_a_gradient():
    for loss in ("class", "l2"):
        module = small(loss=loss)
        _, found = gradients(module, photo())
        assert set(found) == {name for name, p in module.named_parameters() if p.requires_grad}


def test_bf16_autocast_keeps_the_loss_within_a_percent():
    module, image = small(), photo()
    exact, _ = gradients(module, image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = gradients(module, image)
        ab = module.eval().predict_chroma(rgb_to_lab(image)[:, :1])
    assert rough["loss"].dtype == ab.dtype == torch.float32
    assert rough["loss"].item() == pytest.approx(exact["loss"].item(), rel=0.01)
    with torch.no_grad():
        torch.testing.assert_close(ab, module.predict_chroma(rgb_to_lab(image)[:, :1]), atol=5.0, rtol=0)


# Initial weights


def test_gaussian_weights_leave_the_logits_without_signal_and_data_dependent_ones_do_not():
    spread = {}
    for init in ("normal", "data_dependent"):
        module = small(init=init).train()
        logits = module(rgb_to_lab(photo(4))[:, :1])
        spread[init] = logits.std(dim=(0, 2, 3)).mean().item()  # over images and positions
    assert spread["normal"] < 1e-4
    assert spread["data_dependent"] == pytest.approx(1, abs=0.01)


def test_every_layer_starts_with_unit_variance_on_the_initial_batches():
    module, outputs = small(), []
    for layer in module.network.trained_layers():
        layer.register_forward_hook(lambda m, i, o: outputs.append(o.detach().clone()))
    module.train()(rgb_to_lab(photo(4))[:, :1])
    assert len(outputs) == 23
    for output in outputs:
        assert output.mean().item() == pytest.approx(0, abs=1e-3)
        assert output.var(correction=0).item() == pytest.approx(1, abs=0.02)


def test_he_weights_have_variance_2_over_fan_in():
    net = Colorful(width=16, init="he").network
    assert net.model5[0].weight.var().item() == pytest.approx(2 / (128 * 9), rel=0.05)
    assert net.model8[0].weight.var().item() == pytest.approx(2 / (128 * 4), rel=0.05)  # 4x4 taps, one in four is hit
    assert net.model5[0].bias.abs().max() == 0


def test_prior_file_sets_the_weights_whether_npy_or_json(tmp_path):
    frequencies = np.arange(1.0, 314.0)
    expected = rebalancing_weights(torch.tensor(frequencies / frequencies.sum()).float(), 0.5)
    np.save(tmp_path / "prior.npy", frequencies)
    (tmp_path / "prior.json").write_text(json.dumps(frequencies.tolist()))
    for name in ("prior.npy", "prior.json"):
        torch.testing.assert_close(small(prior=str(tmp_path / name)).bin_weights, expected)


def test_a_missing_or_misshapen_prior_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no file at .*gone.npy; `chromafill data priors` writes one"):
        small(prior=str(tmp_path / "gone.npy"))
    for values in (np.ones(529), -np.ones(313), np.zeros(313), np.full(313, np.nan)):
        np.save(tmp_path / "bad.npy", values)
        with pytest.raises(ValueError, match="must hold 313 frequencies"):
            small(prior=str(tmp_path / "bad.npy"))
    (tmp_path / "about.json").write_text('{"data": "Photos"}')  # what `chromafill data priors` writes beside the .npy
    with pytest.raises(ValueError, match="must hold 313 frequencies"):
        small(prior=str(tmp_path / "about.json"))


def test_init_from_takes_over_all_layers_but_the_head_for_l2_fine_tuning(tmp_path):
    source = small(init="he")
    path = tmp_path / "full.ckpt"
    fit(source, photo(), 1).save_checkpoint(path)
    tuned = small(loss="l2", init_from=str(path))
    mine, theirs = tuned.network.state_dict(), source.network.state_dict()
    for key in mine:
        if not key.startswith("model8.6") and "running" not in key and "num_batches" not in key:
            assert torch.equal(mine[key], theirs[key]), key
    assert mine["model8.6.weight"].shape == (2, 16, 1, 1)
    output = tuned.train()(rgb_to_lab(photo(4))[:, :1])
    assert output.var(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1, 1], abs=0.01)


def test_init_from_reads_a_plain_state_dict_of_the_released_keys(tmp_path):
    released = ColorfulNet(width=4)
    torch.save(released.state_dict(), tmp_path / "release.pth")
    module = small(init_from=str(tmp_path / "release.pth"), init="he")
    for key, value in module.network.state_dict().items():
        assert torch.equal(value, released.state_dict()[key]), key


def test_init_from_refuses_a_missing_file_and_one_without_a_fitting_layer(tmp_path):
    with pytest.raises(ValueError, match="no file at .*gone.ckpt"):
        small(init_from=str(tmp_path / "gone.ckpt"))
    torch.save({"encoder.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="no layer of .*other.pth has the name and shape"):
        small(init_from=str(tmp_path / "other.pth"))


# Training


def test_defaults_are_the_papers_values():
    cfg = ColorfulConfig()
    assert (cfg.neighbours, cfg.rebalance_lambda, cfg.temperature) == (5, 0.5, 0.38)
    optimizer = Colorful(width=1).configure_optimizers()
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, torch.optim.Adam)
    assert (group["lr"], group["betas"], group["weight_decay"]) == (3e-5, (0.9, 0.99), 1e-3)


def test_weight_decay_is_added_to_the_gradient_as_in_caffe():
    """First step of Adam: lr * g / |g|, so a weight whose only gradient is the decay moves by lr towards zero."""
    module = small(weight_decay=1e-3, lr=1e-4)
    before = module.network.model5[2].weight.detach().clone()
    fit(module, grey(photo()), 1)
    moved = before - module.network.model5[2].weight.detach()
    large = before.abs() > 1e-2
    torch.testing.assert_close(moved[large], 1e-4 * before[large].sign(), rtol=0.02, atol=0)


def test_schedules_step_where_paper_and_solver_say():
    paper, solver = Colorful(width=1), Colorful(width=1, schedule="solver")
    lr = [3e-5 * paper.lr_factor(n) for n in (1, 200_000, 200_001, 375_000, 375_001, 450_000)]
    assert lr == pytest.approx([3e-5, 3e-5, 1e-5, 1e-5, 3e-6, 3e-6])
    lr = [3e-5 * solver.lr_factor(n) for n in (225_000, 225_001, 450_000, 450_001, 500_000)]
    assert lr == pytest.approx([3e-5, 3e-6, 3e-6, 3e-7, 3e-7])


@pytest.mark.parametrize("loss", ["class", "l2"])
def test_a_few_steps_lower_the_loss(loss):
    module = small(loss=loss)
    image = photo(4)
    before, _ = gradients(module, image)
    del module.optimizers, module.update
    fit(module, image, 12)
    after, _ = gradients(module, image)
    assert after["loss"] < 0.9 * before["loss"]


def test_a_checkpoint_restores_the_module_from_plain_contents(tmp_path):
    module = small(temperature=0.5)
    path = tmp_path / "last.ckpt"
    fit(module, photo(), 2).save_checkpoint(path)
    assert torch.load(path, weights_only=True)["iteration"] == 2
    restored = Colorful.load_from_checkpoint(path, weights_only=True)
    assert restored.cfg == module.cfg and restored.iteration == 2
    with torch.no_grad():
        assert torch.equal(restored.eval().colorize(photo()), module.eval().colorize(photo()))


def test_a_checkpoint_opens_without_the_prior_and_init_files_it_was_trained_with(tmp_path):
    np.save(tmp_path / "prior.npy", np.arange(1.0, 314.0))
    module = small(prior=str(tmp_path / "prior.npy"))
    fit(module, photo(), 1).save_checkpoint(tmp_path / "last.ckpt")
    (tmp_path / "prior.npy").unlink()
    restored = Colorful.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert torch.equal(restored.bin_weights, module.bin_weights)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"loss": "huber"}, "model.loss must be one of class, l2; got 'huber'"),
        ({"schedule": "cosine"}, "model.schedule must be one of paper, solver"),
        ({"init": "kmeans"}, "model.init must be one of data_dependent, he, normal"),
        ({"width": 0}, "model.width must be at least 1, got 0"),
        ({"neighbours": 0}, "model.neighbours must be between 1 and 32, got 0"),
        ({"rebalance_lambda": 1.5}, r"model.rebalance_lambda must lie in \[0, 1\]"),
        ({"temperature": -0.1}, r"model.temperature must be 0 \(mode\) or more"),
    ],
)
def test_impossible_settings_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        ColorfulConfig(**overrides)
