"""A small folder of pictures, and the same pictures as shards."""

import numpy as np
import pytest
from PIL import Image

from datamodules.folder import Folder
from datamodules.packing import PackSettings
from experiments.packing import pack_data

pytest.importorskip("litdata")


def write_pictures(root, count=20, size=(40, 32), suffix=".png"):
    """Pictures of noise, width x height, that differ from each other, in train/ and val/. -> root"""
    rng = np.random.default_rng(0)
    for number in range(count):
        file = root / ("val" if number % 5 == 0 else "train") / f"{number % 3}" / f"{number:03}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file)
    return root


def packed(folder, root, splits=("train", "val", "test"), workers=0, **settings):
    """The shards of a folder of pictures. -> the manifest"""
    settings = {"side": 0, "per_shard": 3} | settings
    data = Folder(root=str(root), crop=16)
    return pack_data(folder, data, splits, PackSettings(**settings), workers, {"data": "folder"})
