import multiprocessing
import os

import pytest
import torch
from PIL import Image

from datamodules.folder import Folder
from experiments.benchmarks import data as benchmark
from experiments.benchmarks.data import bare, benchmark_data, decode, in_processes, make_photographs, samples_of, usual
from experiments.errors import UserError
from lightning_modules.color.lab import rgb_to_lab


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    make_photographs(folder, 120, 90, 6)
    return folder


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(benchmark, "MADE", [((64, 48), 3, 1.0)])
    monkeypatch.setattr(benchmark, "WORKERS", (0, 1))
    return {row["way"]: row for row in benchmark_data(size=32, batch=2, rounds=1, batches=2)}


def test_the_photographs_are_all_different_and_of_the_size_asked_for(folder):
    files = sorted(folder.iterdir())
    assert len({file.read_bytes() for file in files}) == len(files) == 6
    assert {Image.open(file).size for file in files} == {(120, 90)}


@pytest.mark.parametrize(
    "settings", [{"resize": 60}, {"resize": 40, "resize_most": 70}, {"resize": 60, "squash": True}, {}]
)
def test_the_bare_loop_gives_the_pixels_of_the_data_module(folder, settings):
    data = Folder(root=str(folder), crop=32, batch_size=4, workers=0, val_share=0.01, **settings)
    images = torch.cat([batch["image"] for batch, _ in zip(loaded(data, 3), range(3), strict=True)])
    samples = samples_of(data, 12)
    assert len(samples) == 12 and any(sample.mirror for sample in samples)
    assert all(bare(sample).equal(image) for sample, image in zip(samples, images, strict=True))


def loaded(data, iterations):
    data.iterations = iterations
    return data.train_dataloader()


def test_the_usual_way_gives_the_same_window_in_lab(folder):
    """But for what a reduced decoding, ours alone, and two roundings leave."""
    data = Folder(root=str(folder), crop=32, resize=60, batch_size=4, workers=0, val_share=0.01)
    for sample in samples_of(data, 4):
        expected = rgb_to_lab(bare(sample)[None].float() / 255)[0]
        assert (usual(sample) - expected).abs().mean() < 1
        assert decode(sample).shape == (90, 120, 3)


def test_every_way_has_a_row_with_ratios_to_those_without_a_data_module(rows):
    loaders = [f"{layout}, {workers} workers" for layout in ("files", "shards") for workers in (0, 1)]
    assert list(rows) == ["decode only", "bare loop", "Pillow and rgb2lab", "bare loop, 1 processes", *loaders]
    for way, row in rows.items():
        assert row["photographs"] == "64 x 48" and row["images_per_core_second"] > 0
        for other in ("decode only", "bare loop", "Pillow and rgb2lab"):
            ratio = row["images_per_core_second"] / rows[other]["images_per_core_second"]
            assert row[f"to {other}"] == pytest.approx(ratio)
        if way in loaders:
            alone = rows["bare loop, 1 processes" if "1 workers" in way else "bare loop"]
            ratio = row["images_per_core_second"] / alone["images_per_core_second"]
            assert row["to bare loop in as many"] == pytest.approx(ratio)
        assert 0 < row["waiting"] < 1 if way in loaders else row["waiting"] == ""


def test_as_many_processes_read_every_sample_once(monkeypatch):
    read = multiprocessing.SimpleQueue()
    monkeypatch.setattr(benchmark, "bare", read.put)
    monkeypatch.setattr(benchmark, "multiprocessing", multiprocessing.get_context("fork"))
    in_processes(list(range(7)), 3)
    assert sorted(read.get() for _ in range(7)) == list(range(7)) and read.empty()


def test_the_large_photographs_have_eight_megapixels_at_least():
    assert max(width * height for (width, height), _, _ in benchmark.MADE) >= 8_000_000


def test_indices_go_where_they_are_sent_and_the_environment_is_as_before(monkeypatch):
    monkeypatch.delenv("CHROMAFILL_CACHE", raising=False)
    with benchmark.indices_in("here"):
        assert os.environ["CHROMAFILL_CACHE"] == os.path.join("here", "indices")
    assert "CHROMAFILL_CACHE" not in os.environ


def test_a_data_set_of_ones_own_is_timed_under_its_settings(folder, monkeypatch):
    monkeypatch.setattr(benchmark, "WORKERS", (0,))
    overrides = ["data=folder", f"data.root={folder}", "data.crop=16", "data.batch_size=2"]
    rows = benchmark_data(rounds=1, batches=1, overrides=overrides)
    assert {row["photographs"] for row in rows} == {str(folder)} and len(rows) == 4


def test_a_data_set_without_files_is_refused():
    with pytest.raises(UserError, match="timed on image files, and Synthetic has none; give data=folder"):
        benchmark_data(rounds=1, overrides=["data=synthetic"])
