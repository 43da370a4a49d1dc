"""Pathak 2016, the two adversarial nets. Layers, parameter counts and constants are those of the authors' Torch release
(train.lua, train_random.lua); what arithmetic gives is shown where it is used."""

import pytest
import torch
from torch import nn
from toys import one_step_each

from lightning_modules.inpainting.context_encoder import (
    HOLE_COLOUR,
    ConditionalDiscriminator,
    ContextEncoder,
    ContextEncoderConfig,
    Discriminator,
    Generator,
    blank,
)
from lightning_modules.ops.push_pull import push_pull

CONVOLUTIONS = nn.Conv2d | nn.ConvTranspose2d


def photo(side=64, batch=4, seed=0):
    """Smooth colours, RGB in [0,1] (B,3,side,side)."""
    coarse = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)


def square(side=64, rim=None, batch=4):
    """A mask (B,1,side,side) whose hole leaves a rim of so many pixels; the middle half by default."""
    rim = side // 4 if rim is None else rim
    mask = torch.zeros(batch, 1, side, side)
    mask[..., rim : side - rim, rim : side - rim] = 1
    return mask


def small(**overrides):
    """A net of a sixteenth of the channels at 64 x 64."""
    torch.manual_seed(0)
    return ContextEncoder(**{"fine_size": 64, "width": 4, "bottleneck": 8, "overlap": 2, **overrides})


def batches(count=1, side=64, rim=None):
    return [{"image": photo(side, seed=number), "mask": square(side, rim)} for number in range(count)]


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def zeroed_biases(network):
    """Biases that the code's convolutions own and that it sets to zero before every step: one an output channel."""
    return sum(layer.out_channels for layer in network.modules() if isinstance(layer, CONVOLUTIONS))


def snapshot(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before, network):
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def layers(network):
    """(kind, kernel, stride, padding, in, out) of each convolution, in order."""
    return [
        (type(m).__name__, m.kernel_size[0], m.stride[0], m.padding[0], m.in_channels, m.out_channels)
        for m in network.modules()
        if isinstance(m, CONVOLUTIONS)
    ]


# Networks


@pytest.mark.parametrize(
    ("build", "without_biases", "with_biases"),
    [
        (lambda: Generator(), 71_124_544, 71_130_531),
        (lambda: Generator(bottleneck=100), 7_219_144, 7_221_231),
        (lambda: Generator(128, 128), 71_190_208, 71_196_259),
        (lambda: Generator(64, 64), 71_058_880, 71_064_803),
        (lambda: Discriminator(64), 2_765_568, 2_766_529),
        (lambda: Discriminator(128), 2_831_232, 2_832_257),
        (lambda: ConditionalDiscriminator(), 2_903_296, 2_904_385),
    ],
    ids=["centre", "bottleneck 100", "random 128", "random 64", "D 64", "D 128", "conditional D"],
)
def test_parameters_are_those_of_the_release(build, without_biases, with_biases):
    with torch.device("meta"):
        network = build()
    assert parameters(network) == without_biases
    assert parameters(network) + zeroed_biases(network) == with_biases


@pytest.mark.parametrize(
    ("settings", "generator", "discriminator"),
    [
        ({}, 71_124_544, 2_765_568),
        ({"conditional": True}, 71_124_544, 2_903_296),
        ({"net": "random_region"}, 71_190_208, 2_831_232),
        ({"net": "random_region", "fine_size": 64}, 71_058_880, 2_765_568),
    ],
    ids=["centre", "conditional", "random 128", "random 64"],
)
def test_the_module_builds_the_networks_of_its_net(settings, generator, discriminator):
    with torch.device("meta"):
        module = ContextEncoder(**settings)
    assert (parameters(module.generator), parameters(module.discriminator)) == (generator, discriminator)


