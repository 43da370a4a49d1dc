import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor
from toys import Flat, fit, synthetic

from lightning_modules.callbacks.sample_grid import SampleGrid, draw


def test_draw_puts_a_row_an_image_and_a_column_a_title():
    red, blue = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    red[:, 0], blue[:, 2] = 1, 1
    titles, grid = draw({"red": red, "blue": blue})
    assert titles == ["red", "blue"]
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
