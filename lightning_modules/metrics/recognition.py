"""Whether a classifier that was trained on colour photographs still knows what is in a recoloured one.

The semantic interpretability of Colorful Image Colorization (Zhang 2016, Sec. 3.1). The network is the VGG-16 that
torchvision trained: its accuracies are to be read beside those it has on the truth and on grey images, and not beside
the paper's, which come from other weights.
"""

from torch import nn
from torchvision.models import VGG16_Weights


class Classifier(nn.Module):
    """What a network of torchvision takes images for."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.preprocess = VGG16_Weights.IMAGENET1K_V1.transforms()
        self.eval().requires_grad_(False)

    def forward(self, image):
        """RGB in [0,1] (B,3,H,W) -> classes (B,1000) from the most to the least likely, numbered by their WordNet ids.

        The shorter side is resized to 256, bilinear with antialiasing, and the centre of 224 x 224 is seen; of an image
        of 256 x 256, squashed or not, that is a crop alone.
        """
        return self.network(self.preprocess(image)).argsort(dim=1, descending=True, stable=True)


def top_k(classes, labels, k):
    """1 where the label is among the k most likely classes, else 0; (B,) float64. classes (B,N), most likely first.

    labels (B,) int64. Those of `datamodules.imagenet` number the synsets in the order of their WordNet ids, as
    torchvision's networks do, so they mean the same where the data set has all 1,000. A copy with fewer folders and no
    list of all synsets numbers those it has, and its labels mean other classes here.
    """
    return (classes[:, :k] == labels[:, None]).any(1).double()


def same_class(classes, true_classes):
    """1 where prediction and truth have the same most likely class, else 0; (B,) float64. Needs no labels."""
    return (classes[:, 0] == true_classes[:, 0]).double()