def test_centre_generator_has_the_layers_of_the_release():
    with torch.device("meta"):
        generator = Generator()
    down, up = "Conv2d", "ConvTranspose2d"
    assert layers(generator) == [
        (down, 4, 2, 1, 3, 64),
        (down, 4, 2, 1, 64, 64),
        (down, 4, 2, 1, 64, 128),
        (down, 4, 2, 1, 128, 256),
        (down, 4, 2, 1, 256, 512),
        (down, 4, 1, 0, 512, 4000),
        (up, 4, 1, 0, 4000, 512),
        (up, 4, 2, 1, 512, 256),
        (up, 4, 2, 1, 256, 128),
        (up, 4, 2, 1, 128, 64),
        (up, 4, 2, 1, 64, 3),
    ]
    conv, act, norm = "Conv2d", "LeakyReLU", "BatchNorm2d"
    assert [type(m).__name__ for m in generator.encoder] == [conv, act] + [conv, norm, act] * 4 + [conv]
    assert [type(m).__name__ for m in generator.decoder] == [norm, act] + [up, norm, "ReLU"] * 4 + [up, "Tanh"]


def test_layers_have_the_numbers_that_the_docstring_gives_the_ports():
    # Convolutions of netG_streetview.pth and their shapes; its batch norms are main.3, 6, 9, ... 27.
    port = {0: (64, 3), 2: (64, 64), 5: (128, 64), 8: (256, 128), 11: (512, 256), 14: (4000, 512), 17: (4000, 512)}
    port |= {20: (512, 256), 23: (256, 128), 26: (128, 64), 29: (64, 3)}
    with torch.device("meta"):
        generator = Generator()
    main = [*generator.encoder, *generator.decoder]
    assert len(generator.encoder) == 15
    assert {n: tuple(m.weight.shape) for n, m in enumerate(main) if isinstance(m, CONVOLUTIONS)} == {
        number: (*shape, 4, 4) for number, shape in port.items()
    }
    assert [n for n, m in enumerate(main) if isinstance(m, nn.BatchNorm2d)] == list(range(3, 28, 3))


def test_random_region_nets_differ_from_the_centre_net_by_one_layer():
    with torch.device("meta"):
        centre, large, small_ = layers(Generator()), layers(Generator(128, 128)), layers(Generator(64, 64))
        d_64, d_128 = layers(Discriminator(64)), layers(Discriminator(128))
    assert large == centre[:-1] + [("ConvTranspose2d", 4, 2, 1, 64, 64)] + centre[-1:]
    assert small_ == centre[:1] + centre[2:]
    assert d_128 == d_64[:1] + [("Conv2d", 4, 2, 1, 64, 64)] + d_64[1:]


def test_discriminator_has_the_layers_of_the_release_and_ends_in_a_logit():
    network = Discriminator(64, width=2)
    conv, norm, act = "Conv2d", "BatchNorm2d", "LeakyReLU"
    kinds = [type(m).__name__ for m in network.layers]
    assert kinds == [conv, act] + [conv, norm, act] * 3 + [conv, "Flatten"]  # no norm on the first, no sigmoid
    assert [row[4:] for row in layers(network)] == [(3, 2), (2, 4), (4, 8), (8, 16), (16, 1)]
    logit = network(photo(64) * 2 - 1, None)
    assert logit.shape == (4, 1) and ((logit.sigmoid() > 0) & (logit.sigmoid() < 1)).all()


def test_conditional_discriminator_joins_both_at_half_the_contexts_size():
    network = ConditionalDiscriminator(128, width=2)
    context, patch = photo(128, 2) * 2 - 1, photo(64, 2) * 2 - 1
    assert network.context(context).shape == network.patch(patch).shape == (2, 2, 64, 64)
    assert network.patch.padding == (34, 34)
    assert network(patch, context).shape == (2, 1)


def test_only_the_conditional_discriminator_sees_the_context():
    for network, seen in ((Discriminator(64, width=2), False), (ConditionalDiscriminator(128, width=2), True)):
        patch, context = photo(64, 2), photo(128, 2).requires_grad_()
        logit = network(patch, context).square().sum()
        (gradient,) = torch.autograd.grad(logit, context, allow_unused=True) if logit.requires_grad else (None,)
        assert (gradient is not None and bool(gradient.abs().max() > 0)) == seen


