"""Features for FID and its kin: the 2,048 values of the Inception v3 that Heusel 2017 measured FID with.

The network is torch-fidelity's port of TensorFlow's graph of 2015-12-05. It resizes by itself to 299 x 299, bilinear
without antialiasing from the corner pixel on, as TensorFlow 1 did. That belongs to the metric: torchmetrics antialiases
by default and clean-fid (Parmar 2022) resizes with Pillow's bicubic, and the same pictures then have another FID.
"""

import io

import torch
from torch import nn
from torchvision.models import inception_v3


def inception_layout():
    """Torchvision's Inception v3, whose layers have the names and shapes of the port's, with random weights (He 2015).

    Without trained batch norms torchvision's own initial weights do not keep the scale over the 94 convolutions.
    """
    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network


class InceptionFeatures(nn.Module):
    """With the weights {key: tensor} of the port. ModuleNotFoundError where torch-fidelity is not installed."""

    def __init__(self, state):
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "Inception features need torch-fidelity, which is not installed: pip install -e '.[metrics]'"
            ) from None
        file = io.BytesIO()  # the constructor reads a file, and would run what a strange one holds; this one is ours
        torch.save(state, file)
        file.seek(0)
        self.network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=file)

    def forward(self, image):
        """uint8 RGB (B,3,H,W), as a file holds it -> (B,2048) float32."""
        (features,) = self.network(image)
        return features
