"""Pathak 2016, the net that learns features. Sizes and counts: AlexNet as CaffeNet defines it, the authors' remarks on
the channel-wise layer (issue 18 of their repository), and arithmetic shown where it is used."""

import pytest
import torch
from torch import nn
from toys import one_step_each

from lightning_modules.inpainting.context_encoder_features import (
    MEAN_BGR,
    AlexNetEncoder,
    ChannelwiseLinear,
    ContextEncoderFeatures,
    ContextEncoderFeaturesConfig,
    Decoder,
    FeatureNet,
    encoded_side,
    from_caffe,
    to_caffe,
)

SIDE = 99  # of the small nets' input: a last map of 2 x 2


def photo(side=SIDE, batch=2, seed=0):
    """Smooth colours, RGB in [0,1] (B,3,side,side)."""
    coarse = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)


def holes(side=SIDE, batch=2):
    """Two squares, of which the second sample has one. (B,1,side,side), 1 = hole."""
    mask = torch.zeros(batch, 1, side, side)
    mask[..., 10:40, 20:50] = 1
    mask[0, :, 60:80, 60:90] = 1
    return mask


def small(**overrides):
    torch.manual_seed(0)
    return ContextEncoderFeatures(**{"fine_size": SIDE, "width": 6, "lr": 1e-3, **overrides})


def parameters(network):
    return sum(p.numel() for p in network.parameters())


# The network


@pytest.fixture(scope="module")
def paper_net():
    with torch.device("meta"):
        return FeatureNet()


def test_the_encoder_is_alexnet(paper_net):
    encoder = paper_net.encoder
    shapes = [tuple(getattr(encoder, f"conv{number}").weight.shape) for number in range(1, 6)]
    # conv2, 4 and 5 come in two groups, so their filters see half of the channels below.
    assert shapes == [(96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3), (256, 192, 3, 3)]
    assert parameters(encoder) == 2_334_080
    norm = encoder.norm
    assert (norm.size, norm.alpha, norm.beta, norm.k) == (5, 1e-4, 0.75, 1.0)


def test_the_encoder_goes_from_227_over_55_27_and_13_to_6(paper_net):
    sides, hooks = [], []
    for name in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv5", "pool5"):
        layer = getattr(paper_net.encoder, name)
        hooks.append(layer.register_forward_hook(lambda m, i, out: sides.append(out.shape[-1])))
    code = paper_net.encoder(torch.empty(2, 3, 227, 227, device="meta"))
    for hook in hooks:
        hook.remove()
    assert sides == [55, 27, 27, 13, 13, 13, 6]
    assert code.shape == (2, 256, 6, 6) and code[0].numel() == 9216


@pytest.mark.parametrize(("side", "encoded"), [(227, 6), (131, 3), (99, 2), (67, 1)])
def test_encoded_side_is_that_of_the_encoder(side, encoded):
    assert encoded_side(side) == encoded == AlexNetEncoder(6)(torch.zeros(1, 3, side, side)).shape[-1]


def test_the_channelwise_layer_has_331776_weights_where_a_full_one_has_85_million(paper_net):
    weight, bias = paper_net.channelwise.maps.weight, paper_net.channelwise.maps.bias
    assert weight.numel() == 331_776 == 256 * 6**4
    assert parameters(paper_net.channelwise) == 340_992 and bias.numel() == 9216
    with torch.device("meta"):
        assert nn.Linear(9216, 9216, bias=False).weight.numel() == 84_934_656


def test_the_channelwise_layer_is_block_diagonal():
    torch.manual_seed(0)
    layer, x = ChannelwiseLinear(5, 3), torch.randn(1, 5, 3, 3)
    other = x.clone()
    other[:, 2] += 1
    difference = (layer(other) - layer(x)).abs()
    assert difference[:, [0, 1, 3, 4]].max() == 0
    assert difference[:, 2].min() > 0  # every position of the channel sees every other


