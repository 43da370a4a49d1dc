"""Several processes that share the weights of a network out among them (FSDP), for one that is too large for each."""

from lightning.pytorch import LightningModule
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import distribute_tensor

from experiments.errors import UserError
from experiments.strategy import AveragedGradients, end_with_first_process, process_count
from lightning_modules.ops.distributed import is_shared_out, whole


class Sharded(AveragedGradients):
    """Each process keeps a part of every weight, of its gradient and of what the optimiser knows about it.

    A network is put together for its forward and its backward, one network at a time, and its gradient is averaged as
    it is shared out again. In validation the networks stay whole, since ranks have different numbers of images there.
    Checkpoints hold whole tensors: they are the files of `AveragedGradients`, and a run may go on with or without this.
    """

    def configure_ddp(self):
        super().configure_ddp()
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        self.networks = [fully_shard(network, mesh=mesh) for network in trained_networks(self.model)]

    def training_step(self, *args, **kwargs):
        module = self.lightning_module
        for network in self.networks:
            network.set_requires_gradient_sync(module.iteration % module.accumulate == 0)
        return super().training_step(*args, **kwargs)

    def on_validation_start(self):
        super().on_validation_start()
        for network in self.networks:
            network.unshard()

    def on_validation_end(self):
        for network in self.networks:
            network.reshard()

    def lightning_module_state_dict(self):
        return whole(super().lightning_module_state_dict())

    def optimizer_state(self, optimizer):
        return whole(super().optimizer_state(optimizer))

    def load_optimizer_state_dict(self, checkpoint):
        pairs = zip(self.optimizers, checkpoint["optimizer_states"], strict=True)
        super().load_optimizer_state_dict({"optimizer_states": [shared_out(state, opt) for opt, state in pairs]})


def trained_networks(module):
    """The networks with trained parameters that a module calls: its children, those of lists and papers one by one."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict | LightningModule):
            yield from trained_networks(child)
        elif any(parameter.requires_grad for parameter in child.parameters()):
            yield child


def shared_out(state, optimizer):
    """An optimiser's whole state as its parameters are shared out: what has the shape of one is distributed like it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def part(value, parameter):
        if not is_shared_out(parameter) or getattr(value, "shape", None) != parameter.shape:
            return value
        place = value.to(parameter.device_mesh.device_type)
        return distribute_tensor(place, parameter.device_mesh, parameter.placements, src_data_rank=None)

    parts = {
        number: {name: part(value, parameters[number]) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    return state | {"state": parts}


def require_shardable(config):
    """UserError for settings that ask for what is not there in parts."""
    if config["ema_decay"] is not None:
        raise UserError("trainer.strategy=fsdp keeps no average of the weights; give ema_decay=null")
    if config["trainer"]["precision"] == "16-mixed":
        raise UserError("trainer.strategy=fsdp has no loss scale of its own; give trainer.precision=bf16-mixed")


def strategy_for(config):
    """The strategy argument of Lightning's Trainer."""
    settings = config["trainer"]
    if settings["strategy"] not in ("auto", "fsdp"):
        raise UserError(f"trainer.strategy must be auto or fsdp; got {settings['strategy']}")
    sharded = settings["strategy"] == "fsdp"
    if sharded:
        require_shardable(config)
    if process_count(settings) * settings["num_nodes"] == 1:
        if sharded:
            raise UserError("trainer.strategy=fsdp shares weights out among processes; give trainer.devices=2 or more")
        return "auto"
    end_with_first_process()
    return Sharded() if sharded else AveragedGradients()
