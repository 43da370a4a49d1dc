"""Time and peak memory of the colour encoder and of the class loss against the obvious ways to write them.

Everything is measured in one run and on one CPU thread, because only ratios carry over to another machine.
"""

import json
import os
import tempfile
import time
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from lightning_modules.color.ab_bins import ab_bins, soft_encode
from lightning_modules.color.lab import rgb_to_lab
from lightning_modules.losses.color_classes import class_loss

NEIGHBOURS = 10  # as in the released Caffe layer, whose encoder is a k-d tree of scikit-learn
SIGMA = 5.0


def soft_weights(distance, axis):
    """Gaussian of the distances, of sum 1 along the axis. A tensor or an array."""
    weight = torch.exp if isinstance(distance, torch.Tensor) else np.exp
    weight = weight(-(distance**2) / (2 * SIGMA**2))
    return weight / weight.sum(axis)[:, None]


def dense_encode(ab):
    """Distances of every pixel to all bins, then the smallest. ab (B,2,H,W)."""
    distance = torch.cdist(ab.movedim(1, -1).reshape(-1, 2), ab_bins().to(ab.device))  # (N,Q)
    distance, index = distance.topk(NEIGHBOURS, largest=False)
    return index, soft_weights(distance, 1)


def tree_encode(query, ab):
    """The nearest bins by a k-d tree on the CPU. query: (N,2) array -> distances and indices, (N,K) each."""
    distance, index = query(ab.movedim(1, -1).reshape(-1, 2).cpu().numpy())
    return torch.from_numpy(index).to(ab.device), torch.from_numpy(soft_weights(distance, 1)).to(ab.device)


def encoders():
    """Name -> function of ab (B,2,H,W). Ours first; scikit-learn's tree only where it is installed ([dev] extra)."""
    from scipy.spatial import cKDTree

    bins = ab_bins().numpy()
    scipy_tree = cKDTree(bins)
    methods = {
        "soft_encode": lambda ab: soft_encode(ab, NEIGHBOURS, SIGMA),
        "cdist and topk": dense_encode,
        "k-d tree of scipy": lambda ab: tree_encode(lambda points: scipy_tree.query(points, NEIGHBOURS), ab),
    }
    if find_spec("sklearn"):
        from sklearn.neighbors import NearestNeighbors

        sklearn_tree = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="kd_tree").fit(bins)
        methods["k-d tree of scikit-learn"] = lambda ab: tree_encode(sklearn_tree.kneighbors, ab)
    return methods


def dense_loss(logits, index, weight, pixel_weight):
    """class_loss with a target of the size of the logits."""
    target = torch.zeros_like(logits).scatter_(1, index, weight)
    cost = -(target * torch.log_softmax(logits, dim=1)).sum(1, keepdim=True)
    return (cost * pixel_weight).sum() / len(logits)


def seconds(step, device):
    """Of one call: processor time on the CPU, which other processes do not lengthen, and elapsed time on a GPU."""
    if device.type != "cuda":
        begin = time.process_time()
        step()
        return time.process_time() - begin
    torch.cuda.synchronize(device)
    begin = time.perf_counter()
    step()
    torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def peak_bytes(step, device):
    """Most memory that one call holds beyond what was held before it: PyTorch's, and on the CPU NumPy's as well."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    return torch_peak_bytes(step) + numpy_peak_bytes(step)


def numpy_peak_bytes(step):
    """The peak of what Python and NumPy allocate."""
    tracemalloc.start()
    step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def torch_peak_bytes(step):
    """The peak of PyTorch's CPU allocator, from the memory events of its profiler."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # read at the profiler's first use, which logs to stderr otherwise
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    events = sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"])
    if not events:
        return 0
    held = [event["args"]["Total Allocated"] for event in events]
    before = held[0] - events[0]["args"]["Bytes"]
    return max(held) - before


def compare(name, methods, pixels, logits_bytes, rounds, device):
    """One row for each method (name -> step to call); the ratios are to the first."""
    for step in methods.values():
        step()  # tables, allocator and kernels warm
    times = dict.fromkeys(methods, float("inf"))
    for _ in range(rounds):
        for method, step in methods.items():
            times[method] = min(times[method], seconds(step, device))
    peaks = {method: peak_bytes(step, device) for method, step in methods.items()}
    ours = next(iter(methods))
    return [
        {
            "step": name,
            "method": method,
            "us_per_pixel": times[method] / pixels * 1e6,
            "time_ratio": times[method] / times[ours],
            "peak_bytes": peaks[method],
            "peak_ratio": peaks[method] / peaks[ours],
            "peak_over_logits": peaks[method] / logits_bytes,
        }
        for method in methods
    ]


def benchmark_color(size=64, batch=4, rounds=5, device="cpu"):
    """Rows for the steps `encode` (10 neighbours) and `loss` (forward and backward) on batch x size x size pixels.

    Each has step, method, us_per_pixel (the least of the rounds; processor time on a CPU), peak_bytes, and time_ratio
    and peak_ratio to our method in the same run, which comes first. peak_over_logits is the peak in units of float32
    logits of 313 classes.
    """
    device = torch.device(device)
    generator = torch.Generator().manual_seed(0)
    ab = rgb_to_lab(torch.rand(batch, 3, size, size, generator=generator))[:, 1:].to(device)
    logits = torch.randn(batch, len(ab_bins()), size, size, generator=generator).to(device).requires_grad_()
    pixel_weight = torch.rand(batch, 1, size, size, generator=generator).to(device)
    index, weight = soft_encode(ab, NEIGHBOURS, SIGMA)

    def stepped(loss):
        return lambda: torch.autograd.grad(loss(logits, index, weight, pixel_weight), logits)

    encode = {method: lambda call=call: call(ab) for method, call in encoders().items()}
    losses = {"class_loss": stepped(class_loss), "dense target": stepped(dense_loss)}
    pixels, logits_bytes = batch * size * size, 4 * logits.numel()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return compare("encode", encode, pixels, logits_bytes, rounds, device) + compare(
            "loss", losses, pixels, logits_bytes, rounds, device
        )
    finally:
        torch.set_num_threads(threads)
