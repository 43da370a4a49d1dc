"""LPIPS: The Unreasonable Effectiveness of Deep Features as a Perceptual Metric (Zhang 2018), version 0.1.

Eq. 1: squared differences of features that are normalised over the channels, weighted by channel, averaged over the
places of a layer and added up over five layers. The channels' weights are those that torchmetrics ships.
"""

from torch import nn
from torchmetrics.functional.image.lpips import _NoTrainLpips
from torchvision.models import AlexNet

SMALLEST = {"alex": 31, "vgg": 16}  # pixels a side that survive the network's pooling


class LPIPS(nn.Module):
    """On the convolutions of torchvision's AlexNet or VGG-16, which it copies."""

    def __init__(self, backbone):
        super().__init__()
        self.kind = "alex" if isinstance(backbone, AlexNet) else "vgg"
        self.distance = _NoTrainLpips(net=self.kind, pnet_rand=True)
        features = backbone.features.state_dict()
        own = self.distance.net.state_dict()
        self.distance.net.load_state_dict({key: features[key.split(".", 1)[1]] for key in own})  # slice2.3.weight
        self.eval().requires_grad_(False)

    def forward(self, pred, image):
        """RGB in [0,1] (B,3,H,W) float32, at its own size -> distance of each pair, (B,); 0 for the same picture."""
        side = SMALLEST[self.kind]
        if min(image.shape[-2:]) < side:
            raise ValueError(f"LPIPS needs images of at least {side} x {side} pixels; got {tuple(image.shape)}")
        return self.distance(pred, image, normalize=True).flatten()