@pytest.mark.parametrize(("fine_size", "pred_size"), [(128, 64), (128, 128), (64, 64), (64, 32), (256, 128)])
def test_generator_shapes(fine_size, pred_size):
    generator = Generator(fine_size, pred_size, width=2, bottleneck=5)
    context = photo(fine_size, 2) * 2 - 1
    assert generator.encoder(context).shape == (2, 5, 1, 1)
    pred = generator(context)
    assert pred.shape == (2, 3, pred_size, pred_size) and pred.abs().max() < 1


def test_bottleneck_has_4000_channels():
    with torch.device("meta"):
        assert Generator().encoder(torch.empty(2, 3, 128, 128)).shape == (2, 4000, 1, 1)


def test_noise_joins_the_bottleneck():
    with torch.device("meta"):
        generator = Generator(bottleneck=4000, noise=100)
    assert generator.noise_branch.weight.shape == (100, 100, 1, 1)
    assert generator.decoder[0].num_features == generator.decoder[2].in_channels == 4100
    generator = Generator(64, 32, width=2, bottleneck=4, noise=6)
    context, noise = photo(64, 2), torch.randn(2, 6, 1, 1, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(generator(context, noise), generator(context, 0 * noise))


def test_norms_and_slopes_are_torchs():
    module = small()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.eps, layer.momentum) == (1e-5, 0.1)
        if isinstance(layer, nn.LeakyReLU):
            assert layer.negative_slope == 0.2


def test_weights_start_as_in_dcgan():
    torch.manual_seed(0)
    module = ContextEncoder(width=16, bottleneck=200)
    for layer in module.modules():
        if isinstance(layer, CONVOLUTIONS) and layer.weight.numel() > 5000:
            assert layer.weight.mean().item() == pytest.approx(0, abs=2e-3)
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.bias.abs().max() == 0
    scale = module.generator.decoder[0].weight
    assert scale.mean().item() == pytest.approx(1, abs=0.01) and scale.std().item() == pytest.approx(0.02, rel=0.2)


# What is blanked, and what is predicted


def test_hole_colour_is_imagenets_mean_in_the_codes_order():
    assert HOLE_COLOUR == pytest.approx((-0.082353, -0.184314, -0.035294), abs=1e-6)
    filled = blank(torch.zeros(1, 3, 2, 2), torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]]))
    assert filled[0, :, 0, 0].tolist() == pytest.approx(HOLE_COLOUR) and filled[0, :, 1].abs().max() == 0


@pytest.mark.parametrize(("overlap", "first", "side"), [(4, 36, 56), (7, 39, 50), (0, 32, 64)])
def test_the_centre_net_blanks_its_square_but_for_the_overlap(overlap, first, side):
    module = ContextEncoder(width=2, bottleneck=4, overlap=overlap)
    hole = module.blanked(square(128, batch=2))
    rows = hole[0, 0].any(1).nonzero().flatten()
    assert (rows[0].item(), rows[-1].item()) == (first, first + side - 1)
    assert hole[0].sum() == side**2 and torch.equal(hole, hole.transpose(2, 3))


def test_the_centre_net_predicts_rows_and_columns_32_to_95():
    module = ContextEncoder(width=2, bottleneck=4)
    plane = torch.arange(128.0).expand(1, 3, 128, 128)
    assert module.predicted(plane).shape == (1, 3, 64, 64)
    assert module.predicted(plane)[0, 0, 0].tolist() == list(range(32, 96))


def test_the_random_region_net_blanks_the_mask_and_predicts_everything():
    module = small(net="random_region")
    mask = square(64, rim=3)
    assert torch.equal(module.blanked(mask), mask)
    assert module.predicted(photo()).shape == (4, 3, 64, 64)


# Losses


def seen_in_a_step(module, batch):
    """{name: (loss, terms, pred)} of what the step hands to the optimisers, without moving them."""
    seen, answers = {}, []
    hook = module.generator.register_forward_hook(lambda m, i, pred: answers.append(pred.detach()))
    update = module.update

    def keep(name, optimizer, loss, **terms):
        seen[name] = (loss.detach(), {term: value.detach() for term, value in terms.items()})
        update(name, optimizer, 0 * loss, **terms)

    module.update = keep
    one_step_each(module, [batch])
    hook.remove()
    assert len(answers) == 1  # one pass through the generator a step
    return seen, answers[0]


