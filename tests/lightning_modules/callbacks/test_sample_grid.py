import torch
from lightning.pytorch.loggers import Logger
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor
from toys import Flat, fit, synthetic

from datamodules.masks.centre import Centre
from lightning_modules.callbacks.sample_grid import SampleGrid, draw


def test_draw_puts_a_row_an_image_and_a_column_a_title():
    red, blue = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    red[:, 0], blue[:, 2] = 255, 255
    grid = draw({"red": red, "blue": blue})
    assert grid.shape == (3, 2 * 8 + 4, 2 * 8 + 4) and grid.dtype == torch.uint8
    assert grid[:, 5, 5].tolist() == [255, 0, 0] and grid[:, 13, 5].tolist() == [255, 0, 0]
    assert grid[:, 5, 13].tolist() == [0, 0, 255]
    assert grid[:, 0, 0].tolist() == [255, 255, 255]


def test_every_validation_leaves_a_picture_of_the_same_images(tmp_path):
    fit(Flat(), synthetic(8), [SampleGrid(tmp_path, rows=3)], validate_every=4)
    first, second = (pil_to_tensor(Image.open(tmp_path / name)) for name in ("0000004.png", "0000008.png"))
    assert first.shape == second.shape == (3, 3 * 20 + 4, 3 * 20 + 4)  # 3 images of 16 px, 3 columns
    truth = slice(44, None)
    assert torch.equal(first[:, :, truth], second[:, :, truth])
    assert not torch.equal(first, second)


class Album(Logger):
    """Keeps what is logged."""

    name = version = None

    def __init__(self):
        super().__init__()
        self.samples = {}

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, *args, **kwargs):
        pass

    def log_samples(self, samples, step):
        self.samples[step] = samples


def test_loggers_get_the_panels_as_files_hold_them_with_index_and_hole(tmp_path):
    album = Album()
    fit(Flat(), synthetic(4, masks=Centre()), [SampleGrid(tmp_path, rows=3)], logger=album)
    samples = album.samples[4]
    assert list(samples.panels) == ["grey input", "prediction", "truth"] and samples.index == [0, 1, 2]
    image = pil_to_tensor(Image.open(tmp_path / "0000004.png"))
    assert torch.equal(samples.panels["truth"][1], image[:, 24:40, 44:60])  # second row, third column, 4 px between
    assert samples.mask.shape == (3, 16, 16) and samples.mask.dtype == torch.bool
    assert samples.mask[:, 8, 8].all() and not samples.mask[:, 0, 0].any()
