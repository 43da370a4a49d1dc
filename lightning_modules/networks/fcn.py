"""A small fully convolutional network in the manner of Long, Shelhamer and Darrell (CVPR 2015), their FCN-8s.

As there, each of several strides gives scores of its own by a 1x1 convolution, and coarse scores are enlarged and added
to finer ones. Unlike there, it has four narrow stages with batch norm, starts from random weights, enlarges bilinearly
without learning that, and goes down to stride 2.
"""

from torch import nn
from torch.nn import functional as F

from lightning_modules.networks.he_init import he_init_


def stage(before, after):
    """(B,before,H,W) -> (B,after,ceil(H/2),ceil(W/2))"""
    layers = []
    for channels, stride in ((before, 2), (after, 1)):
        layers += [nn.Conv2d(channels, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class FCN(nn.Module):
    """Grey (B,1,H,W) in [0,1], any size -> logits of the classes (B,classes,H,W)."""

    def __init__(self, classes, width=32):
        super().__init__()
        widths = [1, width, 2 * width, 4 * width, 8 * width]  # strides 1, 2, 4, 8, 16
        self.stages = nn.ModuleList(stage(*pair) for pair in zip(widths, widths[1:], strict=False))
        self.scores = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in widths[1:])
        he_init_(self.scores)

    def forward(self, grey):
        x, scores = grey * 4 - 2, []
        for stage, score in zip(self.stages, self.scores, strict=True):
            x = stage(x)
            scores.append(score(x))
        total = scores.pop()
        while scores:
            finer = scores.pop()
            total = finer + F.interpolate(total, finer.shape[-2:], mode="bilinear", align_corners=False)
        return F.interpolate(total, grey.shape[-2:], mode="bilinear", align_corners=False)