def test_losses_of_the_centre_net_by_hand():
    module, (batch,) = small(overlap=2), batches()
    seen, pred = seen_in_a_step(module, batch)
    truth = batch["image"][..., 16:48, 16:48] * 2 - 1
    rec = 0.0
    for y in range(32):
        for x in range(32):
            weight = 1 if 2 <= y < 30 and 2 <= x < 30 else 10
            rec += weight * (pred[..., y, x] - truth[..., y, x]).square().sum().item()
    rec /= 4 * 3 * 32 * 32
    real, fake = (module.discriminator(patch, None).sigmoid() for patch in (truth, pred))
    loss, terms = seen["g"]
    assert terms["rec"].item() == pytest.approx(rec, rel=1e-4)
    assert terms["adv"].item() == pytest.approx(-fake.log().mean().item(), rel=1e-4)
    assert loss.item() == pytest.approx(0.999 * rec - 0.001 * fake.log().mean().item(), rel=1e-4)
    assert seen["d"][0].item() == pytest.approx(-(real.log().mean() + (1 - fake).log().mean()).item(), rel=1e-4)


@pytest.mark.parametrize("overlap_weight", [1.0, 10.0])
def test_the_random_region_net_reconstructs_the_visible_pixels_too(overlap_weight):
    module = small(net="random_region", overlap_weight=overlap_weight)
    batch = {"image": photo(), "mask": square(rim=20)}
    seen, pred = seen_in_a_step(module, batch)
    error = (pred - (batch["image"] * 2 - 1)).square()
    hole = batch["mask"].bool().expand_as(error)
    expected = (error[hole].sum() + overlap_weight * error[~hole].sum()) / error.numel()
    assert seen["g"][1]["rec"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_l1_is_an_option():
    module, (batch,) = small(pixel_norm="l1", overlap=0), batches()
    seen, pred = seen_in_a_step(module, batch)
    truth = batch["image"][..., 16:48, 16:48] * 2 - 1
    assert seen["g"][1]["rec"].item() == pytest.approx((pred - truth).abs().mean().item(), rel=1e-5)


def test_the_discriminator_judges_the_bare_prediction_real_first_in_separate_passes():
    module, (batch,) = small(), batches()
    judged = []
    module.discriminator.register_forward_pre_hook(lambda m, inputs: judged.append(inputs[0].detach().clone()))
    seen_in_a_step(module, batch)
    truth = batch["image"][..., 16:48, 16:48] * 2 - 1
    real, fake, again = judged  # D's two passes, then G's
    assert torch.equal(real, truth) and torch.equal(fake, again) and not torch.equal(fake[:, :, 0, 0], real[:, :, 0, 0])


def test_nothing_inside_the_hole_reaches_the_generator():
    module, seen = small(overlap=2), []
    module.generator.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0].clone()))
    (batch,) = batches()
    one_step_each(module, [batch])
    blanked, rim = seen[0][..., 18:46, 18:46], torch.ones(64, 64, dtype=torch.bool)
    rim[18:46, 18:46] = False
    assert torch.equal(blanked, torch.tensor(HOLE_COLOUR)[None, :, None, None].expand_as(blanked))
    assert torch.equal(seen[0][..., rim], (batch["image"] * 2 - 1)[..., rim])


# Who learns when


def test_only_the_right_network_has_gradients_and_moves_in_each_half_step():
    module, record = small(), []
    update = module.update

    def watched(name, optimizer, loss, **terms):
        before = snapshot(module)
        zero_grad = optimizer.zero_grad
        with_gradient = set()

        def look(*args, **kwargs):
            with_gradient.update(n.split(".")[0] for n, p in module.named_parameters() if p.grad is not None)
            zero_grad(*args, **kwargs)

        optimizer.zero_grad = look
        update(name, optimizer, loss, **terms)
        optimizer.zero_grad = zero_grad
        moved = {key.split(".")[0] for key in changed(before, module)}
        record.append((name, with_gradient, moved))

    module.update = watched
    one_step_each(module, batches(2))
    step = [("d", {"discriminator"}, {"discriminator"}), ("g", {"generator"}, {"generator"})]
    assert record == step * 2
    assert all(p.grad is None and p.requires_grad for p in module.parameters())


