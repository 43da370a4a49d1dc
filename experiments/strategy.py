"""Several processes: which strategy, and how many processes there will be."""

import os

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.errors import UserError
from lightning_modules.ops.distributed import average_over_ranks_


class AveragedGradients(DDPStrategy):
    """DDP without the DistributedDataParallel wrapper.

    The wrapper waits for the gradient of every parameter in every backward, which a step that moves the generator or
    the discriminator alone does not give; searching the graph for unused parameters costs time in each. Here
    `PaperModule.update` averages the gradients of the optimiser that is about to step, in one collective, so the same
    code serves papers with one optimiser and with two, and accumulation communicates only when an optimiser moves.

    In training, batch norm normalises each process by its own share of the batch. Its running statistics are averaged
    after every step, so that all processes validate with the same network and any of them could write the checkpoint.
    """

    def configure_ddp(self):
        for tensor in self.model.state_dict().values():
            distributed.broadcast(tensor, src=0)

    def training_step(self, *args, **kwargs):
        output = super().training_step(*args, **kwargs)
        average_over_ranks_(running_statistics(self.model))
        return output


def running_statistics(network):
    """Running means and variances of the batch norms in a network."""
    norms = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    return [statistic for layer in norms for statistic in (layer.running_mean, layer.running_var)]


def process_count(settings):
    """Training processes on this node, from the `trainer` part of the configuration."""
    devices = settings["devices"]
    if "LOCAL_WORLD_SIZE" in os.environ:  # torchrun
        return int(os.environ["LOCAL_WORLD_SIZE"])
    if isinstance(devices, int) and devices > 0:
        return devices
    if isinstance(devices, list):
        return len(devices)
    if devices in ("auto", -1):
        gpus = torch.cuda.device_count() if settings["accelerator"] in ("auto", "gpu", "cuda") else 0
        return max(1, gpus)
    raise UserError(f"trainer.devices must be a count, a list of GPU numbers or auto; got {devices}")


def strategy_for(settings):
    """The strategy argument of Lightning's Trainer."""
    return AveragedGradients() if process_count(settings) * settings["num_nodes"] > 1 else "auto"
