import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from toys import Flat
from trained_ranks import trained

from experiments import strategy
from experiments.cli import main
from experiments.errors import UserError
from experiments.reliability.rank_deaths import environment, free_port, of_two_nodes
from experiments.reliability.small_runs import small
from experiments.run_record import RunRecord
from experiments.strategy import AveragedGradients, process_count
from experiments.verbs import papers
from lightning_modules.ops.distributed import LostRank
from lightning_modules.pretrained.checkpoint import read_checkpoint


@pytest.mark.parametrize("paper", ["colorful", "context_encoder"])
def test_ranks_keep_identical_weights_and_running_statistics(paper, tmp_path):
    first, second = trained(tmp_path, paper, 2, "own")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_four_ranks_with_an_image_each_do_too(tmp_path):
    first, *others = trained(tmp_path, "colorful", 4, "own")
    assert all(torch.equal(first[key], other[key]) for other in others for key in first)


@pytest.mark.parametrize("paper", ["colorful", "context_encoder"])
def test_two_ranks_of_batch_2_take_the_steps_of_one_rank_of_batch_4(paper, tmp_path):
    """With batch norm's statistics frozen. In training each rank normalises by its own half of the batch, so that
    two ranks of 2 equal one of 4 only with trainer.sync_batchnorm, which PyTorch has on GPUs alone."""
    (two, _), (one,) = trained(tmp_path, paper, 2, "frozen"), trained(tmp_path, paper, 1, "frozen")
    moved = 0
    for key, value in one.items():
        assert torch.allclose(two[key].float(), value.float(), rtol=1e-4, atol=1e-5), key
        moved += value.numel()
    assert moved > 1000


@pytest.mark.parametrize("paper, optimisers", [("colorful", 1), ("context_encoder", 2)])
def test_ranks_communicate_only_when_an_optimiser_moves(paper, optimisers, tmp_path):
    """One collective for each optimiser, and one for running statistics."""
    first, second = trained(tmp_path, paper, 2, "own", accumulate=4)
    assert all(torch.equal(first[key], second[key]) for key in first)
    for rank in range(2):
        counts = json.loads((tmp_path / f"2_rank{rank}.json").read_text())
        assert counts == [0, 0, 0, optimisers + 1] * 3


@pytest.mark.slow
def test_two_nodes_of_torchrun_end_with_the_weights_of_one_process_with_the_whole_batch(tmp_path):
    """By `chromafill train`, over the loopback device, with a paper that has neither batch norm nor dropout."""
    words = ["train", *small("context_encoder_features"), "iterations=6"]
    program = ["-m", "experiments.cli", *words]
    nodes = of_two_nodes([*program, "data.batch_size=2", f"run_dir={tmp_path / 'two'}"], free_port())
    alone = [sys.executable, *program, "data.batch_size=4", f"run_dir={tmp_path / 'one'}"]
    for commands in (nodes, [alone]):
        outputs, runs = [tmp_path / f"{len(commands)}_{number}" for number in range(len(commands))], []
        for command, path in zip(commands, outputs, strict=True):
            runs.append(subprocess.Popen(command, stdout=path.open("wb"), stderr=subprocess.STDOUT, env=environment()))
        codes = [run.wait(timeout=300) for run in runs]
        assert codes == [0] * len(commands), "\n".join(path.read_text()[-2000:] for path in outputs)
    records = {name: json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "two")}
    assert {name: (of["status"], of["processes"], of["iteration"]) for name, of in records.items()} == {
        "one": ("finished", 1, 6),
        "two": ("finished", 2, 6),
    }
    one, two = (read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["state_dict"] for name in ("one", "two"))
    assert one.keys() == two.keys() and sum(value.numel() for value in one.values()) > 1000
    for key, value in one.items():
        assert torch.allclose(two[key].float(), value.float(), rtol=1e-3, atol=1e-5), key


class Peer:
    """Stands for gloo with a process that is gone."""

    def __call__(self, *args, **kwargs):
        raise RuntimeError("[/src/pair.cc:545] Read error [127.0.0.1]:24: Connection reset by peer. This is. Look")


@pytest.mark.parametrize("call", ["barrier", "broadcast", "reduce"])
def test_a_lost_process_is_one_line_whatever_the_others_were_doing(call, monkeypatch):
    monkeypatch.setattr(DDPStrategy, call, Peer())
    monkeypatch.setattr("lightning_modules.ops.distributed.distributed.get_rank", lambda: 3)
    expected = (
        "rank 3 waited for another process of this run, which is gone; its own error stands further up, unless it was "
        "killed (Read error [127.0.0.1]:24: Connection reset by peer)"
    )
    with pytest.raises(LostRank) as lost:
        getattr(AveragedGradients(), call)(torch.ones(1))
    assert str(lost.value) == expected


