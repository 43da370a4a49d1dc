"""A graph like that of Iizuka 2016's files, with random weights at an eighth of the width, and its plain layers.

Of its nodes, in the order of the forward pass, the 3rd has the low-level features, the 5th the mid-level ones, the 7th
the global features and the 8th FC3; the numbers in a released file may be others, since shapes tell its layers.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch7_files import Module, graph, layer, sequential, write_t7

from lightning_modules.colorization.let_there_be_color import PUBLISHED, LetThereBeColor
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.published import convert, read_weights

W, SIDE, MEAN = 8, 32, 0.47
LUMA = torch.rand(2, 1, 24, 40, generator=torch.Generator().manual_seed(1))
VIEW = torch.rand(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(2))


def convolutions(channels, strides):
    layers = []
    for before, after, stride in zip(channels, channels[1:], strides, strict=False):
        layers += [nn.Conv2d(before, after, 3, stride, 1), nn.ReLU()]
    return layers


def plain():
    """The parts of the network, with weights so large that its output varies."""
    torch.manual_seed(0)
    parts = {
        "low": convolutions([1, W, 2 * W, 2 * W, 4 * W, 4 * W, 8 * W], (2, 1, 2, 1, 2, 1)),
        "mid": convolutions([8 * W, 8 * W, 4 * W], (1, 1)),
        "global": [
            *convolutions([8 * W] * 5, (2, 1, 2, 1)),
            *(nn.Flatten(), nn.Linear(8 * W, 16 * W), nn.ReLU(), nn.Linear(16 * W, 8 * W), nn.ReLU()),
        ],
        "fc3": [nn.Linear(8 * W, 4 * W), nn.ReLU()],
        "color": [
            *(nn.Conv2d(8 * W, 4 * W, 1), nn.ReLU(), *convolutions([4 * W, 2 * W], (1,)), nn.Upsample(scale_factor=2)),
            *(*convolutions([2 * W, W, W], (1, 1)), nn.Upsample(scale_factor=2)),
            *(*convolutions([W, W // 2], (1,)), nn.Conv2d(W // 2, 2, 3, 1, 1), nn.Sigmoid()),
        ],
        "classifier": [nn.Linear(8 * W, 4 * W), nn.ReLU(), nn.Linear(4 * W, 7)],
    }
    parts = {name: nn.Sequential(*layers) for name, layers in parts.items()}
    for part in parts.values():
        for module in part:
            if hasattr(module, "weight"):
                nn.init.normal_(module.weight, 0, (2 / module.weight[0].numel()) ** 0.5)
    return parts


def expected(parts, mid_first):
    """(output of the graph, logits) for image and view less the mean."""
    with torch.no_grad():
        scene = parts["global"](parts["low"](VIEW - MEAN))
        vector = parts["fc3"](scene)[:, :, None, None].expand(-1, -1, 3, 5)
        mid = parts["mid"](parts["low"](LUMA - MEAN))
        joined = torch.cat([mid, vector] if mid_first else [vector, mid], dim=1)
        return parts["color"](joined), parts["classifier"](scene)


def write(path, parts, mid_first=False, copied_low=False, classifier=False, flat_fusion=False, mean=MEAN):
    """The file: {mean, model}."""
    lua = {name: sequential(map(layer, part)) for name, part in parts.items()}
    if flat_fusion:
        fusion = lua["color"].fields["modules"][0]
        fusion.fields["weight"] = fusion.fields["weight"].reshape(4 * W, 8 * W)
    replicates = [Module("nn.Replicate", nfeatures=3.0), Module("nn.Replicate", nfeatures=5.0)]
    lua["fc3"].fields["modules"] += replicates
    low = [lua["low"]] + ([sequential(map(layer, parts["low"]))] if copied_low else [])
    nodes = [
        (Module("nn.Identity"), []),
        (Module("nn.Identity"), []),
        (Module("nn.ParallelTable", modules=low), [0, 1]),
        (Module("nn.SelectTable"), [2]),
        (lua["mid"], [3]),
        (Module("nn.SelectTable"), [2]),
        (lua["global"], [5]),
        (lua["fc3"], [6]),
        (Module("nn.Identity"), [7]),
        (Module("nn.JoinTable"), [4, 8] if mid_first else [8, 4]),
        (lua["color"], [9]),
    ]
    if classifier:
        nodes.append((lua["classifier"], [6]))
    return write_t7(path, {"mean": mean, "model": graph(nodes)})


@pytest.mark.parametrize("mid_first", [False, True])
@pytest.mark.parametrize("options", [{}, {"copied_low": True, "flat_fusion": True}, {"classifier": True}])
def test_the_graph_gives_the_output_of_its_layers_in_either_order_of_the_fusion(tmp_path, mid_first, options):
    parts = plain()
    path = write(tmp_path / "colornet.t7", parts, mid_first, **options)
    format, module, state = convert(LetThereBeColor, PUBLISHED, read_weights(path), path.name)
    module.load_state_dict(state)
    with torch.no_grad():
        output, logits = module.eval()(LUMA, VIEW)
    wanted, wanted_logits = expected(parts, mid_first)
    assert format.name == "torch7" and wanted.std() > 0.02
    assert not torch.allclose(wanted, expected(parts, not mid_first)[0], atol=0.01)
    torch.testing.assert_close(output, wanted, rtol=1e-4, atol=1e-5)
    assert module.cfg.width == W and module.cfg.global_side == SIDE and not module.cfg.batch_norm
    if "classifier" in options:
        torch.testing.assert_close(logits, wanted_logits, rtol=1e-4, atol=1e-4)
        assert module.cfg.classes == 7
    else:
        assert logits is None and module.cfg.alpha == 0


def test_the_chroma_is_2s_minus_1_times_100_as_in_the_released_script(tmp_path):
    parts = plain()
    path = write(tmp_path / "colornet.t7", parts)
    _, module, state = convert(LetThereBeColor, PUBLISHED, read_weights(path), path.name)
    module.load_state_dict(state)
    with torch.no_grad():
        found = module.eval().predict_chroma(LUMA, VIEW)
    torch.testing.assert_close(found, (2 * expected(parts, mid_first=False)[0] - 1) * 100, rtol=1e-3, atol=1e-2)


def test_low_level_features_that_are_not_shared_are_refused(tmp_path):
    parts, other = plain(), plain()
    path = tmp_path / "a.t7"
    write(path, parts, copied_low=True)
    tensors = read_weights(path)
    tensors["model.2.1.0.weight"] = 2 * other["low"][0].weight.detach()
    with pytest.raises(CheckpointError, match="nearest is torch7, of which the file has beyond it model.2.1.0.weight"):
        convert(LetThereBeColor, PUBLISHED, tensors, "a.t7")


def test_a_missing_part_and_a_missing_mean_are_named(tmp_path):
    tensors = read_weights(write(tmp_path / "a.t7", plain()))
    less = {key: value for key, value in tensors.items() if not key.startswith("model.4.")}
    with pytest.raises(CheckpointError, match="it lacks network.mid.conv1.weight, network.mid.conv1.bias, network.mid"):
        convert(LetThereBeColor, PUBLISHED, less, "a.t7")
    del tensors["mean"]
    with pytest.raises(CheckpointError, match="of which the file lacks mean$"):
        convert(LetThereBeColor, PUBLISHED, tensors, "a.t7")


def test_a_file_of_something_else_is_refused():
    state = F.one_hot(torch.arange(3)).float()
    with pytest.raises(CheckpointError, match="lacks mean and has beyond it conv.weight"):
        convert(LetThereBeColor, PUBLISHED, {"conv.weight": state}, "a.pth")
