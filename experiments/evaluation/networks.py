"""The networks that scores are measured with: where their files lie, and which file a score came from.

Nothing is downloaded. A file is looked for where `networks.<name>` of the configuration says, and without that in the
folder of torch.hub, under its published name, which ends in the first 8 digits of its SHA-256.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision.models import AlexNet_Weights, VGG16_Weights, alexnet, vgg16

from experiments.errors import UserError
from lightning_modules.metrics.inception import InceptionFeatures, inception_layout
from lightning_modules.metrics.lpips import LPIPS
from lightning_modules.metrics.recognition import Classifier
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.pth import pth_tensors

RANDOM = "random"  # in place of a path, where a person wants to see the machinery run without weights
SEED = 0  # of random weights


def with_weights(constructor, state):
    """A network of torchvision, whose own random weights are not drawn."""
    with torch.device("meta"):
        network = constructor()
    network.load_state_dict(state, assign=True)
    return network


@dataclass(frozen=True, kw_only=True)
class Published:
    url: str
    layout: Callable[[], nn.Module]  # torchvision's network of the file's names and shapes, with random weights
    build: Callable[[dict], nn.Module]  # {key: tensor} -> the network that metrics call

    @property
    def file(self):
        return self.url.rsplit("/", 1)[1]

    @property
    def sha256_begins(self):
        return Path(self.file).stem.rsplit("-", 1)[1]


NETWORKS = {
    "inception": Published(  # uint8 RGB (B,3,H,W) -> features (B,2048)
        url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        layout=inception_layout,
        build=InceptionFeatures,
    ),
    "alexnet": Published(  # two RGB in [0,1] (B,3,H,W) -> LPIPS (B,)
        url=AlexNet_Weights.IMAGENET1K_V1.url,
        layout=alexnet,
        build=lambda state: LPIPS(with_weights(alexnet, state)),
    ),
    "vgg16": Published(  # RGB in [0,1] (B,3,H,W) -> classes (B,1000), most likely first
        url=VGG16_Weights.IMAGENET1K_V1.url,
        layout=vgg16,
        build=lambda state: Classifier(with_weights(vgg16, state)),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Network:
    """identity: `weights` is published, another file or random weights; the first two have `sha256`."""

    name: str
    file: str | None  # path
    url: str
    identity: dict
    module: nn.Module  # on the CPU, float32, in evaluation mode


@dataclass(frozen=True)
class Missing:
    """Why there is no network, and how to get it, in one line."""

    reason: str


def find(name, setting=None):
    """Loads a network: a Network, or Missing where no file was named and the published one is not there.

    setting: a path, which is taken whatever its hash; RANDOM; or None for torch.hub's folder. UserError for a path that
    is not such a file. Does not move the global generators.
    """
    published = NETWORKS[name]
    try:
        if setting == RANDOM:
            return random_network(name, published)
        if setting is not None:
            return from_file(name, published, Path(setting).expanduser())
        path = Path(torch.hub.get_dir(), "checkpoints", published.file)
        why = why_not(name, published, path)
        return Missing(why) if why else from_file(name, published, path)
    except ModuleNotFoundError as error:
        return Missing(str(error))


def why_not(name, published, path):
    """One line on why the file in torch.hub's folder cannot be used, or None."""
    if not path.is_file():
        return (
            f"{published.file} is not in {from_home(path.parent)}: download it from {published.url} and put it there, "
            f"or give networks.{name}=PATH"
        )
    found = sha256(path)
    if not found.startswith(published.sha256_begins):
        return (
            f"{path} is not the published file: its SHA-256 begins with {found[:8]}, not {published.sha256_begins}; "
            f"replace it by {published.url}, or give networks.{name}={path} to use it as it is"
        )
    return None


def from_home(path):
    """A path as text that holds on other machines too: below the home folder it begins with ~."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def from_file(name, published, path):
    try:
        digest = sha256(path)
        state = fitting(pth_tensors(path), published.layout)
    except OSError as error:
        raise UserError(f"networks.{name}: cannot read {path}: {error.strerror}") from None
    except CheckpointError as error:
        raise UserError(f"networks.{name}: {error}") from None
    except ValueError as error:
        raise UserError(f"networks.{name}: {path} is no {published.file}: {error}") from None
    weights = "published" if digest.startswith(published.sha256_begins) else "another file"
    return loaded(name, published, state, path=str(path), weights=weights, sha256=digest)


def random_network(name, published):
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        state = dict(published.layout().state_dict())
    return loaded(name, published, state, path=None, weights="random weights", seed=SEED)


def loaded(name, published, state, *, path, **identity):
    with torch.random.fork_rng(devices=[]):
        module = published.build(state)
    return Network(name=name, file=path, url=published.url, identity=identity, module=module)


def fitting(tensors, layout):
    """Those of the tensors that a layout has, in float32. ValueError where one is missing or has another shape."""
    with torch.device("meta"):
        wanted = layout().state_dict()
    counted = {key for key in wanted if key.endswith("num_batches_tracked")}  # files of old releases have none
    wrong = [
        key
        for key, value in wanted.items()
        if key not in counted and (key not in tensors or tensors[key].shape != value.shape)
    ]
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(wanted)} tensors are missing or of another shape, first {wrong[0]}")
    return {key: tensors[key].float() for key in wanted if key not in counted}


def sha256(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
