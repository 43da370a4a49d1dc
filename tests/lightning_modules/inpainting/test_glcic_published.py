"""Files of Iizuka 2017 with random weights at a sixteenth of the width, and the plain networks that they describe."""

import numpy as np
import pytest
import torch
from torch import nn
from torch7_files import Module, layer, sequential, write_t7

from lightning_modules.inpainting.glcic import GLCIC, PUBLISHED
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.published import convert, read_weights

MEAN = torch.tensor([0.5, 0.4, 0.3])
IMAGE = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(1))
MASK = torch.zeros(2, 1, 24, 32)
MASK[..., 4:15, :20] = 1  # touches the border
W = 4
TABLE = [  # channels after, kernel, stride, dilation of the 17 layers at width 4; stride -2 for a transposed one
    *((W, 5, 1, 1), (2 * W, 3, 2, 1), (2 * W, 3, 1, 1), (4 * W, 3, 2, 1), (4 * W, 3, 1, 1), (4 * W, 3, 1, 1)),
    *((4 * W, 3, 1, 2), (4 * W, 3, 1, 4), (4 * W, 3, 1, 8), (4 * W, 3, 1, 16), (4 * W, 3, 1, 1), (4 * W, 3, 1, 1)),
    *((2 * W, 4, -2, 1), (2 * W, 3, 1, 1), (W, 4, -2, 1), (W // 2, 3, 1, 1), (3, 3, 1, 1)),
]


def plain(last, norm_first=True, bias=True):
    """The 50 modules, with random weights and statistics."""
    torch.manual_seed(0)
    modules, before = [], 4
    for number, (after, kernel, stride, dilation) in enumerate(TABLE, start=1):
        own = bias or number == 17
        if stride < 0:
            modules.append(nn.ConvTranspose2d(before, after, kernel, -stride, 1, bias=own))
        else:
            modules.append(nn.Conv2d(before, after, kernel, stride, dilation * (kernel // 2), dilation, bias=own))
        if number < 17:
            modules += [nn.BatchNorm2d(after), nn.ReLU()] if norm_first else [nn.ReLU(), nn.BatchNorm2d(after)]
        before = after
    net = nn.Sequential(*modules, last)
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
    with torch.no_grad():
        net.train()(torch.rand(4, 4, 32, 32))
        net[48].weight.div_(net[:49].eval()(torch.rand(4, 4, 32, 32)).std())
    return net.eval()


def found(path, name):
    """The prediction of the module made from a file."""
    format, module, state = convert(GLCIC, PUBLISHED, read_weights(path), path.name)
    module.load_state_dict(state)
    assert format.name == name and module.cfg.width == W and module.discriminator is None
    with torch.no_grad():
        return module.eval().predict(IMAGE, MASK)


def compare(result, expected):
    assert expected.std() > 0.05
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def released(net, mean):
    """As the authors' script feeds it: RGB less the mean, 0 in the hole."""
    with torch.no_grad():
        return net(torch.cat([(IMAGE - mean[:, None, None]) * (1 - MASK), MASK], dim=1))


@pytest.mark.parametrize("mean", [MEAN.double().numpy(), MEAN.tolist(), MEAN.view(3, 1, 1).numpy()])
def test_the_authors_file_gives_the_prediction_of_its_50_modules(tmp_path, mean):
    net = plain(nn.Sigmoid())
    path = write_t7(tmp_path / "a.t7", {"model": sequential(map(layer, net)), "mean": mean})
    compare(found(path, "torch7"), released(net, MEAN))


def test_ganonymizers_file_has_numbers_for_names_and_the_mean_of_places(tmp_path):
    net = plain(nn.Sigmoid())
    torch.save(net.state_dict(), tmp_path / "a.pth")
    compare(found(tmp_path / "a.pth", "ganonymizer"), released(net, torch.tensor([0.4560, 0.4472, 0.4155])))


def otenim_state(net):
    """The port's names: conv1, bn1, ..., deconv13, ..."""
    state = {}
    for key, value in net.state_dict().items():
        number, field = key.split(".")
        layer, position = divmod(int(number), 3)
        kind = "bn" if position == 2 else ("deconv" if layer in (12, 14) else "conv")
        state[f"{kind}{layer + 1}.{field}"] = value
    return state


def test_otenims_order_and_its_filled_hole_are_expressed_exactly_up_to_the_border(tmp_path):
    net = plain(nn.Sigmoid(), norm_first=False)
    state = otenim_state(net)
    assert {"conv1.weight", "bn16.bias", "deconv13.weight", "deconv15.bias", "conv17.bias"} <= state.keys()
    format, module, loaded = convert(GLCIC, PUBLISHED, state | {"mean": MEAN}, "model_cn")
    module.load_state_dict(loaded)
    with torch.no_grad():  # predict.py: x - x m + mpv m
        shown = IMAGE - IMAGE * MASK + MEAN[:, None, None] * MASK
        expected = net(torch.cat([shown, MASK], dim=1))
        compare(module.eval().predict(IMAGE, MASK), expected)
    assert format.name == "otenim" and not module.cfg.norm_first


def test_otenims_file_needs_the_mean_that_is_beside_it():
    with pytest.raises(CheckpointError, match="it lacks the mean pixel value, mpv in the config.json .*: give --mean"):
        convert(GLCIC, PUBLISHED, otenim_state(plain(nn.Sigmoid(), norm_first=False)), "model_cn")


def mmagic_state(net):
    """MMagic's names, with a discriminator beside the generator."""
    blocks = [f"encoder.enc{n}" for n in range(1, 7)] + [f"dilation_neck.dilation_convs.{n}" for n in range(4)]
    blocks += [f"decoder.dec{n}" for n in range(1, 8)]
    state = {"disc.global_disc.conv1.conv.weight": torch.ones(1), "disc.fc.weight": torch.ones(1, 2048)}
    for key, value in net.state_dict().items():
        number, field = key.split(".")
        block, position = divmod(int(number), 3)
        state[f"generator.{blocks[block]}.{'conv' if position == 0 else 'bn'}.{field}"] = value
    return state


def test_mmagics_bgr_in_minus_1_to_1_is_expressed_exactly(tmp_path):
    net = plain(nn.Hardtanh(-1, 1), bias=False)
    torch.save({"meta": {"epoch": 1}, "state_dict": mmagic_state(net)}, tmp_path / "gl.pth")
    with torch.no_grad():  # its pipeline: (BGR - 127.5) / 127.5, 127.5 in the hole; clipped, back to 0 to 255
        bgr = IMAGE.flip(1) * 255
        shown = ((bgr * (1 - MASK) + 127.5 * MASK) - 127.5) / 127.5
        raw = net(torch.cat([shown, MASK], dim=1))
        expected = ((raw * 127.5 + 127.5) / 255).flip(1)
    assert (raw.abs() == 1).any()  # the clipping is seen
    compare(found(tmp_path / "gl.pth", "mmagic"), expected)


def test_otenims_discriminators_are_refused():
    with pytest.raises(CheckpointError, match="is model_cd of otenim/GLCIC-PyTorch: the discriminators"):
        convert(GLCIC, PUBLISHED, {"model_ld.conv1.weight": torch.ones(1), "model_gd.bn1.bias": torch.ones(1)}, "cd")


def test_a_missing_layer_and_one_too_many_are_named(tmp_path):
    net = plain(nn.Sigmoid())
    modules = [layer(module) for module in net]
    modules[3] = Module("nn.Identity")
    path = write_t7(tmp_path / "a.t7", {"model": sequential(modules), "mean": np.zeros(3)})
    with pytest.raises(CheckpointError, match="nearest is torch7, of which the file lacks model.3$"):
        convert(GLCIC, PUBLISHED, read_weights(path), "a.t7")
    more = net.state_dict() | {"60.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match="nearest is ganonymizer, of which the file has beyond it 60.weight$"):
        convert(GLCIC, PUBLISHED, more, "a.pth")
