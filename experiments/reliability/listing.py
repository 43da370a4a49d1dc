"""Data sets of millions of images: time until a run knows its files, memory of the loader's workers, cost of an order.

The paths of ImageNet and Places2 are made up and read from a list, since millions of files would take hours to create;
a scan of real folders is timed on a smaller tree.
"""

import multiprocessing
import os
import re
import resource
import time
from dataclasses import dataclass
from itertools import islice

import torch
from torch.utils.data import DataLoader, Dataset

from datamodules.index import index_folder, index_list
from datamodules.places import listed
from datamodules.sampler import StreamBatches
from experiments.reliability.finding import Finding

TITLE = "Data sets of millions of images"
ROLLUP = "/proc/self/smaps_rollup"
OLD = 100  # seconds: time stamps of the last two seconds are not trusted, see datamodules/index.py


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Paths as a data set has them."""

    name: str
    count: int
    line: str  # of position `i` in folder `f`, with its label

    def write(self, file):
        with open(file, "w", encoding="ascii") as out:
            out.writelines(self.line.format(i=i, f=i * 1000 // self.count) for i in range(self.count))
        aged(file)


IMAGENET = Listing(name="ImageNet", count=1_281_167, line="n{f:08}/n{f:08}_{i:07}.JPEG {f}\n")
PLACES2 = Listing(name="Places2", count=8_100_000, line="/a/folder_{f:04}/outdoor/{i:08}.jpg {f}\n")

START = 1.0  # seconds, for whatever the machine does besides
COLD = 20e-6  # seconds for each path of a list, the first time; measured 2.2e-6 to 5.5e-6 on cores that others used too
SCAN = 100e-6  # seconds for each file of a tree, the first time
WARM = 1.0  # seconds, every later time
BESIDE = 12  # bytes of an index for each path, beyond those of the list: an offset and a label
PEAK = 100  # bytes for each path while the index is made, beyond those of the list
NOISE = 8 << 20  # bytes that a process takes for other things meanwhile
ORDER = 1e-6  # seconds for each image, once an epoch
KEY = 20e-6  # seconds for each key that the sampler hands out
GROWTH = 4 << 20  # bytes that a worker's own memory may grow by from its first batches on
FEW = 1000  # images of the data set that a worker's own memory is compared with
OWN = 24 << 20  # bytes that it may exceed that by


def findings(effort, folder):
    yield scan(folder / "tree", files=100_000, folders=1000)
    for listing in (IMAGENET, PLACES2):
        yield from listed_paths(listing, folder / listing.name)
    yield orders_made(length=10_007, epochs=5)


def listed_paths(listing, folder, workers=(0, 2), batches=300):
    """Start-up, size, order and workers' memory for one list."""
    folder.mkdir(parents=True)
    file, cache, count = folder / "list.txt", folder / "cache", listing.count
    listing.write(file)
    text = os.path.getsize(file)
    cold, peak, size = in_child(start_up, file, cache)
    on_disk(cache)
    warm, _, _ = in_child(start_up, file, cache)
    order, key = in_child(order_cost, count, cache)
    what = f"{listing.name}, {count:,} paths of a list"
    yield bounded(f"{what}: the first start", cold, START + COLD * count, "s")
    yield bounded(f"{what}: a later start", warm, WARM, "s")
    yield bounded(f"{what}: the index, {size / count:.1f} bytes a path,", size, text + BESIDE * count, "B")
    yield bounded(f"{what}: memory while it is made", peak, text + PEAK * count + NOISE, "B")
    yield bounded(f"{what}: the order of an epoch", order, START + ORDER * count, "s")
    yield bounded(f"{what}: each key of the sampler", key, KEY, "s")
    for number in workers:
        yield workers_memory(what, file, cache, number, batches, order=8 * count)


def bounded(what, value, most, unit):
    """Whether a figure stays below its bound."""
    what = f"{what} stays below {readable(most, unit)}"
    return Finding(what=what, tried=1, held=int(value <= most), note=readable(value, unit))


def readable(value, unit):
    """20.3 s, 0.4 ms, 12.0 us, 68.9 MB."""
    scale, prefix = (
        (1e-6, "M") if unit == "B" else (1, "") if value >= 0.1 else (1e3, "m") if value >= 1e-4 else (1e6, "u")
    )
    return f"{value * scale:,.1f} {prefix}{unit}"


def aged(path):
    """Gives a file or folder a time stamp that an index trusts."""
    os.utime(path, (time.time() - OLD, time.time() - OLD))


def on_disk(folder):
    """Has the files of a folder written out: until then the kernel counts their pages as written by who maps them."""
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            os.fsync(file.fileno())


