"""Data-dependent initialisation. Krähenbühl, Doersch, Donahue and Darrell: Data-dependent Initializations of
Convolutional Neural Networks, ICLR 2016.

Their within-layer step, on whatever random weights the layers hold. Two parts of the paper are left out: the
filters from k-means, and the between-layer step, which equalises how fast layers learn under plain gradient
descent; the size of Adam's step does not depend on the size of the gradient.
"""

import torch
from torch import nn


@torch.no_grad()
def data_dependent_init_(network, layers, inputs):
    """Rescales and shifts each of `layers` so that every output channel has mean 0 and variance 1 over `inputs`.

    layers: `Conv2d`, `ConvTranspose2d` or `Linear` with a bias, ungrouped, each used once by `network`.
    inputs: a batch as `network` takes it, the same on every rank. One forward pass in training mode: a layer sees what
    the layers before it give after their own change. A channel that is constant over `inputs` is only shifted.
    """
    was_training = network.training
    hooks = [layer.register_forward_hook(standardise_) for layer in layers]
    try:
        network.train()(inputs)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()


def standardise_(layer, inputs, output):
    """Forward hook: changes weight and bias so that `output` (B,C,...) is standardised over B and space. -> output."""
    shape = [1, -1] + [1] * (output.dim() - 2)
    variance, mean = torch.var_mean(output.float(), dim=[0, *range(2, output.dim())], correction=0)  # (C,)
    deviation = torch.where(variance > (1e-5 * mean).square(), variance.sqrt(), 1.0)
    transposed = isinstance(layer, nn.ConvTranspose2d)  # weight (in, out, ...) instead of (out, in, ...)
    scale_shape = [1] * layer.weight.dim()
    scale_shape[1 if transposed else 0] = -1
    layer.weight /= deviation.view(scale_shape)
    layer.bias.sub_(mean).div_(deviation)
    return ((output - mean.view(shape)) / deviation.view(shape)).to(output.dtype)
