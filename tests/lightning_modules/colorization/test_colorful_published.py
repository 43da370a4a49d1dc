"""Files of Zhang 2016 with random weights at a sixteenth of the width, and the plain networks that they describe."""

import pytest
import torch
from caffe_files import layer, network
from torch import nn
from torch.nn import functional as F

from lightning_modules.color.ab_bins import ab_bins
from lightning_modules.colorization.colorful import PUBLISHED, Colorful
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.published import convert, read_weights

BLOCKS = [  # of the release: channels before and after at width 4, strides, dilation
    ((1, 4), (1, 2), 1),
    ((4, 8), (1, 2), 1),
    ((8, 16), (1, 1, 2), 1),
    ((16, 32), (1, 1, 1), 1),
    ((32, 32), (1, 1, 1), 2),
    ((32, 32), (1, 1, 1), 2),
    ((32, 32), (1, 1, 1), 1),
]
LIGHTNESS = 100 * torch.rand(2, 1, 32, 40, generator=torch.Generator().manual_seed(1))
CENTRES = ab_bins().T[:, :, None, None].clone()  # (2,313,1,1)


def plain(affine):
    """(blocks 1 to 7, block 8): the layers with random weights and statistics."""
    torch.manual_seed(0)
    blocks = []
    for (before, after), strides, dilation in BLOCKS:
        layers = []
        for stride in strides:
            layers += [nn.Conv2d(before, after, 3, stride, dilation, dilation), nn.ReLU()]
            before = after
        blocks.append(nn.Sequential(*layers, nn.BatchNorm2d(after, affine=affine)))
    head = nn.Sequential(
        *(nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 313, 1)),
    )
    for parameter in (p for part in (*blocks, head) for p in part.parameters()):
        nn.init.normal_(parameter, std=0.3)
    body = nn.Sequential(*blocks)
    body.train()(torch.rand(4, 1, 32, 32))
    return body.eval(), head


def release(body, head):
    """The state of the PyTorch release: model1 to model8 and model_out."""
    state = {f"model{int(key[0]) + 1}{key[1:]}": value for key, value in body.state_dict().items()}
    state |= {f"model8.{key}": value for key, value in head.state_dict().items()}
    return state | {"model_out.weight": CENTRES / 110}


def test_eccv16_gives_the_chroma_of_the_release(tmp_path):
    body, head = plain(affine=True)
    torch.save(release(body, head), tmp_path / "a.pth")
    format, module, state = convert(Colorful, PUBLISHED, read_weights(tmp_path / "a.pth"), "a.pth")
    module.load_state_dict(state)
    with torch.no_grad():
        logits = head(body((LIGHTNESS - 50) / 100))
        expected = 110 * F.conv2d(logits.softmax(dim=1), CENTRES / 110)
        found = module.eval().predict_chroma(LIGHTNESS)
    assert format.name == "eccv16" and expected.std() > 1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def caffe(body, head, more=()):
    """The network's file: batch norm as sums over 7 batches, and no weights of its own in it."""
    layers = []
    for number, block in enumerate(body, start=1):
        convolutions = [part for part in block if isinstance(part, nn.Conv2d)]
        for position, part in enumerate(convolutions, start=1):
            name = f"conv{number}_{position}" if (number, position) != (1, 1) else "bw_conv1_1"
            layers.append(layer(name, "Convolution", [part.weight.detach(), part.bias.detach()]))
        sums = [7 * block[-1].running_mean, 7 * block[-1].running_var, torch.tensor([7.0])]
        layers.append(layer(f"conv{number}_{len(convolutions)}norm", "BatchNorm", sums))
    names = {0: "conv8_1", 2: "conv8_2", 4: "conv8_3", 6: "conv8_313"}
    for position, name in names.items():
        kind = "Convolution" if position else "Deconvolution"
        layers.append(layer(name, kind, [head[position].weight.detach(), head[position].bias.detach()]))
    return network(*layers, *more)


CONSTANTS = [
    layer("class8_ab", "Convolution", [torch.rand(2, 313, 1, 1), torch.rand(2)]),
    layer("conv8_313_rh", "Scale", [torch.full([313], 2.606)]),
]


@pytest.mark.parametrize("more", [[], CONSTANTS])
def test_caffe_gives_the_chroma_of_the_deploy_network(tmp_path, more):
    body, head = plain(affine=False)
    body[0][0].weight.data /= 50  # it sees [-50, 50]
    (tmp_path / "a.caffemodel").write_bytes(caffe(body, head, more))
    format, module, state = convert(Colorful, PUBLISHED, read_weights(tmp_path / "a.caffemodel"), "a")
    module.load_state_dict(state)
    with torch.no_grad():
        logits = head(body(LIGHTNESS - 50))
        expected = F.conv2d((2.606 * logits).softmax(dim=1), CENTRES)
        found = module.eval().predict_chroma(LIGHTNESS)
    assert format.name == "caffe" and not module.cfg.affine_norm and expected.std() > 1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-2)


def test_other_classes_than_our_bins_are_refused():
    state = release(*plain(affine=True))
    state["model_out.weight"] = state["model_out.weight"].flip(1)
    with pytest.raises(CheckpointError, match="model_out.weight \\* 110 are not the centres of the 313 bins"):
        convert(Colorful, PUBLISHED, state, "a.pth")


def test_siggraph17_is_another_papers_file():
    state = {f"{name}.0.weight": torch.ones(1) for name in ("model1", "model8up", "model3short8", "model_class")}
    with pytest.raises(CheckpointError, match=r"a.pth is siggraph17-df00044c.pth: the network of a later paper"):
        convert(Colorful, PUBLISHED, state, "a.pth")


def test_a_file_that_claims_a_wide_network_with_little_in_it_builds_none():
    state = release(*plain(affine=True))
    state["model7.0.weight"] = torch.ones(100_000, 1, 3, 3)
    with pytest.raises(CheckpointError, match="has shape"):
        convert(Colorful, PUBLISHED, state, "a.pth")


def test_the_default_network_has_the_82_keys_of_the_release():
    own = Colorful().network.state_dict()
    beginnings = PUBLISHED[0].keys
    assert len(own) == 82 and {key.split(".")[0] for key in own} == set(beginnings)
