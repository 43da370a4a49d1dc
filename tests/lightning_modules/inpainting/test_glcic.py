"""Iizuka 2017. The layers are those of the released network, parameter counts follow from them by arithmetic; receptive
fields are measured. The paper prints 307 x 307 and 99 x 99 for the latter; its table gives 303 and 95."""

import pytest
import torch
from torch import nn
from toys import one_step_each

from datamodules.randomness import Draws
from lightning_modules.inpainting import glcic
from lightning_modules.inpainting.glcic import (
    GLCIC,
    PLACES_MEAN,
    CompletionNet,
    ContextDiscriminator,
    GLCICConfig,
)

NETWORKS = ("generator", "discriminator")
CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d


def photo(side=32, batch=4, seed=0):
    """Smooth colours, RGB in [0,1] (B,3,side,side)."""
    coarse = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)


def square(side=32, first=10, end=20, batch=4):
    """A mask (B,1,side,side) with a square hole, lower by a pixel in each next sample."""
    mask = torch.zeros(batch, 1, side, side)
    for row, plane in enumerate(mask):
        plane[:, first + row : end + row, first:end] = 1
    return mask


def small(**overrides):
    torch.manual_seed(0)
    return GLCIC(**{"width": 4, "side": 32, "local_side": 16, "t_c": 2, "t_d": 2, "alpha": 0.1, **overrides})


def batches(count=1, side=32, seed=0):
    index = torch.arange(4)
    return [
        {"image": photo(side, seed=epoch), "mask": square(side), "draws": Draws(seed, epoch, index, "model")}
        for epoch in range(count)
    ]


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def snapshot(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before, network):
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


# Networks


def test_completion_network_has_the_17_layers_of_the_table():
    with torch.device("meta"):
        layers = CompletionNet().layers
    down, up = "Conv2d", "ConvTranspose2d"
    table = {  # kind, kernel, dilation, stride, padding, in, out
        0: (down, 5, 1, 1, 2, 4, 64),
        3: (down, 3, 1, 2, 1, 64, 128),
        6: (down, 3, 1, 1, 1, 128, 128),
        9: (down, 3, 1, 2, 1, 128, 256),
        12: (down, 3, 1, 1, 1, 256, 256),
        15: (down, 3, 1, 1, 1, 256, 256),
        18: (down, 3, 2, 1, 2, 256, 256),
        21: (down, 3, 4, 1, 4, 256, 256),
        24: (down, 3, 8, 1, 8, 256, 256),
        27: (down, 3, 16, 1, 16, 256, 256),
        30: (down, 3, 1, 1, 1, 256, 256),
        33: (down, 3, 1, 1, 1, 256, 256),
        36: (up, 4, 1, 2, 1, 256, 128),
        39: (down, 3, 1, 1, 1, 128, 128),
        42: (up, 4, 1, 2, 1, 128, 64),
        45: (down, 3, 1, 1, 1, 64, 32),
        48: (down, 3, 1, 1, 1, 32, 3),
    }
    assert table == {
        n: (type(m).__name__, m.kernel_size[0], m.dilation[0], m.stride[0], m.padding[0], m.in_channels, m.out_channels)
        for n, m in enumerate(layers)
        if isinstance(m, CONVOLUTIONS)
    }
    kinds = [type(m).__name__ for m in layers]
    assert len(kinds) == 50 and kinds[49] == "Sigmoid"
    assert all(kinds[n + 1 : n + 3] == ["BatchNorm2d", "ReLU"] for n in range(0, 48, 3))
    assert all(m.bias is not None for m in layers if isinstance(m, CONVOLUTIONS))