def test_every_parameter_learns():
    module = small(noise=3)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    one_step_each(module, batches(2))
    assert [name for name, p in module.named_parameters() if torch.equal(p, before[name])] == []


def test_batch_statistics_are_tracked_once_a_step_in_g_and_never_in_d():
    module = small()
    one_step_each(module, batches(3))
    norms = [m for m in module.generator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.num_batches_tracked.item() for m in norms} == {3}
    assert [name for name, _ in module.discriminator.named_buffers()] == []


def test_reconstruction_alone_leaves_the_discriminator_as_it_was():
    module = small(lambda_rec=1.0, lambda_adv=0.0)
    before = snapshot(module)
    one_step_each(module, batches(2))
    assert {key.split(".")[0] for key in changed(before, module)} == {"generator"}
    assert "train/d/total" not in module.terms and module.terms["train/g/adv"] == 0


def test_the_adversarial_loss_alone_moves_the_generator_without_knowing_the_truth():
    weights = []
    for seed in (0, 1):  # two truths in the hole, one context
        module = small(lambda_rec=0.0, lambda_adv=1.0, lr_d=0.0, overlap=0)
        before = snapshot(module.generator)
        image = torch.where(square().bool(), photo(seed=seed), photo())
        one_step_each(module, [{"image": image, "mask": square()}])
        weights.append(snapshot(module.generator))
    assert changed(before, module.generator) and all(torch.equal(weights[0][key], weights[1][key]) for key in before)


def test_the_generator_learns_ten_times_faster():
    opt_g, opt_d = small().configure_optimizers()
    assert [type(opt).__name__ for opt in (opt_g, opt_d)] == ["Adam", "Adam"]
    assert opt_g.defaults["lr"] == pytest.approx(2e-3) and opt_d.defaults["lr"] == pytest.approx(2e-4)
    assert opt_g.defaults["lr"] / opt_d.defaults["lr"] == pytest.approx(10)
    assert opt_g.defaults["betas"] == opt_d.defaults["betas"] == (0.5, 0.999)


def test_papers_weights_are_the_defaults():
    cfg = ContextEncoderConfig()
    assert (cfg.lambda_rec, cfg.lambda_adv, cfg.overlap, cfg.overlap_weight) == (0.999, 0.001, 7, 10)
    assert (cfg.fine_size, cfg.bottleneck, cfg.width, cfg.noise, cfg.conditional) == (128, 4000, 64, 0, False)


def test_it_learns_to_fill_one_batch():
    module = small(bottleneck=32, overlap=0, lr_g=1e-2)
    (batch,) = batches()
    errors = []
    module.generator.register_forward_hook(
        lambda m, i, pred: errors.append((pred - (batch["image"] * 2 - 1)[..., 16:48, 16:48]).square().mean().item())
    )
    one_step_each(module, [batch] * 25)
    assert errors[-1] < errors[0] / 4


def test_the_conditional_net_and_the_one_with_noise_train():
    for settings in ({"fine_size": 128, "conditional": True}, {"noise": 3}, {"fine_size": 64, "conditional": True}):
        module = small(**settings)
        before = snapshot(module)
        one_step_each(module, batches(1, side=module.cfg.fine_size))
        assert {key.split(".")[0] for key in changed(before, module)} == {"generator", "discriminator"}


# Completing


def test_the_standard_hole_is_one_pass_and_a_paste():
    module = ContextEncoder(width=2, bottleneck=4, overlap=0).eval()
    image, mask = photo(128, 3), square(128, batch=3)
    with torch.no_grad():
        pred = (module.generator(blank(image * 2 - 1, mask)) + 1) / 2
        done = module.complete(image, mask)
    assert torch.equal(done[..., 32:96, 32:96], pred)
    assert torch.equal(torch.where(mask.bool(), 0, done), torch.where(mask.bool(), 0, image))


