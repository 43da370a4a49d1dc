import pytest
import torch
from PIL import Image

from datamodules.decoding import read_image, read_mask
from experiments.reliability import memory
from experiments.reliability.finding import Effort


def test_the_photograph_and_its_mask_have_the_megapixels_asked_for_and_one_size(tmp_path):
    photo, mask = read_image(memory.photograph(1, tmp_path)), read_mask(memory.holes(1, tmp_path))
    assert photo.shape[1:] == mask.shape[1:] == memory.sides(1)
    assert photo[0].numel() == pytest.approx(1e6, rel=0.01)
    assert memory.sides(100) == (8660, 11547)
    assert 0.001 < mask.mean() < 0.95


@pytest.mark.parametrize("paper", ["colorful", "context_encoder", "context_encoder_features", "glcic"])
def test_part_by_part_a_photograph_becomes_what_it_becomes_in_one_piece(paper, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.verbs.colorize.STRIP_PIXELS", 100_000)
    found = memory.whole(paper, 1, tmp_path)
    assert found.held == found.tried == 1, found.note


def test_tiles_that_do_not_see_far_enough_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_modules.inpainting.glcic.REACH", 0)
    found = memory.whole("glcic", 1, tmp_path)
    assert found.held == 0, found.note


def test_one_piece_is_for_the_comparison_alone():
    before = [getattr(module, name) for module, name in memory.PARTS]
    with pytest.raises(KeyError), memory.in_one_piece():
        assert all(getattr(module, name) > 10**9 for module, name in memory.PARTS)
        raise KeyError
    assert [getattr(module, name) for module, name in memory.PARTS] == before


def test_a_seam_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "filled", lambda module, image, hole: torch.where(hole, image // 2, image))
    found = memory.whole("glcic", 1, tmp_path)
    assert found.held == 0 and "of 255" in found.note


@pytest.mark.parametrize("paper", ["colorful", "context_encoder"])
def test_twelve_megapixels_stay_below_the_bound_in_proportion(paper, tmp_path):
    found = memory.bounded(paper, 12, tmp_path)
    assert found.held == found.tried == 1, found.note
    assert Image.open(next(tmp_path.glob(f"{paper}.[jp][pn]g"))).size == memory.sides(12)[::-1]


def test_what_takes_more_is_noticed(tmp_path, monkeypatch):
    took = {"code": 0, "imports": 700.0, "peak": 700 + memory.FIXED + 13.5e6 / 2**20 + 1, "seconds": 1.0}
    monkeypatch.setattr(memory, "measured", lambda words: took)
    assert memory.bounded("colorful", 1, tmp_path).held == 0
    took["peak"] -= 2
    assert memory.bounded("colorful", 1, tmp_path).held == 1
    took["code"] = 2
    assert memory.bounded("colorful", 1, tmp_path).held == 0


def test_papers_without_a_photograph_verb_are_left_out(tmp_path):
    assert list(memory.findings(Effort(papers=("linear_probe",)), tmp_path)) == []


@pytest.mark.slow
def test_a_hundred_megapixels_stay_below_the_bound(tmp_path):
    assert [finding for finding in memory.findings(Effort(), tmp_path) if finding.held < finding.tried] == []