def test_keys_have_the_numbers_of_the_released_files():
    # Shapes of the weights in the file that ganonymizer converted from the release.
    released = {
        "0.weight": (64, 4, 5, 5),
        "1.running_mean": (64,),
        "3.weight": (128, 64, 3, 3),
        "36.weight": (256, 128, 4, 4),
        "42.weight": (128, 64, 4, 4),
        "45.weight": (32, 64, 3, 3),
        "48.weight": (3, 32, 3, 3),
        "48.bias": (3,),
    }
    with torch.device("meta"):
        state = GLCIC().state_dict()
    assert {key: tuple(state[f"generator.layers.{key}"].shape) for key in released} == released
    heads = {key.split(".")[0] if key == "mean" else ".".join(key.split(".")[:2]) for key in state}
    assert heads == {
        "mean",
        "generator.layers",
        "discriminator.local_branch",
        "discriminator.global_branch",
        "discriminator.fuse",
    }


@pytest.mark.parametrize(
    ("side", "local_side", "local", "whole"),
    [(256, 128, 19_253_248, 25_808_384), (160, 96, 15_583_232, 23_971_840)],
    ids=["Places2", "faces"],
)
def test_parameters_are_those_of_the_paper(side, local_side, local, whole):
    with torch.device("meta"):
        module = GLCIC(side=side, local_side=local_side)
    assert parameters(module.generator) == 6_072_131
    convs = sum(parameters(m) for m in module.generator.layers if isinstance(m, CONVOLUTIONS))
    assert convs == 6_066_179
    d = module.discriminator
    assert [parameters(part) for part in (d.local_branch, d.global_branch, d.fuse)] == [local, whole, 2_049]
    assert parameters(d) == {256: 45_063_681, 160: 39_557_121}[side]


@pytest.mark.parametrize(
    ("side", "channels", "last"),
    [
        (256, [64, 128, 256, 512, 512, 512], 4),
        (128, [64, 128, 256, 512, 512], 4),
        (160, [64, 128, 256, 512, 512], 5),
        (96, [64, 128, 256, 512, 512], 3),
        (64, [64, 128, 256, 512], 4),
        (32, [64, 128, 256], 4),
    ],
)
def test_a_branch_halves_its_input_down_to_5_or_less(side, channels, last):
    with torch.device("meta"):
        branch = glcic.branch(side, 64)
        assert branch[:-3](torch.empty(1, 3, side, side)).shape == (1, channels[-1], last, last)
        assert branch(torch.empty(2, 3, side, side)).shape == (2, 1024)
    convs = [m for m in branch if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convs] == channels
    assert {(m.kernel_size, m.stride, m.padding) for m in convs} == {((5, 5), (2, 2), (2, 2))}
    assert [type(m).__name__ for m in branch] == ["Conv2d", "BatchNorm2d", "ReLU"] * len(channels) + [
        "Flatten",
        "Linear",
        "ReLU",
    ]


def test_the_code_of_the_local_window_comes_first():
    network = ContextDiscriminator(32, 16, width=2)
    image, window = photo(32), photo(16, seed=1)
    codes = torch.cat([network.local_branch(window), network.global_branch(image)], dim=1)
    assert codes.shape == (4, 64) and torch.equal(network(image, window), network.fuse(codes))


@pytest.mark.parametrize(("which", "inputs"), [("both", 2048), ("local", 1024), ("global", 1024)])
def test_a_discriminator_of_one_branch_looks_at_that_alone(which, inputs):
    with torch.device("meta"):
        assert ContextDiscriminator(which=which).fuse.in_features == inputs
    network = ContextDiscriminator(32, 16, 2, which)
    seen = {"global": photo(32).requires_grad_(), "local": photo(16).requires_grad_()}
    logit = network(seen["global"], seen["local"])
    assert logit.shape == (4, 1)
    logit.square().sum().backward()
    looked = {name for name, image in seen.items() if image.grad is not None and image.grad.abs().max() > 0}
    assert looked == ({"global", "local"} if which == "both" else {which})