def in_child(function, *arguments):
    """What a function gives in a process of its own, whose index cache is the last argument."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def answer(sender, function, arguments):
    """Sends what the function gives for all but the last argument."""
    *arguments, cache = arguments
    os.environ["CHROMAFILL_CACHE"] = str(cache)
    torch.set_num_threads(1)
    sender.send(function(*arguments))


def start_up(file):
    """(seconds until the paths of a list are there, bytes that this took at most, bytes of the index)."""
    before = resident()
    began = time.perf_counter()
    paths = index_list(file, listed)
    seconds = time.perf_counter() - began
    return seconds, max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before), paths.nbytes


def resident():
    """Bytes of this process in memory now, at most those of its peak so far."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def order_cost(length):
    """(seconds for the order of one epoch, seconds for each key of a batch of 64)."""
    began = time.perf_counter()
    batches = StreamBatches(length, 64, 500, seed=0)
    batches.order(0)
    order = time.perf_counter() - began
    iterator = iter(batches)
    next(iterator)  # makes the order once more
    began = time.perf_counter()
    count = sum(len(keys) for keys in iterator)
    return order, (time.perf_counter() - began) / count


class Paths(Dataset):
    """Reads the path of an image, in place of the image. -> bytes of memory of the process: own, proportional share."""

    def __init__(self, paths):
        self.paths = paths

    def __getitem__(self, key):
        self.paths[key[1]]
        return torch.tensor(memory() if key[1] % 16 == 0 else (0, 0))


def memory():
    """(written pages of this process alone, proportional set size) in bytes. Pages of the mapped index are not
    written: they are the file's, shared by all processes, and go when memory is short."""
    with open(ROLLUP) as file:
        found = dict(re.findall(r"^(Private_Dirty|Pss): +(\d+) kB", file.read(), re.MULTILINE))
    return int(found["Private_Dirty"]) * 1024, int(found["Pss"]) * 1024


def loader_memory(file, workers, batches):
    """(own memory of the largest worker in the first third of the batches, in the last, largest share) in bytes."""
    dataset = Paths(index_list(file, listed))
    sampler = StreamBatches(len(dataset.paths), 64, batches, seed=0)
    loader = DataLoader(dataset, batch_sampler=sampler, num_workers=workers)
    seen = torch.stack([batch.max(0).values for batch in loader])  # (batches,2)
    third = max(1, batches // 3)
    return int(seen[:third, 0].max()), int(seen[-third:, 0].max()), int(seen[:, 1].max())


def workers_memory(what, file, cache, workers, batches, order):
    """A worker's own memory does not grow while it reads, and is no larger than with few images.

    order: bytes of an epoch's order, which is in the process that reads where there are no workers.
    """
    what = f"{what}: own memory of {workers} workers is that for {FEW:,} images, and stays"
    if not os.path.exists(ROLLUP):
        return Finding(what=what, tried=0, held=0, note=f"there is no {ROLLUP} here")
    few = file.with_name("few.txt")
    with open(file, "rb") as lines, open(few, "wb") as out:
        out.writelines(islice(lines, FEW))
    aged(few)
    small, _, _ = in_child(loader_memory, few, workers, batches, cache)
    on_disk(cache)
    first, last, share = in_child(loader_memory, file, workers, batches, cache)
    allowed = small + OWN + (0 if workers else 2 * order)
    note = (
        f"{readable(small, 'B')} for {FEW:,} images; {readable(first, 'B')}, later {readable(last, 'B')}; "
        f"with its share of what is shared {readable(share, 'B')}"
    )
    return Finding(what=what, tried=2, held=int(last - first <= GROWTH) + int(first <= allowed), note=note)


def scan(folder, files, folders):
    """A tree of empty files: the first scan and the later look at the folders' time stamps."""
    for number in range(folders):
        inside = folder / f"n{number:08}"
        inside.mkdir(parents=True)
        for each in range(files // folders):
            (inside / f"{number:08}_{each}.JPEG").touch()
        aged(inside)
    aged(folder)
    cache = folder.with_name("cache")
    cold, count = in_child(scanned, folder, cache)
    warm, _ = in_child(scanned, folder, cache)
    held = int(cold <= START + SCAN * files) + int(warm <= WARM) + int(count == files // folders * folders)
    what = (
        f"{count:,} files in {folders:,} folders are found in {readable(START + SCAN * files, 's')}, later in {WARM} s"
    )
    return Finding(what=what, tried=3, held=held, note=f"{readable(cold, 's')}, later {readable(warm, 's')}")


def scanned(folder):
    """(seconds, files) of the index of a folder."""
    began = time.perf_counter()
    paths = index_folder(folder)
    return time.perf_counter() - began, len(paths)


class Counted(StreamBatches):
    """Counts how often it makes an order."""

    made = 0

    def order(self, epoch):
        self.made += 1
        return super().order(epoch)


def orders_made(length, epochs, world=2):
    """Every rank makes the order of an epoch once, whatever the batches cut."""
    ranks = [
        Counted(length, 64, epochs * length // (64 * world), seed=0, rank=rank, world=world) for rank in range(world)
    ]
    for batches in ranks:
        for _ in batches:
            pass
    held = sum(batches.made == epochs for batches in ranks)
    made = ", ".join(str(batches.made) for batches in ranks)
    return Finding(
        what=f"each of {world} ranks makes the order of an epoch once",
        tried=world,
        held=held,
        note=f"{made} in {epochs}",
    )
