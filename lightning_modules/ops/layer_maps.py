"""What named layers of a network give while it works, and the order in which layers run. B batch, C channels."""

import difflib
import math

import torch
from torch import nn
from torch.nn import functional as F

SHOWN = 3  # names that an error lists


class AllSeen(Exception):
    """Every layer that is watched has run: the rest of the forward pass is not needed."""


def layer_named(network, name):
    """The layer with this name in `named_modules`; ValueError with the nearest ones where there is none."""
    layers = {own: layer for own, layer in network.named_modules() if own}
    if name not in layers:
        close = difflib.get_close_matches(name, layers, n=SHOWN, cutoff=0)
        raise ValueError(f"no layer '{name}' in {type(network).__name__}; nearest: {', '.join(close)}")
    return layers[name]


def layer_maps(network, names, run, rows, reduce):
    """{name: reduce(output) (rows,...)} of the layers with these names, while `run()` shows `rows` images to `network`.

    `reduce` takes (b,C,h,w) or (b,D) and is called within the forward pass, before a layer that works in place changes
    what it was given. `run` is left as soon as all layers have run. Images may come one at a time, and of a layer that
    runs more than once for each image the first time counts. ValueError for a layer that is not there, takes no part
    or gives anything else.
    """
    layers = {name: layer_named(network, name) for name in names}
    found = {name: [] for name in layers}

    def seen(name):
        return sum(map(len, found[name]))

    def watch(name):
        def keep(layer, inputs, output):
            if seen(name) < rows:
                found[name].append(reduce(channels_first(name, layer, output)))
            if all(seen(each) >= rows for each in found):
                raise AllSeen

        return keep

    hooks = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        run()
    except AllSeen:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    for name in found:
        if seen(name) < rows:
            raise ValueError(f"layer '{name}' ran for {seen(name)} of {rows} images, so it gives no features of them")
    return {name: torch.cat(parts)[:rows] for name, parts in found.items()}


def channels_first(name, layer, output):
    """The output of a layer as (b,C,h,w) or (b,D). A linear layer that works on maps has its channels last."""
    if not isinstance(output, torch.Tensor) or output.dim() not in (2, 4):
        what = list(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ValueError(f"layer '{name}' must give (B,C,H,W) or (B,D) to be features; it gives {what}")
    return output.movedim(-1, 1) if isinstance(layer, nn.Linear) and output.dim() == 4 else output


def pooled_side(channels, height, width, most):
    """Side k of the grid that a map is averaged to: the largest with C*k*k <= `most`, no finer than the map, from 1."""
    return max(1, min(height, width, math.isqrt(most // channels)))


def pooled(plane, most):
    """(B,C,h,w) -> (B,C*k*k) float32 by averages over a k x k grid, at most `most` numbers where C allows it; (B,D)
    stays. Colorful Image Colorization, Sec. 3.3: features of every layer with about as many dimensions."""
    if plane.dim() == 2:
        return plane.float()
    return F.adaptive_avg_pool2d(plane.float(), pooled_side(*plane.shape[1:], most)).flatten(1)


def layers_up_to(network, last, run, rows):
    """Names of the innermost layers in the order in which they first run, up to the end of the layer `last`."""
    order = {}  # as an ordered set

    def note(name):
        def keep(layer, inputs):
            order[name] = None

        return keep

    innermost = {name: layer for name, layer in network.named_modules() if not list(layer.children())}
    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in innermost.items()]
    try:
        layer_maps(network, [last], run, rows, reduce=lambda plane: plane)
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)
