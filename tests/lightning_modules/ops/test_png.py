import numpy as np
import torch
from PIL import Image

from lightning_modules.ops.png import to_uint8, write_png


def test_a_picture_is_written_as_it_is(tmp_path):
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_png(tmp_path / "x.png", image)
    assert np.array_equal(np.array(Image.open(tmp_path / "x.png")), image.permute(1, 2, 0).numpy())


def test_pictures_have_the_256_levels_of_a_file():
    image = torch.tensor([-0.2, 0.0, 0.5, 100.4 / 255, 100.6 / 255, 1.3], dtype=torch.float64)
    assert to_uint8(image).tolist() == [0, 0, 128, 100, 101, 255]