def test_the_channelwise_layer_is_one_dense_map_a_channel():
    torch.manual_seed(0)
    layer, x = ChannelwiseLinear(4, 3), torch.randn(2, 4, 3, 3)
    blocks = layer.maps.weight.reshape(4, 9, 9)  # (channel, position out, position in)
    dense = torch.einsum("coi,bci->bco", blocks, x.flatten(2)) + layer.maps.bias.view(4, 9)
    torch.testing.assert_close(layer(x), dense.view(2, 4, 3, 3))


def test_the_decoder_goes_from_6_over_11_21_41_and_81_to_161_and_then_to_227(paper_net):
    decoder, shapes = paper_net.decoder, []
    hooks = [
        layer.register_forward_hook(lambda m, i, out: shapes.append(tuple(out.shape[1:3])))
        for layer in decoder.layers
        if isinstance(layer, nn.ConvTranspose2d)
    ]
    assert decoder(torch.empty(2, 256, 6, 6, device="meta")).shape == (2, 3, 227, 227)
    for hook in hooks:
        hook.remove()
    assert shapes == [(128, 11), (64, 21), (64, 41), (32, 81), (3, 161)]
    assert parameters(decoder) == 1_180_291


def test_the_last_layer_may_be_negative():
    assert isinstance(Decoder(width=6).layers[-1], nn.ConvTranspose2d)


def test_pool_free_replaces_each_pooling_by_a_convolution_of_its_kernel_and_stride():
    with torch.device("meta"):
        encoder = AlexNetEncoder(pool_free=True)
        pools = [encoder.pool1, encoder.pool2, encoder.pool5]
        assert encoder(torch.empty(1, 3, 227, 227)).shape == (1, 256, 6, 6)
    assert [(p.kernel_size, p.stride, p.in_channels) for p in pools] == [((3, 3), (2, 2), c) for c in (96, 256, 256)]


@pytest.mark.parametrize("width", [2, 7, 8, 100])
def test_any_width_makes_a_net(width):
    with torch.device("meta"):
        assert FeatureNet(SIDE, width)(torch.empty(1, 3, SIDE, SIDE)).shape == (1, 3, SIDE, SIDE)


def test_width_scales_every_layer():
    net = FeatureNet(SIDE, width=12)
    assert net.encoder.conv3.weight.shape == (48, 32, 3, 3) and net.decoder.layers[0].weight.shape == (32, 16, 5, 5)
    assert net(torch.zeros(1, 3, SIDE, SIDE)).shape == (1, 3, SIDE, SIDE)


def test_he_weights_keep_the_scale():
    torch.manual_seed(0)
    module = ContextEncoderFeatures(width=24)
    encoder, decoder = module.network.encoder, module.network.decoder
    assert encoder.conv2.weight.std().item() == pytest.approx((2 / (12 * 25)) ** 0.5, rel=0.03)  # 12 channels a group
    assert module.network.channelwise.maps.weight.std().item() == pytest.approx((2 / 36) ** 0.5, rel=0.03)
    assert decoder.layers[0].weight.std().item() == pytest.approx((2 / (64 * 25 / 4)) ** 0.5, rel=0.03)  # stride 2
    assert all(p.abs().max() == 0 for name, p in module.named_parameters() if name.endswith("bias"))


# Data flow


def test_caffes_units_are_bgr_of_255_less_the_mean():
    image = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)  # RGB
    assert to_caffe(image).flatten().tolist() == pytest.approx([0 - 104, 127.5 - 117, 255 - 123])
    torch.testing.assert_close(from_caffe(to_caffe(image)), image)
    assert MEAN_BGR == (104, 117, 123)


