import io
import pickle

import numpy as np
import pytest
from PIL import Image

from datamodules.decoding import FORMATS
from experiments.reliability import hostile_seeds
from experiments.reliability.hostile_child import READERS, outcome


def test_there_is_a_sound_image_of_every_format_that_is_read():
    found = {Image.open(io.BytesIO(data)).format for data in hostile_seeds.image_seeds()}
    assert found == set(FORMATS)


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader != "bomb"])
def test_the_sound_seeds_of_every_reader_can_be_read(reader, tmp_path):
    path, marker = tmp_path / "file", tmp_path / "marker"
    malicious = len(hostile_seeds.commands(marker)) if reader in ("checkpoint", "pth") else 0
    seeds = hostile_seeds.seeds_of(reader, marker)
    for data in seeds[: len(seeds) - malicious]:
        path.write_bytes(data)
        assert outcome(*READERS[reader], path) == "read"
    assert not marker.exists()


def test_the_commands_would_run_where_pickles_are_trusted(tmp_path):
    marker = tmp_path / "marker"
    pickle.loads(hostile_seeds.commands(marker)[0])
    assert marker.exists()
    marker.unlink()
    np.load(io.BytesIO(hostile_seeds.commands(marker)[-1]), allow_pickle=True)
    assert marker.exists()
