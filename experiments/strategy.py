"""Several processes: which strategy, and how many processes there will be."""

import os
import signal
import sys
import threading
import time

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed
from torch.distributed.distributed_c10d import _get_default_store
from torch.distributed.elastic.multiprocessing.errors import get_error_handler
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.errors import UserError
from experiments.heartbeat import Heartbeat
from experiments.run_record import RunRecord
from lightning_modules.ops.distributed import LostRank, average_over_ranks_, gather_objects, meeting

EXIT = 5.0  # seconds in which a process ends that has nothing left to do
FIRST_PROCESS = "CHROMAFILL_FIRST_PROCESS"  # its number, for the processes that it starts


class AveragedGradients(DDPStrategy):
    """DDP without the DistributedDataParallel wrapper.

    The wrapper waits for the gradient of every parameter in every backward, which a step that moves the generator or
    the discriminator alone does not give; searching the graph for unused parameters costs time in each. Here
    `PaperModule.update` averages the gradients of the optimiser that is about to step, in one collective, so the same
    code serves papers with one optimiser and with two, and accumulation communicates only when an optimiser moves.
    Averaging buckets of 25 MB while backward still runs took 0.95, 1.08 and 1.02 of the time of this (Context Encoder,
    GLCIC and Colorful in `chromafill benchmark ddp`, two cores), which is no reason for its bookkeeping.

    In training, batch norm normalises each process by its own share of the batch. Its running statistics are averaged
    when an optimiser moves and before validation, so that all processes validate with the same network and any of them
    could write the checkpoint; between those times they are linear in what is averaged, so nothing is lost.
    """

    heartbeat = None

    def configure_ddp(self):
        require_same_start(self.model)
        store = _get_default_store().clone()  # a connection of its own, that no collective holds
        self.heartbeat = Heartbeat(store, self.global_rank, self.world_size, self.end_without)
        self.heartbeat.start()
        for tensor in self.model.state_dict().values():
            distributed.broadcast(tensor, src=0)

    def barrier(self, *args, **kwargs):
        with meeting():
            super().barrier(*args, **kwargs)

    def broadcast(self, *args, **kwargs):
        with meeting():
            return super().broadcast(*args, **kwargs)

    def reduce(self, *args, **kwargs):
        with meeting():
            return super().reduce(*args, **kwargs)

    def on_exception(self, exception):
        """Leaves the traceback for torchrun to print last, as the cause of the run's end. Prints a LostRank before
        anything is torn down: Lightning kills its first process up to five seconds after it has lost another."""
        super().on_exception(exception)
        if self.heartbeat is not None:
            self.heartbeat.stop(well=not isinstance(exception, Exception))
            if isinstance(exception, SystemExit) and self.is_global_zero and "SLURM_JOB_ID" in os.environ:
                time.sleep(EXIT)  # srun kills the others when this one leaves, and its code 75 would be lost for 137
        if isinstance(exception, LostRank):
            print(exception, file=sys.stderr, flush=True)
            exception.printed = True
        elif isinstance(exception, Exception):
            get_error_handler().record_exception(exception)

    def end_without(self, message):
        """Ends this process, and those that Lightning started from it, while the main thread waits for a lost one."""
        print(message, file=sys.stderr, flush=True)
        record = threading.Thread(target=self.record_loss, args=(LostRank(message),), daemon=True)
        record.start()
        record.join(EXIT)  # the disk may be out of reach as well
        self.launcher.kill(signal.SIGKILL)
        os._exit(1)

    def record_loss(self, lost):
        trainer = self.lightning_module.trainer
        for callback in trainer.callbacks:
            if isinstance(callback, RunRecord):
                callback.on_exception(trainer, self.lightning_module, lost)

    def teardown(self):
        if self.heartbeat is not None:
            self.heartbeat.stop()
        super().teardown()

    def training_step(self, *args, **kwargs):
        output = super().training_step(*args, **kwargs)
        if self.lightning_module.iteration % self.lightning_module.accumulate == 0:
            average_over_ranks_(running_statistics(self.model))
        return output

    def on_validation_start(self):
        average_over_ranks_(running_statistics(self.model))


def require_same_start(module):
    """UserError where ranks have resumed from different checkpoints, as they do from folders that are not shared."""
    starts = {}  # (iteration, samples seen): ranks
    for rank, start in enumerate(gather_objects((module.iteration, module.samples_seen))):
        starts.setdefault(start, []).append(str(rank))
    if len(starts) > 1:
        found = [
            f"iteration {iteration} ({samples} samples) on rank {', '.join(ranks)}"
            for (iteration, samples), ranks in starts.items()
        ]
        raise UserError(
            f"the processes would go on from different checkpoints: {'; '.join(found)}; run_dir must be a folder "
            "that all machines share, or resume the path of the same file on each"
        )


def end_with_first_process(every=2.0):
    """Lets a process that Lightning started end soon after the one that started it, even from inside a collective.

    Lightning's first process ends the others when one of them fails, but nobody does when it is itself killed: on GPUs
    they would wait for it, and keep the memory, for half an hour. Looks every so many seconds.
    """
    first = int(os.environ.setdefault(FIRST_PROCESS, str(os.getpid())))
    if os.getppid() != first:
        return

    def watch():
        while os.getppid() == first:
            time.sleep(every)
        print(f"process {os.getpid()} ends: process {first}, which started it, is gone", file=sys.stderr, flush=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


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
