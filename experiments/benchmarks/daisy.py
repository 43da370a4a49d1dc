"""Time and error of the DAISY descriptor for batches against scikit-image's, which takes one image at a time.

Everything is measured in one run and on one CPU thread, because only ratios carry over to another machine.
"""

import numpy as np
import torch

from experiments.benchmarks.color import seconds
from lightning_modules.ops.daisy import daisy

SETTINGS = {
    "paper": {"radius": 15, "rings": 1, "histograms": 3, "orientations": 8},  # 32 numbers, Deep Colorization
    "default": {"radius": 15, "rings": 3, "histograms": 8, "orientations": 8},  # 200 numbers, scikit-image
}


def skimage_daisy(images, dtype, settings):
    """(B,C,H,W) from images (B,1,H,W), one after another; the border is mirrored as in `daisy`."""
    from skimage.feature import daisy as daisy_of_one

    margin = [(settings["radius"], settings["radius"])] * 2
    planes = [np.pad(image.astype(dtype), margin, mode="reflect") for image in images[:, 0].numpy()]
    return np.stack([daisy_of_one(plane, step=1, **settings).transpose(2, 0, 1) for plane in planes])


def scenes(batch, size):
    """Grey images (B,1,H,W) float32 in [0,1]: smooth noise with edges."""
    noise = torch.rand(batch, 1, size // 8 + 2, size // 8 + 2, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, (size, size), mode="bicubic").clamp(0, 1)
    return torch.where(smooth > 0.6, smooth, 0.8 * smooth)


def compare(name, settings, images, rounds, device):
    """One row for each method; time_ratio and largest_error are to our own on one CPU thread and to float64."""
    on_device = images.to(device)
    methods = {
        "daisy": lambda: daisy(images, **settings),
        "scikit-image, float32": lambda: skimage_daisy(images, np.float32, settings),
        "scikit-image, float64": lambda: skimage_daisy(images, np.float64, settings),
    }
    if device.type != "cpu":
        methods[f"daisy, {device.type}"] = lambda: daisy(on_device, **settings)
    runs_on = {method: device if method.endswith(device.type) else torch.device("cpu") for method in methods}
    expected = torch.from_numpy(methods["scikit-image, float64"]())
    errors = {method: (torch.as_tensor(step()).cpu() - expected).abs().max().item() for method, step in methods.items()}
    times = dict.fromkeys(methods, float("inf"))
    for _ in range(rounds):
        for method, step in methods.items():
            times[method] = min(times[method], seconds(step, runs_on[method]))
    return [
        {
            "settings": name,
            "numbers": expected.shape[1],
            "method": method,
            "ms_per_image": 1e3 * times[method] / len(images),
            "time_ratio": times[method] / times["daisy"],
            "largest_error": errors[method],
        }
        for method in methods
    ]


def benchmark_daisy(size=256, batch=8, rounds=5, device="cpu"):
    """Rows for the settings of Deep Colorization and of scikit-image, on batch x size x size pixels.

    Each has settings, numbers (a pixel), method, ms_per_image (the least of the rounds; processor time on a CPU),
    time_ratio (to ours on one CPU thread in the same run, which comes first) and largest_error (of any number, to
    scikit-image's in float64).
    """
    images = scenes(batch, size)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            row
            for name, settings in SETTINGS.items()
            for row in compare(name, settings, images, rounds, torch.device(device))
        ]
    finally:
        torch.set_num_threads(threads)
