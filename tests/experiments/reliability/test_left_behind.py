import json
import shutil

import pytest
import torch

from experiments.reliability.left_behind import differences, same_bits

CHECKPOINT = {
    "state_dict": {"w": torch.tensor([1.0, float("nan")]), "count": torch.tensor(3)},
    "current_model_state": {"w": torch.tensor([0.5, 0.5])},
    "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}],
    "callbacks": {"RunRecord": {"scores": {"val/psnr": 20.0}, "iterations_per_second": 3.0}},
    "iteration": 4,
    "samples_seen": 16,
    "config": {"run_dir": "here"},
}


@pytest.fixture
def two(tmp_path):
    """Two folders with the same in them."""
    first, second = tmp_path / "first", tmp_path / "second"
    for part in ("checkpoints", "samples"):
        (first / part).mkdir(parents=True)
    for name in ("last", "best"):
        torch.save(CHECKPOINT, first / "checkpoints" / f"{name}.ckpt")
    (first / "metrics.csv").write_text("iteration,loss,iterations_per_second\n1,0.5,7\n2,0.4,7\n")
    (first / "samples" / "0000004.png").write_bytes(b"png")
    (first / "run.json").write_text(json.dumps({"status": "finished", "iteration": 4, "scores": {}, "started": "now"}))
    shutil.copytree(first, second)
    return first, second


def change(checkpoint, *keys, value):
    for key in keys[:-1]:
        checkpoint = checkpoint[key]
    checkpoint[keys[-1]] = value


def rewrite(folder, *keys, value):
    path = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint, *keys, value=value)
    torch.save(checkpoint, path)


def test_equal_runs_have_no_difference_whatever_their_clocks_and_folders(two):
    first, second = two
    rewrite(second, "callbacks", "RunRecord", "iterations_per_second", value=9.0)
    rewrite(second, "config", "run_dir", value="there")
    (second / "metrics.csv").write_text("iteration,loss,iterations_per_second\n1,0.5,8\n2,0.4,9\n")
    assert differences(first, second) == []


@pytest.mark.parametrize(
    ("keys", "value", "place"),
    [
        (("state_dict", "w"), torch.tensor([1.0 + 2**-23, float("nan")]), "last.ckpt: state_dict.w"),
        (("state_dict", "count"), torch.tensor(3.0), "last.ckpt: state_dict.count"),
        (("current_model_state", "w"), torch.tensor([0.5, 0.6]), "last.ckpt: current_model_state.w"),
        (("optimizer_states", 0, "state", 0, "exp_avg"), torch.ones(2), "optimizer_states.0.state.0.exp_avg"),
        (("optimizer_states", 0, "param_groups", 0, "lr"), 0.2, "optimizer_states.0.param_groups.0.lr"),
        (("callbacks", "RunRecord", "scores", "val/psnr"), 20.1, "callbacks.RunRecord.scores.val/psnr"),
        (("samples_seen",), 17, "last.ckpt: samples_seen"),
        (("extra",), 1, "extra is in one of them"),
    ],
)
def test_a_change_in_a_checkpoint_is_found_and_named(keys, value, place, two):
    rewrite(two[1], *keys, value=value)
    (found,) = differences(*two)
    assert place in found


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("metrics.csv", "iteration,loss,iterations_per_second\n1,0.5,7\n", "metrics.csv: row 2 is in one of them"),
        ("metrics.csv", "iteration,loss,iterations_per_second\n1,0.5,7\n2,0.41,7\n", "metrics.csv: row 2.loss"),
        ("samples/0000004.png", "pnh", "samples: 0000004.png"),
        ("samples/0000005.png", "png", "samples: 0000005.png is in one of them"),
        ("run.json", '{"status": "running", "iteration": 4, "scores": {}}', "run.json: status"),
        ("checkpoints/last.ckpt.tmp", "", "left lying: last.ckpt.tmp"),
        ("checkpoints/best.ckpt", "", "best.ckpt: file is in one of them"),
    ],
)
def test_a_change_in_a_file_is_found_and_named(name, content, place, two):
    (two[1] / name).write_text(content)
    assert place in differences(*two)


def test_bits_tell_the_two_zeros_apart_and_not_one_nan():
    assert same_bits(torch.tensor(float("nan")), torch.tensor(float("nan")))
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.zeros(2), torch.zeros(1, 2))
