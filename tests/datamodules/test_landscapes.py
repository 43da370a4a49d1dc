import numpy as np
import pytest

from datamodules.landscapes import COLOURS, SCENES, SEMANTIC_CLASSES, Canvas, draw, knot_weights, mix


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("size", [8, 33, 64])
def test_every_scene_draws_at_any_size(name, size):
    for seed in range(3):
        image, semantic = draw(name, size, np.random.default_rng(seed))
        assert image.shape == (size, size, 3) and image.dtype == np.uint8
        assert semantic.shape == (size, size) and semantic.dtype == np.uint8
        assert semantic.max() < len(SEMANTIC_CLASSES) and image.std() > 10


def test_every_class_but_the_sky_has_its_colour():
    assert set(COLOURS) == set(SEMANTIC_CLASSES) - {"sky"}


def test_knot_weights_sum_to_one_and_meet_the_knots():
    weights = knot_weights(np.linspace(0, 1, 7, dtype=np.float32), 4)
    assert weights.sum(1) == pytest.approx(np.ones(7))
    assert weights[::2] == pytest.approx(np.eye(4))


def test_coverage_is_half_on_an_outline_and_one_pixel_wide():
    canvas = Canvas(10, np.random.default_rng(0))
    covered = canvas.below(0.45)[:, 0]  # through the middle of row 4
    assert covered == pytest.approx([0, 0, 0, 0, 0.5, 1, 1, 1, 1, 1], abs=1e-5)


def test_paint_mixes_at_the_edge_and_names_what_is_mostly_covered():
    canvas = Canvas(2, np.random.default_rng(0))
    canvas.paint(np.float32([[0.25, 1.0], [0.75, 0.0]]), "road", np.float32((1.0, 0.5, 0.0)))
    assert canvas.image[0, 0] == pytest.approx([0.25, 0.125, 0.0])
    road = SEMANTIC_CLASSES.index("road")
    assert canvas.semantic.tolist() == [[0, road], [road, 0]]


def test_mix_goes_from_the_first_to_the_second():
    assert mix((0, 1), (1, 0), 0.25) == pytest.approx([0.25, 0.75])


def test_a_plane_is_dense_at_the_horizon_and_ends_at_the_viewer():
    depth = Canvas(100, np.random.default_rng(0)).depth(0.5)
    assert depth[:50].max() == 0 and depth[-1] == pytest.approx(1, abs=0.01)
    assert np.diff(depth[50:]).argmax() == 0


@pytest.mark.parametrize("name, above, below", [("coast", "water", "sand"), ("city", "building", "road")])
def test_regions_lie_over_each_other_as_in_a_landscape(name, above, below):
    for seed in range(8):
        _, semantic = draw(name, 64, np.random.default_rng(seed))
        rows = [np.nonzero(semantic == SEMANTIC_CLASSES.index(kind))[0].mean() for kind in ("sky", above, below)]
        assert rows == sorted(rows)
