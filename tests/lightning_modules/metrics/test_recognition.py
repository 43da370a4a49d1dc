import torch
from PIL import Image
from torch import nn
from torchvision.transforms.functional import to_pil_image, to_tensor

from lightning_modules.metrics.recognition import Classifier, same_class, top_k


def seen(image):
    """What the network behind a classifier is shown."""
    shown = []

    class Watcher(nn.Module):
        def forward(self, picture):
            shown.append(picture)
            return torch.zeros(len(picture), 1000)

    Classifier(Watcher())(image)
    return shown[0]


def standardised(image):
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (image - mean[:, None, None]) / deviation[:, None, None]


def test_an_image_of_256_is_cropped_to_its_centre_alone():
    image = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(seen(image), standardised(image[..., 16:240, 16:240]))
    assert seen(image.double()).dtype == torch.float32


def test_another_image_is_resized_to_a_shorter_side_of_256_first():
    image = torch.rand(3, 300, 512, generator=torch.Generator().manual_seed(0))
    resized = to_tensor(to_pil_image(image).resize((436, 256), Image.Resampling.BILINEAR))  # antialiased
    expected = standardised(resized[:, 16:240, 106:330])
    assert (seen(image[None])[0] - expected).abs().max() < 4 / 255 / 0.224  # Pillow rounds to 256 levels, twice


def test_classes_come_most_likely_first():
    class Known(nn.Module):
        def forward(self, picture):
            scores = torch.zeros(len(picture), 1000)
            scores[:, 7], scores[:, 3], scores[:, 999] = 3, 2, -1
            return scores

    classes = Classifier(Known())(torch.zeros(2, 3, 32, 32))
    assert classes.shape == (2, 1000)
    assert classes[:, [0, 1, -1]].tolist() == [[7, 3, 999]] * 2


def test_top_k_asks_whether_the_label_is_among_the_first():
    classes = torch.tensor([[4, 2, 0, 1, 3], [4, 2, 0, 1, 3], [4, 2, 0, 1, 3]])
    labels = torch.tensor([4, 2, 3])
    assert top_k(classes, labels, 1).tolist() == [1, 0, 0]
    assert top_k(classes, labels, 2).tolist() == [1, 1, 0]
    assert top_k(classes, labels, 5).tolist() == [1, 1, 1]


def test_the_same_class_is_that_of_the_truth_whatever_the_label():
    assert same_class(torch.tensor([[4, 2], [1, 4]]), torch.tensor([[4, 1], [4, 1]])).tolist() == [1, 0]
