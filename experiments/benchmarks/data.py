"""How fast images come out of a data set, against the bare work on the same files and against the usual way.

Everything is measured in one run and in processor time, of loader processes too, because only ratios carry over to
another machine and other work on it lengthens the elapsed time alone.
"""

import multiprocessing
import os
import resource
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.profilers import SimpleProfiler
from PIL import Image

from datamodules.file_source import FileSource
from datamodules.folder import Folder
from datamodules.packing import PackSettings
from datamodules.photos import PHOTOGRAPHS, photo_path
from datamodules.shards import Shards
from experiments.compose import build, compose_config
from experiments.errors import UserError
from experiments.packing import pack_data
from lightning_modules.colorization.colorful import Colorful

WORKERS = (0, 1, 2)
STEPS = 8  # of the training that waits for its data
MADE = [((500, 375), 40, 1.0), ((3456, 2592), 8, 0.1)]  # (width, height), files, share of the batches that are read


@dataclass(frozen=True)
class Sample:
    """One image to read: resized to `size` (height, width), and of that a square of `crop` pixels at `corner`."""

    path: str
    size: tuple[int, int]
    corner: tuple[int, int]  # top, left
    crop: int
    mirror: bool


def make_photographs(folder, width, height, count):
    """Writes JPEGs of quality 90: scikit-image's photographs, a part of each enlarged, with a film's grain."""
    for number in range(count):
        rng = np.random.default_rng(number)
        picture = Image.open(photo_path(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])).convert("RGB")
        scale = rng.uniform(0.6, 1) * min(picture.width / width, picture.height / height)
        left, top = (
            rng.uniform(0, whole - scale * part) for whole, part in ((picture.width, width), (picture.height, height))
        )
        box = (left, top, left + scale * width, top + scale * height)
        pixels = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box), np.float32)
        grain = rng.normal(0, 4, (height, width, 1)).astype(np.float32)
        grainy = Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
        grainy.save(os.path.join(folder, f"{number:03d}.jpg"), quality=90)


@contextmanager
def indices_in(folder):
    """What is remembered of data sets inside goes when the folder goes."""
    before = os.environ.get("CHROMAFILL_CACHE")
    os.environ["CHROMAFILL_CACHE"] = os.path.join(folder, "indices")
    try:
        yield
    finally:
        del os.environ["CHROMAFILL_CACHE"]
        if before is not None:
            os.environ["CHROMAFILL_CACHE"] = before


