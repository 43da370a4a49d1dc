"""A file of Pathak's encoder with random weights at a twelfth of the width, and the plain layers that it describes."""

import pytest
import torch
from caffe_files import layer, network
from torch import nn

from lightning_modules.inpainting.context_encoder_features import PUBLISHED, ContextEncoderFeatures
from lightning_modules.pretrained.published import convert, read_weights


def plain():
    """conv1 to conv5 of CaffeNet; two of them and the last see their input in two groups."""
    torch.manual_seed(0)
    return [
        nn.Conv2d(3, 8, 11, stride=4),
        nn.Conv2d(8, 22, 5, padding=2, groups=2),
        nn.Conv2d(22, 32, 3, padding=1),
        nn.Conv2d(32, 32, 3, padding=1, groups=2),
        nn.Conv2d(32, 22, 3, padding=1, groups=2),
    ]


@pytest.fixture
def file(tmp_path):
    layers = [
        layer(f"conv{number}", "Convolution", [part.weight.detach(), part.bias.detach()])
        for number, part in enumerate(plain(), start=1)
    ]
    (tmp_path / "ce_features.caffemodel").write_bytes(network(*layers))
    return tmp_path / "ce_features.caffemodel"


def test_the_encoder_alone_is_a_part_that_a_training_starts_from(file, tmp_path):
    format, module, state = convert(ContextEncoderFeatures, PUBLISHED, read_weights(file), "a")
    assert module.cfg.width == 8 and format.part.startswith("the encoder alone")
    assert {key.rsplit(".", 1)[0] for key in state} == {f"network.encoder.conv{n}" for n in range(1, 6)}
    torch.save({"state_dict": state, "config": {}, "iteration": 0}, tmp_path / "part.ckpt")
    fresh = ContextEncoderFeatures(width=8, init_from=str(tmp_path / "part.ckpt"))
    decoder = fresh.network.decoder.layers[0].weight.clone()
    fresh.initialise([])
    image, (conv1, conv2, conv3, conv4, conv5) = torch.rand(1, 3, 227, 227) * 200 - 100, plain()
    pool, norm = nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)
    with torch.no_grad():
        x = norm(pool(conv2(norm(pool(conv1(image).relu()))).relu()))
        expected = pool(conv5(conv4(conv3(x).relu()).relu()).relu())
        torch.testing.assert_close(fresh.network.encoder(image), expected)
    assert expected.std() > 0.01 and torch.equal(fresh.network.decoder.layers[0].weight, decoder)


def test_init_from_names_a_file_that_is_not_there():
    with pytest.raises(ValueError, match="model.init_from: no file at gone.ckpt"):
        ContextEncoderFeatures(width=8, init_from="gone.ckpt").initialise([])
