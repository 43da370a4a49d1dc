"""He, Zhang, Ren and Sun: Delving Deep into Rectifiers, ICCV 2015, Eq. 10."""

import torch
from torch import nn


@torch.no_grad()
def he_init_(layers):
    """Normal weights of variance 2 / fan in and zero biases, for `Conv2d` and `ConvTranspose2d` before a ReLU.

    Each output of a transposed convolution of stride s sees a share 1/s^2 of its taps, which is what counts as fan in.
    """
    for layer in layers:
        taps = layer.weight[0, 0].numel() / (layer.stride[0] ** 2 if isinstance(layer, nn.ConvTranspose2d) else 1)
        layer.weight.normal_(0, (2 * layer.groups / (layer.in_channels * taps)) ** 0.5)
        layer.bias.zero_()
