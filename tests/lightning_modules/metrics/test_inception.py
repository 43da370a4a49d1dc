import sys

import pytest
import torch
from skimage import data

from lightning_modules.metrics.inception import InceptionFeatures, inception_layout

pytest.importorskip("torch_fidelity", reason="needs the extra [metrics]")


@pytest.fixture(scope="module")
def state():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return dict(inception_layout().state_dict())


@pytest.fixture(scope="module")
def network(state):
    return InceptionFeatures(state)


@pytest.fixture(scope="module")
def photographs():
    """(4,3,96,128) uint8."""
    image = torch.from_numpy(data.astronaut()).movedim(-1, 0)
    return torch.stack([image[:, y : y + 96, x : x + 128] for y, x in ((0, 0), (0, 150), (100, 200), (300, 50))])


@torch.inference_mode()
def test_features_are_2048_that_tell_photographs_apart(network, photographs):
    features = network(photographs)
    assert features.shape == (4, 2048) and features.dtype == torch.float32
    assert features.isfinite().all() and 0.01 < features.mean() < 100
    assert features.std(0).mean() > 0.01 * features.mean()


@torch.inference_mode()
def test_an_image_has_the_same_features_in_any_batch(network, photographs):
    alone = torch.cat([network(photograph[None]) for photograph in photographs])
    torch.testing.assert_close(network(photographs), alone, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_the_network_resizes_as_tensorflow_1_did(network):
    """Twice the side of 299 is every other pixel from the corner on: no antialiasing, no half-pixel shift."""
    image = torch.randint(0, 256, (1, 3, 598, 598), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(image), network(image[..., ::2, ::2]), rtol=1e-5, atol=1e-6)


def test_the_weights_are_those_that_were_given(network, state):
    own = network.network.state_dict()
    assert all(torch.equal(own[key], value) for key, value in state.items())
    assert not any(weight.requires_grad for weight in network.parameters())
    assert not network.network.training


def test_floats_are_refused(network):
    with pytest.raises(ValueError, match="uint8"):
        network(torch.zeros(1, 3, 64, 64))


def test_without_torch_fidelity_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ModuleNotFoundError, match=r"need torch-fidelity.*pip install -e '.\[metrics\]'"):
        InceptionFeatures({})