@pytest.mark.parametrize(("dilation", "widest"), [(True, 303), (False, 95)])
def test_receptive_field_is_what_the_table_gives(dilation, widest):
    network = CompletionNet(width=2, dilation=dilation).double().eval()
    for layer in network.layers:
        if isinstance(layer, CONVOLUTIONS):  # no path is blocked, and none outweighs the others
            nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
            nn.init.constant_(layer.bias, 0.1)
    shown = torch.full((1, 3, 336, 8), 0.5, dtype=torch.float64, requires_grad=True)  # a strip will do for rows
    pred = network(shown, torch.zeros(1, 1, 336, 8, dtype=torch.float64))
    extents = []
    for row in range(168, 172):
        (gradient,) = torch.autograd.grad(pred[0, 0, row, 4], shown, retain_graph=True)
        rows = gradient[0].abs().amax((0, 2)).nonzero().flatten()
        extents.append((rows[-1] - rows[0] + 1).item())
    assert max(extents) == widest and min(extents) == widest - 4


def test_without_dilation_no_layer_is_dilated_and_all_else_is_the_same():
    with torch.device("meta"):
        plain, dilated = CompletionNet(dilation=False), CompletionNet()
    assert {m.dilation for m in plain.layers if isinstance(m, CONVOLUTIONS)} == {(1, 1)}
    assert {k: v.shape for k, v in plain.state_dict().items()} == {k: v.shape for k, v in dilated.state_dict().items()}


def test_the_ports_order_is_relu_then_norm():
    with torch.device("meta"):
        layers = CompletionNet(norm_first=False).layers
    kinds = [type(m).__name__ for m in layers]
    assert all(kinds[n + 1 : n + 3] == ["ReLU", "BatchNorm2d"] for n in range(0, 48, 3)) and len(kinds) == 50
    CompletionNet(width=4, norm_first=False)(photo(), square()).sum().backward()  # nothing needed is overwritten


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 44), (4, 4)])
def test_the_output_has_the_inputs_size_and_lies_between_0_and_1(height, width):
    network = CompletionNet(width=4)
    pred = network(torch.rand(2, 3, height, width) - 0.5, torch.zeros(2, 1, height, width))
    assert pred.shape == (2, 3, height, width) and pred.min() > 0 and pred.max() < 1


# What C sees


def seen_by_c(module, image, mask):
    seen = []
    hook = module.generator.register_forward_pre_hook(lambda m, inputs: seen.append([x.clone() for x in inputs]))
    module.predict(image, mask)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize(("hole_value", "expected"), [("mean", [0.0, 0.0, 0.0]), ("zero", [-0.4560, -0.4472, -0.4155])])
def test_c_sees_the_image_less_the_mean_and_a_constant_hole(hole_value, expected):
    image, mask = photo(), square()
    shown, seen_mask = seen_by_c(small(hole_value=hole_value), image, mask)
    hole = mask.bool().expand_as(image)
    assert torch.equal(shown[hole], torch.tensor(expected)[None, :, None, None].expand_as(image)[hole])
    centred = image - torch.tensor([0.4560, 0.4472, 0.4155])[:, None, None]
    assert torch.equal(shown[~hole], centred[~hole]) and torch.equal(seen_mask, mask)


def test_the_mean_is_places_unless_it_is_given_or_measured():
    assert small().mean.tolist() == pytest.approx(PLACES_MEAN)
    assert small(mean=[0.1, 0.2, 0.3]).mean.tolist() == pytest.approx([0.1, 0.2, 0.3])
    given, measured = small(), small(mean=None)
    for module in (given, measured):
        module.initialise(batches(2))
    assert given.mean.tolist() == pytest.approx(PLACES_MEAN)
    both = torch.cat([batch["image"] for batch in batches(2)])
    assert torch.allclose(measured.mean, both.mean((0, 2, 3)))
    assert torch.equal(measured.state_dict()["mean"], measured.mean)


