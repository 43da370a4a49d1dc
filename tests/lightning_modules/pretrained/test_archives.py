import io
import pickle
import tracemalloc
import zipfile

import pytest
import torch

from lightning_modules.pretrained.archives import is_inflated
from lightning_modules.pretrained.checkpoint import CheckpointError
from lightning_modules.pretrained.pth import pth_tensors


def repacked(path, compression):
    file = io.BytesIO()
    torch.save({"a": torch.zeros(10_000)}, file)
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w", compression) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return path


def test_a_compressed_file_claims_more_than_it_has(tmp_path):
    assert is_inflated(repacked(tmp_path / "a.pth", zipfile.ZIP_DEFLATED))
    assert not is_inflated(repacked(tmp_path / "b.pth", zipfile.ZIP_STORED))


def test_what_is_no_zip_file_claims_nothing(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"\x80\x02}q\x00.")
    assert not is_inflated(tmp_path / "a.pth")
    torch.save({"a": torch.zeros(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert not is_inflated(tmp_path / "old.pth")


class Grown:
    """Its pickle asks for a gigabyte of zeros."""

    def __reduce__(self):
        return bytearray, (10**9,)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_pickle_that_asks_for_memory_is_refused_without_giving_it(tmp_path, is_zip):
    path = tmp_path / "a.pth"
    tracemalloc.start()
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=is_zip)
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as target:
        target.writestr("archive/data.pkl", pickle.dumps({"a": Grown()}, protocol=2))
        target.writestr("archive/version", b"3")
    (tmp_path / "c.pth").write_bytes(pickle.dumps({"a": Grown()}, protocol=2))
    bad = tmp_path / ("b.pth" if is_zip else "c.pth")
    assert is_inflated(bad) and not is_inflated(path)
    with pytest.raises(CheckpointError, match="claims to hold more bytes than it has"):
        pth_tensors(bad)
    assert tracemalloc.get_traced_memory()[1] < 10**8
    tracemalloc.stop()


def test_an_empty_file_holds_nothing(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"")
    assert not is_inflated(tmp_path / "a.pth")


def test_a_compressed_file_is_refused_before_pytorch_reads_it(tmp_path):
    with pytest.raises(CheckpointError, match="claims to hold more bytes than it has"):
        pth_tensors(repacked(tmp_path / "a.pth", zipfile.ZIP_DEFLATED))
    assert pth_tensors(repacked(tmp_path / "b.pth", zipfile.ZIP_STORED))["a"].shape == (10_000,)
