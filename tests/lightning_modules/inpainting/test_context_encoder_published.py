"""Files of Pathak 2016 with random weights at a sixteenth of the width, and the plain networks that they describe."""

import pytest
import torch
from torch import nn
from torch7_files import layer, sequential, write_t7

from lightning_modules.inpainting.context_encoder import PUBLISHED, ContextEncoder
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.published import convert, read_weights

WIDTH, CODE = 4, 10
CONTEXT = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1


def plain(bias):
    """(encoder of 15 modules, decoder of 16 modules) of the centre net, as train.lua has them, random and in use."""
    torch.manual_seed(0)
    encoder, before = [], 3
    for number, after in enumerate((WIDTH, WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH)):
        encoder.append(nn.Conv2d(before, after, 4, 2, 1, bias=bias))
        encoder += ([nn.BatchNorm2d(after)] if number else []) + [nn.LeakyReLU(0.2)]
        before = after
    encoder.append(nn.Conv2d(before, CODE, 4, bias=bias))
    decoder, before = [nn.BatchNorm2d(CODE), nn.LeakyReLU(0.2)], CODE
    for number, after in enumerate((8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH)):
        stride, padding = (2, 1) if number else (1, 0)
        decoder += [nn.ConvTranspose2d(before, after, 4, stride, padding, bias=bias), nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    decoder += [nn.ConvTranspose2d(before, 3, 4, 2, 1, bias=bias), nn.Tanh()]
    encoder, decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
    decoder[14].weight.data.mul_(100)
    decoder(encoder(CONTEXT))
    return encoder.eval(), decoder.eval()


def checked(path, encoder, decoder, name):
    """The module made from a file, after its generator gave what the plain layers give."""
    format, module, state = convert(ContextEncoder, PUBLISHED, read_weights(path), path.name)
    module.load_state_dict(state)
    with torch.no_grad():
        expected = decoder(encoder(CONTEXT))
        torch.testing.assert_close(module.eval().generator(CONTEXT), expected, rtol=1e-4, atol=1e-5)
    assert format.name == name and expected.std() > 0.1
    assert (module.cfg.width, module.cfg.bottleneck, module.cfg.overlap) == (WIDTH, CODE, 4)
    return module


@pytest.mark.parametrize("old_norm", [False, True])
def test_a_torch_file_gives_the_predictions_of_its_layers_biases_included(tmp_path, old_norm):
    encoder, decoder = plain(bias=True)
    first, *rest = [sequential(map(layer, encoder)), *map(layer, decoder)]
    if old_norm:
        for module in (*first.fields["modules"], *rest):
            if "running_var" in module.fields:
                module.fields["running_std"] = (module.fields.pop("running_var") + 1e-5) ** -0.5
    module = checked(write_t7(tmp_path / "a.t7", sequential([first, *rest])), encoder, decoder, "torch7")
    assert module.cfg.bias


def test_the_port_gives_the_predictions_of_its_layers(tmp_path):
    encoder, decoder = plain(bias=False)
    main = nn.Sequential(*encoder, *decoder)
    torch.save({"epoch": 1, "state_dict": nn.ModuleDict({"main": main}).state_dict()}, tmp_path / "netG.pth")
    module = checked(tmp_path / "netG.pth", encoder, decoder, "boyuanjiang")
    assert not module.cfg.bias


def test_biases_are_for_files_and_zero_in_a_fresh_network():
    module = ContextEncoder(fine_size=64, width=4, bottleneck=8, bias=True)
    biases = [m.bias for m in module.generator.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(biases) == 9 and not any(bias.any() for bias in biases)
    assert not any(m.bias is not None for m in module.discriminator.modules() if isinstance(m, nn.Conv2d))


def test_a_net_for_whole_images_is_refused(tmp_path):
    encoder, decoder = plain(bias=False)
    longer = nn.Sequential(*encoder, *decoder[:14], nn.Conv2d(4, 4, 3), *decoder[14:])
    state = nn.ModuleDict({"main": longer}).state_dict()
    with pytest.raises(CheckpointError, match="nearest is boyuanjiang, of which the file has beyond it main.30.weight"):
        convert(ContextEncoder, PUBLISHED, state, "a.pth")


@pytest.mark.parametrize(
    ("number", "shape", "message"),
    [
        (14, (100_000_000, 1, 1, 1), r"has shape \[100000000, 1, 1, 1\], expected \[100000000, 32, 4, 4\]"),
        (11, (32, 16, 1, 1), r"has shape \[32, 16, 1, 1\], expected \[32, 16, 4, 4\]"),
    ],
)
def test_a_file_cannot_make_a_network_larger_than_itself(number, shape, message):
    encoder, decoder = plain(bias=False)
    tensors = {f"main.{key}": value for key, value in encoder.state_dict().items()}
    tensors |= {f"main.{int(key.split('.')[0]) + 15}.{key.split('.')[1]}": v for key, v in decoder.state_dict().items()}
    tensors[f"main.{number}.weight"] = torch.zeros(1).expand(shape)
    with pytest.raises(CheckpointError, match=message):
        convert(Unmade, PUBLISHED, tensors, "a.pth")


class Unmade(ContextEncoder):
    def __init__(self, **settings):
        raise AssertionError(f"made with {settings}")
