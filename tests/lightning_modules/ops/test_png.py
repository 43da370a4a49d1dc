import numpy as np
import torch
from PIL import Image

from lightning_modules.ops.png import write_png


def test_a_picture_is_written_as_it_is(tmp_path):
    image = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_png(tmp_path / "x.png", image)
    assert np.array_equal(np.array(Image.open(tmp_path / "x.png")), image.permute(1, 2, 0).numpy())