def test_a_run_starts_from_the_layers_of_another_that_fit(tmp_path):
    large, path = small(side=64, local_side=16, mean=[0.1, 0.2, 0.3]), tmp_path / "large.ckpt"
    torch.save({"state_dict": large.state_dict()}, path)
    fresh = small(init_from=str(path), mean=None)
    random = fresh.discriminator.global_branch[-2].weight.clone()
    fresh.initialise(batches())
    for ours, theirs in zip(fresh.generator.parameters(), large.generator.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(fresh.discriminator.local_branch[-2].weight, large.discriminator.local_branch[-2].weight)
    assert torch.equal(fresh.mean, large.mean)
    assert torch.equal(fresh.discriminator.global_branch[-2].weight, random)  # made for images of another size
    given = small(init_from=str(path), mean=[0.4, 0.5, 0.6])
    given.initialise(batches())
    assert given.mean.tolist() == pytest.approx([0.4, 0.5, 0.6])  # what the settings say holds


def test_a_start_from_another_width_is_refused(tmp_path):
    torch.save({"state_dict": small(width=6).state_dict()}, tmp_path / "wide.ckpt")
    with pytest.raises(ValueError, match="no layer of .* compare model.width"):
        small(init_from=str(tmp_path / "wide.ckpt")).initialise(batches())


# Losses


def seen_in_a_step(module, batch):
    """({name: (loss, terms)} of a step that moves nothing, [inputs of each pass through D], C's answer)."""
    seen, judged, answers = {}, [], []
    module.generator.register_forward_hook(lambda m, inputs, pred: answers.append(pred.detach()))
    if module.discriminator is not None:
        module.discriminator.register_forward_pre_hook(lambda m, x: judged.append([each.detach() for each in x]))
    update = module.update

    def keep(name, optimizer, loss, **terms):
        seen[name] = (loss.detach(), {term: value.detach() for term, value in terms.items()})
        update(name, optimizer, 0 * loss, **terms)

    module.update = keep
    one_step_each(module, [batch])
    assert len(answers) == 1  # one pass through C a step
    return seen, judged, answers[0]


def test_joint_losses_by_hand():
    module, (batch,) = small(t_c=0, t_d=0, alpha=0.25), batches()
    seen, (real, fake, again), pred = seen_in_a_step(module, batch)
    image, mask = batch["image"], batch["mask"]
    rec = sum((pred - image)[n, :, 10 + n : 20 + n, 10:20].square().sum().item() for n in range(4)) / (4 * 3 * 32 * 32)
    p_real, p_fake = (module.discriminator(*inputs).sigmoid() for inputs in (real, fake))
    assert seen["d"][0].item() == pytest.approx(-(p_real.log().mean() + (1 - p_fake).log().mean()).item(), rel=1e-4)
    loss, terms = seen["g"]
    assert terms["rec"].item() == pytest.approx(rec, rel=1e-4)
    assert terms["adv"].item() == pytest.approx(-p_fake.log().mean().item(), rel=1e-4)
    assert loss.item() == pytest.approx(3 * 32 * 32 * (rec - 0.25 * p_fake.log().mean().item()), rel=1e-4)
    assert all(torch.equal(*pair) for pair in zip(fake, again, strict=True))
    assert torch.equal(real[0], image) and torch.equal(fake[0], torch.where(mask.bool(), pred, image))


def test_the_first_phase_minimises_the_error_in_the_hole_alone():
    module, (batch,) = small(pixel_norm="l1"), batches()
    seen, judged, pred = seen_in_a_step(module, batch)
    hole = batch["mask"].bool().expand_as(pred)
    expected = (pred - batch["image"])[hole].abs().sum() / pred.numel()
    assert set(seen) == {"g"} and judged == []
    assert seen["g"][1]["rec"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert seen["g"][0].item() == pytest.approx(3 * 32 * 32 * expected.item(), rel=1e-5)
    assert seen["g"][1]["adv"] == 0


def test_raw_shows_d_what_c_painted_everywhere():
    module, (batch,) = small(t_c=0, t_d=0, d_input="raw"), batches()
    _, (_, fake, again), pred = seen_in_a_step(module, batch)
    assert torch.equal(fake[0], pred) and torch.equal(again[0], pred)


def test_the_window_of_a_completed_image_is_around_its_hole():
    module, (batch,) = small(t_c=0, t_d=0), batches()
    _, (_, (done, window), _), _ = seen_in_a_step(module, batch)
    # Holes are rows 10+n to 19+n and columns 10 to 19: their middles, less half of 16, are at 7+n and 7.
    assert torch.equal(window, torch.stack([done[n, :, 7 + n : 23 + n, 7:23] for n in range(4)]))


def test_windows_of_real_images_are_anywhere_or_the_same():
    places = []
    for seed, real_crop in enumerate(("random", "random", "same")):
        (batch,) = batches(seed=seed)
        places.append(real_windows(small(t_c=0, t_d=0, real_crop=real_crop), batch))
    assert places[2] == [(7, 7), (8, 7), (9, 7), (10, 7)]
    assert len({*places[0], *places[1]}) >= 6  # of 8 windows


def real_windows(module, batch):
    """Corners of the local windows of the real images that D sees in a step."""
    _, ((image, window), *_), _ = seen_in_a_step(module, batch)
    corners = (image.unfold(2, 16, 1).unfold(3, 16, 1) == window[:, :, None, None]).all((1, 4, 5))  # (4,17,17)
    assert corners.any((1, 2)).all()
    return [divmod(plane.flatten().int().argmax().item(), 17) for plane in corners]


def test_the_window_of_a_real_image_does_not_depend_on_its_batch():
    (batch,) = batches()
    shares = [{key: value[rows] for key, value in batch.items()} for rows in (slice(2), slice(2, None))]
    whole, first, second = (real_windows(small(t_c=0, t_d=0), each) for each in (batch, *shares))
    assert whole == first + second and len(set(whole)) > 1


# Who learns when


def watch(module, count):
    """For each of `count` iterations, the networks of which anything changed, and those whose optimiser did a step."""
    moved, step = [], module.training_step

    def watched(batch, batch_idx):
        before, counts = snapshot(module), [steps(opt) for opt in module.trainer.optimizers]
        step(batch, batch_idx)
        after = [steps(opt) for opt in module.trainer.optimizers]
        stepped = {name for name, *pair in zip(NETWORKS, counts, after, strict=False) if pair[0] != pair[1]}
        moved.append(({key.split(".")[0] for key in changed(before, module)}, stepped))

    module.training_step = watched
    one_step_each(module, batches(count))
    return moved


def steps(optimizer):
    """How many steps the optimiser has made."""
    return max((int(state["step"]) for state in optimizer.state.values()), default=0)


def test_c_learns_alone_then_d_then_both():
    g, d = {"generator"}, {"discriminator"}
    assert watch(small(t_c=2, t_d=2), 6) == [(g, g)] * 2 + [(d, d)] * 2 + [(g | d, g | d)] * 2


def test_batch_statistics_of_c_stand_still_while_d_learns_alone():
    module = small(t_c=1, t_d=2)
    tracked = []
    step = module.training_step

    def watched(batch, batch_idx):
        step(batch, batch_idx)
        norms = [m for m in module.generator.modules() if isinstance(m, nn.BatchNorm2d)]
        tracked.append({m.num_batches_tracked.item() for m in norms})

    module.training_step = watched
    one_step_each(module, batches(4))
    assert tracked == [{1}, {1}, {1}, {2}] and module.generator.training


@pytest.mark.parametrize("settings", [{"discriminators": "none"}, {"alpha": 0.0}])
def test_without_an_adversarial_loss_c_learns_all_the_time(settings):
    module = small(**settings)
    assert module.discriminator is None
    assert watch(module, 5) == [({"generator"}, {"generator"})] * 5
    assert "train/d/total" not in module.terms


def test_no_gradient_is_left_behind_and_each_network_gets_its_own():
    module, record = small(t_c=0, t_d=0), []
    update = module.update

    def watched(name, optimizer, loss, **terms):
        zero_grad = optimizer.zero_grad

        def look(*args, **kwargs):
            record.append((name, {n.split(".")[0] for n, p in module.named_parameters() if p.grad is not None}))
            zero_grad(*args, **kwargs)

        optimizer.zero_grad = look
        update(name, optimizer, loss, **terms)
        optimizer.zero_grad = zero_grad
        assert all(p.grad is None for p in module.parameters())

    module.update = watched
    one_step_each(module, batches(2))
    assert record == [("d", {"discriminator"}), ("g", {"generator"})] * 2
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("discriminators", ["both", "local", "global"])
def test_every_parameter_learns(discriminators):
    module = small(t_c=0, t_d=0, discriminators=discriminators)
    before = snapshot(module)
    one_step_each(module, batches(2))
    still = {name for name, _ in module.named_parameters()} - changed(before, module)
    assert [name for name in still if not name.endswith("bias")] == []  # a norm takes away the bias before it
    assert {"generator.layers.48.bias", "discriminator.fuse.bias"} <= changed(before, module)


def test_both_networks_learn_by_adadelta_with_its_usual_constants():
    optimizers = small().configure_optimizers()
    assert [type(opt).__name__ for opt in optimizers] == ["Adadelta", "Adadelta"]
    assert all((o.defaults["lr"], o.defaults["rho"], o.defaults["eps"]) == (1.0, 0.9, 1e-6) for o in optimizers)


def test_papers_values_are_the_defaults():
    cfg = GLCICConfig()
    assert (cfg.alpha, cfg.t_c, cfg.t_d, cfg.side, cfg.local_side) == (4e-4, 90_000, 10_000, 256, 128)
    assert (cfg.discriminators, cfg.dilation, cfg.hole_value, cfg.pixel_norm) == ("both", True, "mean", "l2")
    assert (cfg.d_input, cfg.real_crop, cfg.norm_first, cfg.postprocess) == ("composite", "random", True, False)


# Completing


def completed(module, image, mask):
    with torch.no_grad():
        return module.complete(image, mask)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 50), (6, 9), (1, 1), (3, 40)])