def test_where_the_mask_hides_the_overlap_too_it_is_filled_from_around():
    module = ContextEncoder(width=2, bottleneck=4, overlap=7).eval()
    image, mask = photo(128, 2), square(128, batch=2)
    with torch.no_grad():
        context = blank(push_pull(image, mask) * 2 - 1, square(128, rim=39, batch=2))
        pred = (module.generator(context) + 1) / 2
        done = module.complete(image, mask)
    assert torch.equal(done[..., 32:96, 32:96], pred)


def test_the_codes_hole_is_the_square_that_was_blanked_in_training():
    module = ContextEncoder(width=2, bottleneck=4, overlap=4).eval()
    image, mask = photo(128, 2), square(128, rim=36, batch=2)
    with torch.no_grad():
        pred = (module.generator(blank(image * 2 - 1, module.blanked(mask))) + 1) / 2
        done = module.complete(image, mask)
    assert torch.equal(done[..., 36:92, 36:92], pred[..., 4:60, 4:60])  # the overlap is not pasted


def test_the_random_region_net_completes_its_own_size_in_one_pass():
    module = small(net="random_region").eval()
    image = photo()
    mask = (torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.25).float()
    mask = nn.functional.interpolate(mask, (64, 64))  # 1 = hole
    with torch.no_grad():
        pred = (module.generator(blank(image * 2 - 1, mask)) + 1) / 2
        assert torch.equal(module.complete(image, mask), torch.where(mask.bool(), pred, image))


@pytest.mark.parametrize("net", ["centre", "random_region"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (37, 150), (200, 90), (5, 5)])
def test_any_size_and_any_hole_can_be_completed(net, height, width):
    module = small(net=net, noise=2).eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, height, width, generator=generator)
    mask = (torch.rand(2, 1, height, width, generator=generator) < 3 / (height * width)).float()
    mask[0, :, : height // 2, : width // 3] = 1
    with torch.no_grad():
        done = module.complete(image, mask)
        other = module.complete(torch.where(mask > 0, 1 - image, image), mask)
    inside = (mask > 0).expand_as(image)
    assert torch.equal(done[~inside], image[~inside])
    assert torch.equal(done, other)  # what lies in the hole has no influence, and noise is fixed
    assert done.min() >= 0 and done.max() <= 1


# Checkpoints and errors


def test_a_checkpoint_gives_the_same_answers(tmp_path):
    module = small(noise=2, pixel_norm="l1")
    trainer = one_step_each(module, batches(2))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = ContextEncoder.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert again.cfg == module.cfg and again.iteration == 2
    with torch.no_grad():
        done = [net.eval().complete(photo(), square()) for net in (module, again)]
    assert torch.equal(*done)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"net": "left"}, "model.net must be centre or random_region, got 'left'"),
        ({"pixel_norm": "l3"}, "model.pixel_norm must be l2 or l1, got 'l3'"),
        ({"fine_size": 96}, "power of 2, at least 64; got 96"),
        ({"fine_size": 32}, "power of 2, at least 64; got 32"),
        ({"overlap": 32}, "64 x 64 prediction: 0 to 31 pixels, got 32"),
        ({"overlap": -1}, "got -1"),
        ({"net": "random_region", "conditional": True}, "model.conditional needs net=centre"),
        ({"lambda_rec": 0.0, "lambda_adv": 0.0}, "one of them must be above 0; got 0.0 and 0.0"),
        ({"lambda_adv": -0.1}, "must not be negative"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ContextEncoderConfig(**settings)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="model.fine_size = 64 needs data.crop = 64; got images of 32 x 32"):
        one_step_each(small(), batches(1, side=32))


def test_the_centre_net_refuses_to_be_trained_on_other_holes():
    with pytest.raises(ValueError, match="use masks=centre, or model.net=random_region"):
        one_step_each(small(), batches(1, rim=10))
