import hashlib
import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from experiments.errors import UserError
from experiments.evaluation import networks
from experiments.evaluation.networks import NETWORKS, RANDOM, Missing, Network, Published, find, from_home


def tiny():
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def built(state):
    network = tiny()
    network.load_state_dict(state)
    return network.eval()


@pytest.fixture
def weights(tmp_path):
    """A file of the tiny network, of an old release that does not count batches."""
    state = {key: torch.rand_like(value) for key, value in tiny().state_dict().items() if "tracked" not in key}
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def published(weights, monkeypatch):
    """The tiny network in the place of AlexNet, published under the hash of its file."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    entry = Published(url=f"https://example.org/models/tiny-1-{digest[:8]}.pth", layout=tiny, build=built)
    monkeypatch.setitem(NETWORKS, "alexnet", entry)
    return entry


def test_the_published_files_and_what_their_hashes_begin_with():
    assert {name: (entry.file, entry.sha256_begins) for name, entry in NETWORKS.items()} == {
        "inception": ("weights-inception-2015-12-05-6726825d.pth", "6726825d"),
        "alexnet": ("alexnet-owt-7be5be79.pth", "7be5be79"),
        "vgg16": ("vgg16-397923af.pth", "397923af"),
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_without_its_file_is_missing_and_one_line_says_how_to_get_it(hub, name):
    missing = find(name)
    assert isinstance(missing, Missing)
    for part in (NETWORKS[name].file, str(hub), NETWORKS[name].url, f"networks.{name}=PATH"):
        assert part in missing.reason
    assert "\n" not in missing.reason


def test_the_published_file_in_the_folder_of_torch_hub_is_taken(hub, published, weights):
    path = hub / published.file
    path.write_bytes(weights.read_bytes())
    found = find("alexnet")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert isinstance(found, Network) and (found.name, found.file, found.url) == ("alexnet", str(path), published.url)
    assert found.identity == {"weights": "published", "sha256": digest}
    stored = torch.load(weights, weights_only=True)
    assert all(torch.equal(found.module.state_dict()[key], value) for key, value in stored.items())


def test_another_file_under_the_published_name_is_refused(hub, published, weights):
    path = hub / published.file
    path.write_bytes(weights.read_bytes() + b"\0")
    begins = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    missing = find("alexnet")
    assert isinstance(missing, Missing)
    assert f"{path} is not the published file: its SHA-256 begins with {begins}, not" in missing.reason
    assert f"networks.alexnet={path}" in missing.reason


def test_a_file_that_is_named_is_taken_whatever_its_hash(hub, published, weights, tmp_path):
    changed = {key: 2 * value for key, value in torch.load(weights, weights_only=True).items()}
    path = tmp_path / "own.pth"
    torch.save({"state_dict": {f"module.{key}": value.half() for key, value in changed.items()}}, path)
    found = find("alexnet", str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.identity == {"weights": "another file", "sha256": digest}
    assert {value.dtype for key, value in found.module.state_dict().items() if "tracked" not in key} == {torch.float32}
    assert find("alexnet", str(weights)).identity["weights"] == "published"


def test_a_path_that_does_not_exist_is_the_users_mistake(published, tmp_path):
    with pytest.raises(UserError, match=r"networks.alexnet: cannot read .*nothing.pth: No such file or directory"):
        find("alexnet", str(tmp_path / "nothing.pth"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps(print, protocol=2)])
def test_a_file_that_is_no_state_is_the_users_mistake(published, tmp_path, content):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="networks.alexnet: .*broken.pth is not a readable PyTorch file"):
        find("alexnet", str(path))


def test_weights_of_another_network_are_the_users_mistake(published, tmp_path):
    path = tmp_path / "other.pth"
    torch.save({**tiny().state_dict(), "0.weight": torch.zeros(2, 4, 1, 1)}, path)
    with pytest.raises(UserError, match=r"other.pth is no tiny-1-\w{8}.pth: 1 of 7 tensors are .* first 0.weight"):
        find("alexnet", str(path))


def test_random_weights_are_those_of_a_fixed_seed_and_say_so(monkeypatch):
    before = torch.get_rng_state()
    first = find("alexnet", RANDOM)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.identity == {"weights": "random weights", "seed": networks.SEED} and first.file is None
    torch.rand(1)
    again = find("alexnet", RANDOM).module.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in first.module.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_each_network_answers_as_its_metrics_expect(name):
    if name == "inception":
        pytest.importorskip("torch_fidelity", reason="needs the extra [metrics]")
    image = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    module = find(name, RANDOM).module
    answers = {
        "inception": lambda: module((255 * image).to(torch.uint8)),
        "alexnet": lambda: module(image, image.flip(3)),
        "vgg16": lambda: module(image),
    }
    answer = answers[name]()
    assert answer.shape == {"inception": (2, 2048), "alexnet": (2,), "vgg16": (2, 1000)}[name]
    assert not any(layer.training for layer in module.modules() if isinstance(layer, (nn.BatchNorm2d, nn.Dropout)))


def test_a_network_whose_package_is_not_installed_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    missing = find("inception", RANDOM)
    assert isinstance(missing, Missing) and "pip install -e '.[metrics]'" in missing.reason


def test_a_folder_below_home_is_named_as_on_any_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert from_home(tmp_path / "a" / "b") == "~/a/b" and from_home(Path("/elsewhere")) == "/elsewhere"
