import os

import pytest
import torch
from safetensors.torch import save_file

from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.pth import pth_tensors, safetensors_tensors

STATE = {"conv.weight": torch.arange(6.0).view(2, 3), "conv.bias": torch.ones(2)}


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"epoch": 3, "state_dict": STATE},
        {"model": {"state_dict": STATE}, "optimizer": {"state": {}}},
        {f"module.{key}": value for key, value in STATE.items()},
        {"state_dict": {f"module.{key}": value for key, value in STATE.items()}},
        STATE | {"step": 5},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_is_found_alone_or_inside(tmp_path, content, zipped):
    found = pth_tensors(saved(tmp_path / "a.pth", content, _use_new_zipfile_serialization=zipped))
    assert found.keys() == STATE.keys() and all(torch.equal(found[key], STATE[key]) for key in STATE)


def test_a_safetensors_file_is_read(tmp_path):
    save_file(STATE, tmp_path / "a.safetensors")
    assert torch.equal(safetensors_tensors(tmp_path / "a.safetensors")["conv.weight"], STATE["conv.weight"])


class Evil:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_runs_nothing(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path / "evil.pth", STATE | {"extra": Evil()}, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="evil.pth is not a readable PyTorch file"):
        pth_tensors(path)
    assert not (tmp_path / "made-by-a-pickle").exists()


@pytest.mark.parametrize("reader", [pth_tensors, safetensors_tensors])
def test_broken_files_are_one_line(tmp_path, reader):
    path = tmp_path / "a.pth"
    torch.save(STATE, path) if reader is pth_tensors else save_file(STATE, path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is not a readable") as caught:
            reader(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, torch.ones(2), {"state_dict": {"a": 1}}])
def test_files_without_named_tensors_are_refused(tmp_path, content):
    with pytest.raises(CheckpointError, match="holds no tensors under names"):
        pth_tensors(saved(tmp_path / "a.pth", content))


def test_a_checkpoint_of_this_project_is_named(tmp_path):
    path = saved(tmp_path / "a.ckpt", {"state_dict": STATE, "config": {}, "iteration": 1})
    with pytest.raises(CheckpointError, match="is a chromafill checkpoint already"):
        pth_tensors(path)


def test_an_expanded_tensor_is_refused(tmp_path):
    path = saved(tmp_path / "a.pth", {"w": torch.ones(1).expand(1000, 1000)})
    with pytest.raises(CheckpointError, match="'w' has more elements than the file holds for it"):
        pth_tensors(path)


ODD = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "float32, sparse_coo, cpu"),
    "CSR": (lambda: torch.eye(3).to_sparse_csr(), "float32, sparse_csr, cpu"),
    "meta": (lambda: torch.ones(3, device="meta"), "float32, strided, meta"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "float32, strided, cpu"),
    "quantised": (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "qint8, strided, cpu"),
    "float8": (lambda: torch.ones(3).to(torch.float8_e4m3fn), "float8_e4m3fn, strided, cpu"),
    "complex": (lambda: torch.ones(3, dtype=torch.complex64), "complex64, strided, cpu"),
}


@pytest.mark.filterwarnings("ignore")  # of PyTorch, when it makes and reads such tensors
@pytest.mark.parametrize("odd", ODD)
def test_tensors_that_are_no_plain_arrays_of_real_numbers_are_refused(tmp_path, odd):
    make, kind = ODD[odd]
    path = saved(tmp_path / "a.pth", STATE | {"odd": make()})
    with pytest.raises(CheckpointError, match=f"a.pth: 'odd' is no plain array of real numbers but {kind}"):
        pth_tensors(path)


def test_so_are_those_of_safetensors(tmp_path):
    save_file({"w": torch.ones(3).to(torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="'w' is no plain array of real numbers but float8"):
        safetensors_tensors(tmp_path / "a.safetensors")


def test_a_long_name_is_shortened(tmp_path):
    path = saved(tmp_path / "a.pth", {"w " * 10_000: torch.ones(1).expand(9)})
    with pytest.raises(CheckpointError, match="has more elements") as caught:
        pth_tensors(path)
    assert len(str(caught.value)) < 200 + len(str(path))