def samples_of(data, count):
    """What the first `count` samples of a training see, worked out beforehand. Raises UserError without files."""
    dataset = data.dataset("train", train=True)
    if not isinstance(dataset.source, FileSource):
        raise UserError(f"the loader is timed on image files, and {type(data).__name__} has none; give data=folder")
    data.iterations = -(-count // data.config.batch_size)
    keys = [key for batch in data.train_dataloader().batch_sampler for key in batch][:count]
    return [sample_of(dataset, *key) for key in keys]


def sample_of(dataset, epoch, position):
    path = os.path.join(dataset.source.root, dataset.source.name(position))
    view = dataset.view(epoch, position)
    with Image.open(path) as image:
        size = image.height, image.width
    return Sample(path, view.resized(*size), view.corner(*size), view.crop, view.mirror)


def decode(sample):
    """The file as uint8 (H,W,3)."""
    with Image.open(sample.path) as image:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def bare(sample):
    """The window as uint8 (3,crop,crop) with the least work: a JPEG decoded no larger than need be, the fastest resize
    on a CPU (PyTorch's on interleaved pixels, up to the window's end), the window laid out once."""
    with Image.open(sample.path) as image:
        height, width = image.height, image.width
        shortest = min(sample.size)
        if min(image.size) >= 2 * shortest:
            image.draft(None, (shortest, shortest))
        reduced = round(width / image.width)
        pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    (top, left), ends = sample.corner, [first + sample.crop for first in sample.corner]
    if sample.size != (height, width):
        scales = sample.size[0] * reduced / height, sample.size[1] * reduced / width
        planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        planes = torch.ops.aten._upsample_bilinear2d_aa(planes, ends, False, *scales)
        pixels = planes[0].permute(1, 2, 0).numpy()
    window = pixels[top : ends[0], left : ends[1]][:, :: -1 if sample.mirror else 1]
    return torch.from_numpy(np.ascontiguousarray(window.transpose(2, 0, 1)))


def usual(sample):
    """The window as float Lab (3,crop,crop), as most projects make it: all of the picture decoded and resized, a crop
    of that, and the colours of each sample converted by scikit-image."""
    from skimage.color import rgb2lab

    with Image.open(sample.path) as image:
        picture = image.convert("RGB").resize(sample.size[::-1], Image.Resampling.BILINEAR)
    top, left = sample.corner
    picture = picture.crop((left, top, left + sample.crop, top + sample.crop))
    if sample.mirror:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(rgb2lab(np.asarray(picture)).transpose(2, 0, 1)).float()


def in_processes(samples, count):
    """The bare loop on every so many-th sample in each of `count` processes, which keep nothing: what as many loader
    processes could reach, and less each than one alone."""
    processes = [multiprocessing.Process(target=read_each, args=(samples[first::count],)) for first in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def read_each(samples):
    torch.set_num_threads(1)  # as loader processes do
    for sample in samples:
        bare(sample)


WAYS = {"decode only": decode, "bare loop": bare, "Pillow and rgb2lab": usual}


def load(data, workers):
    """Every training batch once."""
    data.config.workers = workers
    for _ in data.train_dataloader():
        pass


def processor_seconds():
    """Of this process and of those that it started and that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def timed(work):
    begin = processor_seconds()
    work()
    return processor_seconds() - begin


def waiting(data, workers):
    """Share of the elapsed time that a training of a narrow Colorful on this CPU waits for its batches."""
    data.config.workers, data.iterations = workers, STEPS
    profiler = SimpleProfiler()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_val_batches=0,
        profiler=profiler,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(Colorful(width=8), data)
    waited, worked = (
        sum(profiler.recorded_durations[action][1:STEPS])  # the first batch waits for the workers' start
        for action in ("[_TrainingEpochLoop].train_dataloader_next", "run_training_batch")
    )
    return waited / (waited + worked)


def as_files(folder, settings):
    """The data module of a folder of photographs."""
    return Folder(root=folder, val_share=0.01, **settings)


def as_shards(folder, settings):
    """The same as JPEGs in shards, no larger than the settings want them."""
    shards = os.path.join(folder, "shards")
    packing = PackSettings(side=settings["resize"])
    pack_data(shards, as_files(folder, settings), ["train"], packing, workers=0, about={"data": "folder"})
    return Shards(root=shards, **settings)


LAYOUTS = {  # name: function of a folder of photographs and of the settings -> data module on them
    "files": as_files,  # the one whose files are read in the other ways too
    "shards": as_shards,
}


def compare(name, modules, batches, rounds):
    """One row for each way to read the same samples. modules: {layout: data module} of the same photographs."""
    first = next(iter(modules.values()))
    count = batches * first.config.batch_size
    samples = samples_of(first, count)
    ways = {way: lambda read=read: [read(sample) for sample in samples] for way, read in WAYS.items()}
    for number in filter(None, WORKERS):
        ways[bare_in(number)] = lambda number=number: in_processes(samples, number)
    loaders = {}
    for layout, data in modules.items():
        data.iterations = batches
        for workers in WORKERS:
            way = f"{layout}, {workers} workers"
            loaders[way] = data, workers
            ways[way] = lambda data=data, workers=workers: load(data, workers)
    spent = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            spent[way].append(timed(work))
    rate = {way: count / median(seconds) for way, seconds in spent.items()}
    return [
        {
            "photographs": name,
            "way": way,
            "images_per_core_second": rate[way],
            **{f"to {other}": rate[way] / rate[other] for other in WAYS},
            "to bare loop in as many": rate[way] / rate[bare_in(loaders[way][1])] if way in loaders else "",
            "waiting": waiting(*loaders[way]) if way in loaders else "",
        }
        for way in ways
    ]


def bare_in(number):
    """What the bare loop is called in as many processes as there are loader processes."""
    return f"bare loop, {number} processes" if number else "bare loop"


def benchmark_data(size=224, batch=16, rounds=5, batches=60, overrides=()):
    """Rows for the ways to read the data set of `overrides`, or photographs of two sizes that are made for it.

    Each has photographs, way, images_per_core_second (the median of the rounds; processor time of all processes), its
    ratios to the three ways without a data module, and for data modules the ratio to the bare loop in as many processes
    and `waiting`, the share of its time that a small training on this CPU waits for batches. The photographs made are
    brought to a shorter side of 8/7 `size`, of which a window of `size` is taken; of the large ones a tenth of the
    batches is read. The start of processes is counted. Rows of shards are there where litdata is installed.
    """
    if overrides:
        config = compose_config(list(overrides), "dataset")
        return compare(config["data"]["root"], {"files": build(config["data"], "data")}, batches, rounds)
    settings = {"crop": size, "resize": 8 * size // 7, "batch_size": batch}
    rows = []
    for (width, height), files, share in MADE:
        with tempfile.TemporaryDirectory(prefix="chromafill-") as folder, indices_in(folder):
            make_photographs(folder, width, height, files)
            layouts = [name for name in LAYOUTS if name != "shards" or find_spec("litdata")]
            modules = {name: LAYOUTS[name](folder, settings) for name in layouts}
            rows += compare(f"{width} x {height}", modules, max(1, round(share * batches)), rounds)
    return rows