def test_the_hole_is_zero_for_the_network_and_nothing_in_it_matters():
    module, seen = small(), []
    module.network.register_forward_pre_hook(lambda m, inputs: seen.append(inputs[0]))
    image, mask = photo(), holes()
    pred = module(image, mask)
    assert seen[0][mask.bool().expand_as(image)].abs().max() == 0
    assert torch.equal(module(torch.where(mask.bool(), 1 - image, image), mask), pred)


# Training


@pytest.mark.parametrize("pixel_norm", ["l2", "l1"])
def test_the_loss_is_the_mean_error_of_the_dropped_pixels_by_hand(pixel_norm):
    module = small(pixel_norm=pixel_norm)
    image, mask = photo(), holes()
    pred = module(image, mask).detach()
    one_step_each(module, [{"image": image, "mask": mask}])
    expected = 0.0
    for sample, hole, target in zip(pred, mask, image, strict=True):
        error = (sample - target)[:, hole[0] > 0]  # (3, pixels of the hole)
        expected += (error.square() if pixel_norm == "l2" else error.abs()).mean().item() / 2
    assert module.terms["train/g/rec"].item() == pytest.approx(expected, rel=1e-4)
    assert module.terms.keys() == {"train/g/rec", "train/g/total"}


def test_every_parameter_learns():
    module = small(pool_free=True)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    one_step_each(module, [{"image": photo(batch=4, seed=n), "mask": holes(batch=4)} for n in range(3)])
    moved = [name for name, p in module.named_parameters() if not torch.equal(p, before[name])]
    assert moved == list(before)


def test_it_learns_to_fill_one_batch():
    module = small(width=12, lr=3e-3)
    one_step_each(module, [{"image": photo(), "mask": holes()}])
    first = module.terms["train/g/rec"].item()
    one_step_each(module, [{"image": photo(), "mask": holes()}] * 100)
    assert module.terms["train/g/rec"].item() < first / 4


# Completing


def test_an_image_of_the_networks_size_is_completed_in_one_pass():
    module = small().eval()
    image, mask = photo(), holes()
    with torch.no_grad():
        pred = module(image, mask).clamp(0, 1)
        assert torch.equal(module.complete(image, mask), torch.where(mask.bool(), pred, image))


@pytest.mark.parametrize(("height", "width"), [(37, 150), (200, 90)])
def test_any_size_and_any_hole_can_be_completed(height, width):
    module = small().eval()
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, height, width)
    mask[..., : height // 2, : width // 3], mask[..., -3:, -5:] = 1, 1
    with torch.no_grad():
        done = module.complete(image, mask)
    outside = (mask == 0).expand_as(image)
    assert torch.equal(done[outside], image[outside])
    assert done.min() >= 0 and done.max() <= 1 and not torch.equal(done, image)


# Checkpoints and errors


def test_a_checkpoint_gives_the_same_answers(tmp_path):
    module = small(pixel_norm="l1")
    one_step_each(module, [{"image": photo(), "mask": holes()}]).save_checkpoint(tmp_path / "last.ckpt")
    again = ContextEncoderFeatures.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert again.cfg == module.cfg and again.iteration == 1
    with torch.no_grad():
        assert torch.equal(again.eval().complete(photo(), holes()), module.eval().complete(photo(), holes()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pixel_norm": "l3"}, "model.pixel_norm must be l2 or l1, got 'l3'"),
        ({"fine_size": 66}, "at least 67, one pixel after AlexNet; got 66"),
        ({"width": 1}, "at least 2, one channel for each group of conv2; got 1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ContextEncoderFeaturesConfig(**settings)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="model.fine_size = 99 needs data.crop = 99; got images of 64 x 64"):
        small().check({"image": photo(64), "mask": holes(64)})


def test_beside_the_mean_colour_16_bits_are_taken_to_float32():
    planes = torch.full((1, 3, 2, 2), 0.75, dtype=torch.bfloat16)
    expected = (planes.float() + torch.tensor(MEAN_BGR)[:, None, None]).flip(1) / 255
    assert torch.equal(from_caffe(planes), expected)
