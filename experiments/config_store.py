"""Which settings there are: the dataclass beside every paper, data set and mask generator, under its file's name.

Nothing registers itself. A file in lightning_modules/<task>/ is `model=<file name>`, one in datamodules/ is
`data=<file name>` and one in datamodules/masks/ is `masks=<file name>`.
"""

import importlib
import pkgutil
from dataclasses import dataclass, field, is_dataclass, make_dataclass
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore

import datamodules
import datamodules.masks
from datamodules.base import ImageDataModule
from lightning_modules import colorization, inpainting, representation, segmentation
from lightning_modules.base import PaperModule

TASKS = {
    "inpainting": inpainting,
    "colorization": colorization,
    "segmentation": segmentation,
    "representation": representation,
}


@dataclass(kw_only=True)
class DeviceSettings:
    """Where a command runs. `devices` counts processes: GPUs, or CPU processes where there is no GPU."""

    devices: Any = "auto"
    accelerator: str = "auto"  # auto | gpu | cpu | mps
    num_nodes: int = 1
    precision: str = "32-true"  # 32-true | bf16-mixed | 16-mixed


@dataclass(kw_only=True)
class TrainerSettings(DeviceSettings):
    """Where and how a training runs."""

    strategy: str = "auto"  # auto | fsdp, several processes that share weights out: for networks too large for one GPU
    sync_batchnorm: bool = False  # batch statistics over all GPUs; each process has its own otherwise
    deterministic: bool = False  # refuse operations whose result varies from run to run


@dataclass(kw_only=True)
class TrainSettings:
    """Keys of every `chromafill train`, beside model, data and trainer."""

    model: Any
    data: Any
    iterations: int = 1000  # calls of training_step; the unit papers print
    seed: int = 0
    validate_every: int = 1000  # iterations
    checkpoint_every: int = 1000  # iterations
    log_every: int = 10  # iterations
    accumulate: int = 1  # steps whose gradients are added up before an optimiser moves
    clip_norm: float | None = None  # largest gradient norm of an optimiser
    ema_decay: float | None = None  # keep an average of the weights, and validate and save that
    run_dir: str | None = None  # default: runs/<experiment>/<time>
    resume: str | None = (
        None  # `auto`: the newest valid checkpoint of run_dir, or a fresh start; or a checkpoint's path
    )
    logger: Any = "wandb"  # wandb | tensorboard | mlflow | none, or a list; metrics.csv and samples/ come in any case
    trainer: TrainerSettings = field(default_factory=TrainerSettings)


@dataclass(kw_only=True)
class ProtocolSettings:
    """How pictures are scored; a file of configs/protocol also sets the data settings that belong to the protocol."""

    name: str
    task: str  # colorization | inpainting
    metrics: list[str]  # names in experiments/evaluation/metrics.py
    baselines: list[str] = field(default_factory=list)  # rows beside the checkpoints, of evaluation/baselines.py
    buckets: list[float] = field(default_factory=list)  # limits of the hole ratio, for a table of each range
    prior: str | None = None  # file of `chromafill data priors` that auc_rebalanced weighs by; None: a closed form
    quantise: bool = True  # score pictures as they would be saved, in 8 bits
    decoder: dict[str, Any] = field(default_factory=dict)  # model settings for predicting: +protocol.decoder.x=1


@dataclass(kw_only=True)
class NetworkSettings:
    """Files of the networks that some metrics are measured with; without one it is looked for in torch.hub's folder,
    and metrics whose network is not there are left out. `random`: random weights, which only show that it runs."""

    alexnet: str | None = None  # of torchvision, for LPIPS
    inception: str | None = None  # of torch-fidelity, for FID, KID, U-IDS and P-IDS
    vgg16: str | None = None  # of torchvision, for VGG top-1


@dataclass(kw_only=True)
class EvaluateSettings:
    """Keys of every `chromafill evaluate`, beside data."""

    checkpoint: Any  # a path, baseline/<name>, or a list of them
    data: Any
    protocol: ProtocolSettings
    split: str = "test"  # val | test
    seed: int = 0  # of the masks
    output: str | None = None  # a folder; default: one of its own in the run's evaluation/, or in evaluations/
    logger: Any = "none"  # wandb | none
    examples: int = 4  # best, middle and worst images each on the page; 0: no page
    networks: NetworkSettings = field(default_factory=NetworkSettings)
    trainer: DeviceSettings = field(default_factory=DeviceSettings)


@dataclass(kw_only=True)
class DatasetSettings:
    """Keys of `chromafill data` where no experiment is named."""

    data: Any
    seed: int = 0


def modules_of(package):
    """{file name: module} of the modules right below a package, imported."""
    return {
        info.name: importlib.import_module(f"{package.__name__}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
        if not info.ispkg
    }


def own_classes(module, test):
    """Public classes that a module itself defines and that pass `test`."""
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_") and test(value)
    ]


@cache
def papers():
    """{model name: (task, class)}: every paper that is implemented."""
    found = {}
    for task, package in TASKS.items():
        for name, module in modules_of(package).items():
            for cls in own_classes(module, lambda c: issubclass(c, PaperModule)):
                found[name] = (task, cls)
    return found


@cache
def data_sets():
    """{data name: class}."""
    return {
        name: cls
        for name, module in modules_of(datamodules).items()
        for cls in own_classes(module, lambda c: issubclass(c, ImageDataModule) and c is not ImageDataModule)
    }


@cache
def mask_generators():
    """{mask name: dataclass}."""
    return {
        name: cls
        for name, module in modules_of(datamodules.masks).items()
        for cls in own_classes(module, lambda c: is_dataclass(c) and "__call__" in vars(c))
    }


def path_of(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def targets():
    """{import path: class} of everything that a configuration may name; nothing else is ever built from one."""
    classes = [cls for _, cls in papers().values()] + list(data_sets().values()) + list(mask_generators().values())
    return {path_of(cls): cls for cls in classes}


def node(settings, cls):
    """The dataclass of a group option: the settings of `cls` and its name as `_target_`."""
    target = ("_target_", str, field(default=path_of(cls)))
    return make_dataclass(settings.__name__, [target], bases=(settings,), kw_only=True)


@cache
def store():
    """Fills Hydra's ConfigStore, once."""
    store = ConfigStore.instance()
    store.store(name="train_settings", node=TrainSettings)
    store.store(name="evaluate_settings", node=EvaluateSettings)
    store.store(name="dataset_settings", node=DatasetSettings)
    for name, (_, cls) in papers().items():
        store.store(group="model", name=name, node=node(cls.Config, cls))
    for name, cls in data_sets().items():
        store.store(group="data", name=name, node=node(cls.Config, cls))
    for name, cls in mask_generators().items():
        store.store(group="masks", name=name, node=node(cls, cls))