def test_a_lost_process_is_told_before_the_run_is_torn_down_and_once(capsys, monkeypatch):
    lost = LostRank("rank 0 waited")
    AveragedGradients().on_exception(lost)
    assert capsys.readouterr().err == "rank 0 waited\n"
    monkeypatch.setattr(papers, "run", Mock(side_effect=lost))
    assert main(["papers"]) == 1 and capsys.readouterr().err == ""


def test_torchrun_is_left_the_traceback_of_the_cause_but_not_of_what_it_caused(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    strategy = AveragedGradients()
    for consequence in (LostRank("gone"), SystemExit(75), KeyboardInterrupt()):
        strategy.on_exception(consequence)
    assert not (tmp_path / "error.json").exists()
    try:
        raise ZeroDivisionError("of this rank")
    except ZeroDivisionError as error:
        strategy.on_exception(error)
    left = json.loads((tmp_path / "error.json").read_text())["message"]
    assert left["message"] == "ZeroDivisionError: of this rank" and "Traceback" in left["extraInfo"]["py_callstack"]


def test_ranks_that_resumed_from_different_checkpoints_do_not_begin(monkeypatch):
    module = Flat()
    starts = [(6, 24), (4, 16), (6, 24)]
    monkeypatch.setattr(strategy, "gather_objects", lambda own: [own, *starts[1:]])
    expected = (
        r"different checkpoints: iteration 6 \(24 samples\) on rank 0, 2; iteration 4 \(16 samples\) on rank 1; "
        "run_dir must be a folder that all machines share, or resume the path of the same file on each$"
    )
    module.iteration, module.samples_seen = 6, 24
    with pytest.raises(UserError, match=expected):
        strategy.require_same_start(module)
    starts[1] = (6, 24)
    strategy.require_same_start(module)


def test_under_slurm_the_first_process_of_a_stopped_run_leaves_last(monkeypatch):
    done, first = [], AveragedGradients()
    monkeypatch.setattr(strategy.time, "sleep", done.append)
    monkeypatch.setattr(AveragedGradients, "is_global_zero", True)
    first.heartbeat = Mock(stop=lambda well: done.append(well))
    first.on_exception(SystemExit(75))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    first.on_exception(ZeroDivisionError())
    first.on_exception(SystemExit(75))
    assert done == [True, False, True, strategy.EXIT]


def test_a_lost_machine_is_recorded_before_the_process_ends(tmp_path, monkeypatch, capsys):
    ends, record = [], Mock(spec=RunRecord)
    alone = AveragedGradients()
    alone._launcher = Mock(kill=ends.append)
    alone._lightning_module = Mock(trainer=Mock(callbacks=[Mock(), record]))
    monkeypatch.setattr(strategy.os, "_exit", ends.append)
    alone.end_without("rank 0 ends: nothing was heard")
    (_, _, lost), _ = record.on_exception.call_args
    assert isinstance(lost, LostRank) and str(lost) == capsys.readouterr().err.strip()
    assert ends == [signal.SIGKILL, 1]


CHILD = """
import sys, time
from experiments.strategy import end_with_first_process
end_with_first_process(every=0.1)
print("watching", flush=True)
time.sleep(60)
"""
FIRST = """
import os, subprocess, sys, time
os.environ["CHROMAFILL_FIRST_PROCESS"] = str(os.getpid() if sys.argv[1] == "first" else 1)
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
"""


@pytest.mark.parametrize("who", ["first", "other"])
def test_a_process_ends_with_the_one_that_started_it_and_with_no_other(who):
    """FIRST ends at once; the child, asleep, goes along only where FIRST is named as the first process."""
    first = subprocess.Popen([sys.executable, "-c", FIRST, who, CHILD], stdout=subprocess.PIPE, text=True)
    child = int(first.stdout.readline())
    first.wait()
    deadline = time.monotonic() + (20 if who == "first" else 1)
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(child) == (who == "other")
    if who == "other":
        os.kill(child, signal.SIGKILL)


def alive(pid):
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_batch_norms_over_all_processes_keep_statistics_that_are_averaged():
    trainer = pl.Trainer(accelerator="cpu", devices=2, strategy=AveragedGradients(), sync_batchnorm=True, logger=False)
    network = trainer.strategy._layer_sync.apply(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)))
    assert isinstance(network[1], nn.SyncBatchNorm)
    found = strategy.running_statistics(network)
    assert [id(each) for each in found] == [id(network[1].running_mean), id(network[1].running_var)]


def settings(**changes):
    return {"devices": "auto", "accelerator": "cpu", "num_nodes": 1} | changes


def test_processes_are_counted_from_numbers_lists_and_auto(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert process_count(settings()) == 1
    assert process_count(settings(devices=3)) == 3
    assert process_count(settings(devices=[0, 2])) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert process_count(settings()) == 4


def test_a_device_setting_that_is_no_count_is_refused(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    with pytest.raises(UserError, match="trainer.devices must be a count, a list of GPU numbers or auto; got two"):
        process_count(settings(devices="two"))
