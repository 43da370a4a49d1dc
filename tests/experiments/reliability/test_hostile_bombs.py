import io

import pytest
from PIL import Image

from experiments.reliability.hostile_bombs import SWOLLEN, bombs


@pytest.fixture(scope="module")
def files():
    return bombs()


def test_bombs_are_small(files):
    assert max(map(len, files.values())) < SWOLLEN / 500


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF"])
def test_a_bomb_claims_its_size_in_its_own_format(files, name, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    if name == "AVIF":  # its decoder looks at the pixels before it says anything
        with pytest.raises((ValueError, OSError)):
            Image.open(io.BytesIO(files[name]))
        return
    with Image.open(io.BytesIO(files[name])) as image:
        assert image.format == name and image.width * image.height > 2 * 89_478_485