def test_any_size_and_any_hole_can_be_completed(height, width):
    module, generator = small().eval(), torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, height, width, generator=generator)
    mask = torch.ones(2, 1, height, width)
    mask[1] = (torch.rand(1, height, width, generator=generator) < 0.2).float()
    done = completed(module, image, mask)
    inside = (mask > 0).expand_as(image)
    assert torch.equal(done[~inside], image[~inside])
    assert done.min() >= 0 and done.max() <= 1
    assert torch.equal(done, completed(module, torch.where(mask > 0, 1 - image, image), mask))


def test_the_hole_is_what_c_paints_at_the_images_own_size():
    module, image, mask = small().eval(), photo(64), square(64, 5, 60)
    with torch.no_grad():
        pred = module.predict(image, mask)
    assert torch.equal(completed(module, image, mask), torch.where(mask.bool(), pred, image))


@pytest.mark.parametrize("dilation", [True, False])
def test_tiles_are_painted_as_in_the_whole_image_and_those_without_a_hole_are_left_out(monkeypatch, dilation):
    monkeypatch.setattr(glcic, "TILE", 64)
    module, seen = small(dilation=dilation).eval(), []
    image, mask = photo(4 * 160)[:1, :, :72], torch.zeros(1, 1, 72, 640)
    mask[..., 10:70, 180:200], mask[..., 30:40, 300:330] = 1, 1  # across the borders at 192, 320 and 64
    with torch.no_grad():
        whole = module.predict(image, mask)
    module.generator.register_forward_pre_hook(lambda m, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    done = completed(module, image, mask)
    torch.testing.assert_close(done, torch.where(mask.bool(), whole, image), rtol=0, atol=1e-5)
    assert set(seen) == {(72, 64 + 2 * 160), (72, 128 + 64 + 160)} and len(seen) == 6
    monkeypatch.setattr(glcic, "REACH", 0)  # now there are seams
    assert (completed(module, image, mask) - done).abs().max() > 1e-3


def test_sides_that_are_no_multiple_of_4_are_mirrored():
    module, image, mask = small().eval(), photo(32)[..., :30, :31], square()[..., :30, :31]
    wide = torch.cat([image, image[..., [29]]], dim=3)
    whole = torch.cat([wide, wide[..., [28, 27], :]], dim=2)
    whole_mask = square()
    done = completed(module, whole, whole_mask)
    assert torch.equal(completed(module, image, mask), done[..., :30, :31])


def test_postprocessing_blends_the_composite():
    image, mask = photo(64), square(64, 0, 40)
    plain, blended = (completed(small(postprocess=on).eval(), image, mask) for on in (False, True))
    outside = (mask == 0).expand_as(image)
    assert torch.equal(blended[outside], image[outside])
    assert torch.equal(blended, glcic.blend(plain, mask)) and not torch.equal(blended, plain)


def test_a_checkpoint_gives_the_same_answers(tmp_path):
    module = small(mean=None, t_c=1, t_d=0, norm_first=False, hole_value="zero")
    module.initialise(batches(2))
    trainer = one_step_each(module, batches(2))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = GLCIC.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert again.cfg == module.cfg and again.iteration == 2 and torch.equal(again.mean, module.mean)
    assert torch.equal(*(completed(net.eval(), photo(), square()) for net in (module, again)))


# Errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"discriminators": "two"}, "model.discriminators must be one of both, local, global, none; got 'two'"),
        ({"hole_value": "grey"}, "model.hole_value must be one of mean, zero; got 'grey'"),
        ({"d_input": "hole"}, "model.d_input must be one of composite, raw; got 'hole'"),
        ({"pixel_norm": "l3"}, "model.pixel_norm must be one of l2, l1; got 'l3'"),
        ({"real_crop": "none"}, "model.real_crop must be one of random, same; got 'none'"),
        ({"width": 5}, "model.width must be even, at least 2; got 5"),
        ({"side": 130}, "model.side must be a multiple of 4, and model.local_side from 8 up to it; got 130 and 128"),
        ({"side": 64}, "got 64 and 128"),
        ({"local_side": 4}, "got 256 and 4"),
        ({"mean": [0.5, 0.5]}, r"model.mean must be null or red, green and blue from 0 to 1; got \[0.5, 0.5\]"),
        ({"mean": [123.0, 117.0, 104.0]}, "from 0 to 1; got"),
        ({"alpha": -1.0}, "must not be negative; got -1.0, 90000, 10000"),
        ({"t_d": -1}, "must not be negative"),
        ({"lr": 0.0}, "model.lr must be above 0, got 0.0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GLCICConfig(**settings)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="model.side = 32 needs data.crop = 32; got images of 64 x 64"):
        one_step_each(small(), batches(1, side=64))


def test_holes_larger_than_the_local_window_are_refused_where_there_is_one():
    batch = {"image": photo(), "mask": square(end=27)}
    with pytest.raises(ValueError, match="model.local_side = 16 .* some of 17 pixels: use smaller ones"):
        one_step_each(small(), [batch])
    fits = {"image": photo(), "mask": square(end=26)}
    late = small()
    with pytest.raises(ValueError, match="some of 17 pixels: use smaller ones"):
        one_step_each(late, [fits, fits, batch])
    assert late.iteration == 3
    for module, each in ((small(), fits), (small(discriminators="global"), batch), (small(alpha=0.0), batch)):
        module.check(each)
    small().check({"image": photo(), "mask": torch.zeros(4, 1, 32, 32)})
