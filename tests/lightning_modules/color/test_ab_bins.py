import hashlib
import json
import math

import numpy as np
import pytest
import torch

from lightning_modules.color.ab_bins import (
    ab_bins,
    accumulate_prior,
    annealed_mean,
    candidates,
    gamut_nodes,
    lookup,
    published_prior,
    read_prior,
    rebalancing_weights,
    shared_bins,
    soft_encode,
)
from lightning_modules.color.lab import rgb_to_lab

RUNS = {  # a: first and last b of the released pts_in_hull.npy
    **{-90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100), -30: (-50, 100)},
    **{-20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90), 30: (-90, 90), 40: (-100, 90)},
    **{50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-110, 70), 90: (-110, 70), 100: (-90, 0)},
}


def index_of(a, b):
    return int((ab_bins() == torch.tensor([a, b])).all(1).nonzero())


def random_ab(pixels, reach, seed=0):
    """(1,2,1,pixels), uniform in the square of that half side."""
    return (torch.rand(1, 2, 1, pixels, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * reach


def brute_force(ab, neighbours, sigma=5.0):
    """Squared distances to all bins (N,Q), float64, and the K least of them with their bins."""
    points = ab.movedim(1, -1).reshape(-1, 2).double()
    squared = (points[:, None] - ab_bins().double()).square().sum(-1)
    least, index = squared.topk(neighbours, largest=False)
    return squared, index, torch.softmax(-least / (2 * sigma**2), dim=1)


def assert_equals_brute_force(ab, neighbours):
    """The same weights everywhere, and the same bins wherever the K-th and the next distance are no tie."""
    index, weight = soft_encode(ab, neighbours)
    index, weight = (x.movedim(1, -1).reshape(-1, neighbours) for x in (index, weight))
    squared, expected_index, expected_weight = brute_force(ab, neighbours)
    assert torch.allclose(weight.sort(1).values.double(), expected_weight.sort(1).values, atol=2e-5)
    own = torch.softmax(-squared.gather(1, index) / 50, dim=1)
    assert torch.allclose(weight.double(), own, atol=2e-5)  # each weight belongs to its bin
    edge = squared.topk(neighbours + 1, largest=False).values[:, -2:]
    distinct = edge[:, 1] - edge[:, 0] > 0.02
    assert distinct.float().mean() > 0.5 or not distinct.any()
    assert torch.equal(index[distinct].sort(1).values, expected_index[distinct].sort(1).values)


def test_the_bins_are_the_released_list():
    digest = hashlib.sha256(ab_bins().numpy().astype("<i8").tobytes()).hexdigest()
    assert digest == "2a39983ed60d5b52b717842d56d5f766982289e6d5a609582155f437cecc1045"  # of the int64 (313,2) array


def test_the_bins_are_runs_of_b_for_each_a():
    table = [[a, b] for a, (first, last) in RUNS.items() for b in range(first, last + 1, 10)]
    assert ab_bins().tolist() == table and len(table) == 313


def test_the_hull_of_the_srgb_cube_holds_233_nodes():
    assert gamut_nodes().sum() == 233


def test_grey_is_bin_120():
    assert ab_bins()[120].tolist() == [0, 0]


def test_writing_into_the_bins_does_not_change_them_for_others():
    ab_bins().zero_()
    assert ab_bins().abs().sum() > 0


def test_every_srgb_colour_rounds_to_a_bin():
    level = torch.linspace(0, 1, 33)
    lab = rgb_to_lab(torch.cartesian_prod(level, level, level).t()[None, :, :, None])
    index, _ = soft_encode(lab[:, 1:], 1)
    distance = (ab_bins()[index[0, 0, :, 0]] - lab[0, 1:, :, 0].t()).norm(dim=1)
    assert distance.max() <= math.hypot(5, 5) + 1e-4


@pytest.mark.parametrize(
    ("colour", "expected"),
    [  # worked from exp(-d^2 / 50) over the five nearest nodes
        ((0, 0), {(0, 0): 0.6488, (0, 10): 0.0878, (0, -10): 0.0878, (10, 0): 0.0878, (-10, 0): 0.0878}),
        ((3, 4), {(0, 0): 0.4062, (0, 10): 0.2723, (10, 0): 0.1825, (10, 10): 0.1224, (-10, 0): 0.0166}),
    ],
)
def test_soft_encode_of_five_neighbours_equals_the_numbers_by_hand(colour, expected):
    index, weight = soft_encode(torch.tensor(colour).float()[None, :, None, None], 5)
    found = {tuple(ab_bins()[i].int().tolist()): w for i, w in zip(index.flatten(), weight.flatten(), strict=True)}
    assert found.keys() == expected.keys()
    assert all(found[node].item() == pytest.approx(expected[node], abs=6e-5) for node in expected)


@pytest.mark.parametrize("neighbours", [1, 2, 5, 10])
def test_soft_encode_finds_what_brute_force_finds_on_the_whole_plane(neighbours):
    assert_equals_brute_force(random_ab(20_000, 128), neighbours)


@pytest.mark.parametrize("neighbours", [1, 5, 10])
def test_soft_encode_finds_what_brute_force_finds_near_grey(neighbours):
    assert_equals_brute_force(random_ab(10_000, 25, seed=1), neighbours)


@pytest.mark.parametrize("neighbours", [1, 5, 10])
def test_soft_encode_finds_what_brute_force_finds_on_ties_and_cell_borders(neighbours):
    line = torch.arange(-128, 128.5, 2.5)
    on_ties = torch.cartesian_prod(line, line).t()[None, :, None]
    whole = torch.arange(-128.0, 129.0, 2)
    on_borders = torch.cartesian_prod(whole, whole).t()[None, :, None]
    assert_equals_brute_force(torch.cat([on_ties, on_borders], dim=-1), neighbours)


def test_soft_encode_with_the_most_neighbours_still_equals_brute_force():
    assert_equals_brute_force(random_ab(2_000, 110, seed=2), 32)


def test_soft_encode_keeps_pixels_and_images_apart():
    ab = random_ab(2 * 3 * 4, 100, seed=3).reshape(2, 2, 3, 4)
    index, weight = soft_encode(ab, 5)
    assert index.shape == weight.shape == (2, 5, 3, 4) and index.dtype == torch.int64
    one_index, one_weight = soft_encode(ab[1:, :, 2:, 1:2], 5)
    assert torch.equal(index[1:, :, 2:, 1:2], one_index) and torch.equal(weight[1:, :, 2:, 1:2], one_weight)


def test_soft_encode_of_more_pixels_than_fit_the_cache_keeps_their_order():
    ab = random_ab(40_000, 100, seed=5)
    index, weight = soft_encode(ab, 2)
    one_index, one_weight = soft_encode(ab[..., 39_000:], 2)
    assert torch.equal(index[..., 39_000:], one_index)
    assert (weight[..., 39_000:] - one_weight).abs().max() < 1e-6  # the last bit depends on how threads share the work


def test_soft_encode_of_one_neighbour_is_one_hot():
    _, weight = soft_encode(random_ab(100, 128), 1)
    assert torch.equal(weight, torch.ones(1, 1, 1, 100))


def test_weights_sum_to_one_even_where_every_gaussian_underflows():
    corner = torch.tensor([-128.0, -128.0])[None, :, None, None]  # 170 from the nearest bin
    _, weight = soft_encode(corner, 5)
    assert weight.sum().item() == pytest.approx(1)


def test_ab_beyond_the_reach_is_encoded_as_at_it():
    far, near = torch.tensor([500.0, -1e9])[None, :, None, None], torch.tensor([128.0, -128.0])[None, :, None, None]
    for beyond, at in zip(soft_encode(far, 5), soft_encode(near, 5), strict=True):
        assert torch.equal(beyond, at)


def test_a_colour_that_is_no_number_gets_weights_that_are_none():
    _, weight = soft_encode(torch.full((1, 2, 1, 1), float("nan")), 5)
    assert weight.isnan().all()


def test_autocast_does_not_change_the_encoding():
    ab = random_ab(500, 100)
    plain = soft_encode(ab, 5)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = soft_encode(ab, 5)
    assert torch.equal(plain[0], under_autocast[0]) and torch.equal(plain[1], under_autocast[1])


def test_tables_made_in_inference_mode_serve_training():
    with torch.inference_mode():
        soft_encode(random_ab(4, 50), 3)
    logits = torch.randn(1, 313, 1, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    index, weight = soft_encode(random_ab(4, 50), 3)
    (logits.log_softmax(1).gather(1, index) * weight).sum().backward()
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((torch.zeros(2, 3, 4, 4), 5), r"ab must be \(B,2,H,W\), not normalised; got \(2, 3, 4, 4\)"),
        ((torch.zeros(1, 2, 4, 4), 0), "neighbours must be 1 to 32, got 0"),
        ((torch.zeros(1, 2, 4, 4), 33), "neighbours must be 1 to 32, got 33"),
        ((torch.zeros(1, 2, 4, 4), 5, 0.0), "sigma must be above 0, in units of ab; got 0.0"),
    ],
)
def test_soft_encode_names_a_bad_argument(arguments, text):
    with pytest.raises(ValueError, match=text):
        soft_encode(*arguments)


@pytest.mark.gpu
def test_a_gpu_encodes_as_the_cpu_does():
    ab = random_ab(5_000, 100)
    for ours, theirs in zip(soft_encode(ab.cuda(), 5), soft_encode(ab, 5), strict=True):
        assert torch.allclose(ours.cpu().double(), theirs.double(), atol=1e-6)


@pytest.mark.parametrize("temperature", [0, 0.38, 1])
def test_a_certain_prediction_decodes_to_its_bin_at_any_temperature(temperature):
    logits = torch.full((1, 313, 1, 1), -100.0)
    logits[0, index_of(30, -50)] = 100.0
    assert annealed_mean(logits, temperature).flatten().tolist() == pytest.approx([30, -50])


def test_annealed_mean_at_one_is_the_mean_and_at_zero_the_mode():
    logits = torch.full((1, 313, 1, 1), -1e4)
    logits[0, index_of(0, 0)], logits[0, index_of(40, 20)] = math.log(0.75), math.log(0.25)
    assert annealed_mean(logits, 1).flatten().tolist() == pytest.approx([10, 5], abs=1e-4)
    assert annealed_mean(logits, 0).flatten().tolist() == [0, 0]
    # T = 1/2 squares the probabilities: 0.0625 / (0.5625 + 0.0625) = 0.1 of the second bin
    assert annealed_mean(logits, 0.5).flatten().tolist() == pytest.approx([4, 2], abs=1e-4)


def test_annealed_mean_is_float32_under_autocast_and_passes_gradients():
    logits = torch.randn(1, 313, 2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        ab = annealed_mean(logits, 0.38)
    assert ab.shape == (1, 2, 2, 2) and ab.dtype == torch.float32
    assert torch.equal(ab, annealed_mean(logits, 0.38))
    ab.sum().backward()
    assert logits.grad.abs().sum() > 0


def test_annealed_mean_names_a_bad_argument():
    with pytest.raises(ValueError, match=r"temperature must be 0 \(mode\) or more, got -1"):
        annealed_mean(torch.zeros(1, 313, 1, 1), -1)
    with pytest.raises(ValueError, match=r"logits must be \(B,313,H,W\), got \(1, 2, 1, 1\)"):
        annealed_mean(torch.zeros(1, 2, 1, 1), 1)


@pytest.mark.parametrize("lam", [0, 0.3, 0.5, 0.9, 1])
def test_rebalancing_weights_have_mean_one_under_the_prior(lam):
    prior = published_prior()
    weight = rebalancing_weights(prior, lam)
    assert weight.dtype == torch.float32
    assert (prior * weight).sum().item() == pytest.approx(1, abs=1e-5)


def test_rebalancing_weights_are_ones_without_rebalancing_and_inverse_without_the_uniform_part():
    prior = torch.tensor([0.5, 0.25, 0.25])
    assert rebalancing_weights(prior, 1).tolist() == pytest.approx([1, 1, 1])
    assert rebalancing_weights(prior, 0).tolist() == pytest.approx([2 / 3, 4 / 3, 4 / 3])


def test_rebalancing_weights_take_counts_and_empty_bins():
    weight = rebalancing_weights(torch.tensor([6, 2, 0]), 0.5)
    # 1 / (p/2 + 1/6) for p = 3/4, 1/4, 0 is 24/13, 24/7, 6; sum p w of these is 18/13 + 6/7 = 204/91
    assert weight.tolist() == pytest.approx([24 / 13 * 91 / 204, 24 / 7 * 91 / 204, 6 * 91 / 204])


def test_rebalancing_weights_name_a_bad_argument():
    with pytest.raises(ValueError, match=r"lam must be in \[0, 1\], got 2"):
        rebalancing_weights(torch.ones(3), 2)
    with pytest.raises(ValueError, match="prior above 0 everywhere, 2 bins are not: floor it, at 1e-8"):
        rebalancing_weights(torch.tensor([1.0, 0.0, 0.0]), 0)


def test_published_prior_has_the_released_peak():
    prior = published_prior()
    assert prior.sum().item() == pytest.approx(1, abs=1e-6) and prior.argmax() == 120
    released = {(0, 0): 0.2012, (0, 10): 0.1083, (0, -10): 0.0642, (10, 0): 0.0531, (-10, 0): 0.0491}
    for node, value in released.items():
        assert prior[index_of(*node)].item() == pytest.approx(value, rel=1e-3)


def test_published_prior_is_as_spread_as_the_released_one():
    prior = published_prior()
    assert -(prior * prior.log()).sum().item() == pytest.approx(3.437, rel=0.005)
    assert prior.min().item() == pytest.approx(6.07e-9, rel=0.03)
    assert prior[index_of(100, -90)].item() == pytest.approx(6.07e-9, rel=0.15)


def test_published_prior_gives_the_released_weights():
    weight = rebalancing_weights(published_prior(), 0.5)
    assert weight.argmin() == 120
    ours = [weight.min().item(), weight.max().item(), weight.median().item(), weight.mean().item()]
    assert ours == pytest.approx([0.0965, 6.175, 5.999, 5.175], rel=0.003)


def test_accumulate_prior_is_the_mean_of_the_soft_encoded_pixels():
    counts = torch.zeros(313, dtype=torch.float64)
    ab = torch.zeros(1, 2, 1, 2)
    ab[..., 1] = torch.tensor([3.0, 4.0])[None, :, None]
    accumulate_prior(counts, ab)
    prior = counts / counts.sum()
    assert counts.sum().item() == pytest.approx(2)
    assert prior[index_of(0, 0)].item() == pytest.approx((0.6488 + 0.4062) / 2, abs=1e-4)
    assert prior[index_of(10, 10)].item() == pytest.approx(0.1224 / 2, abs=1e-4)


def test_accumulate_prior_adds_batches_and_takes_every_stride_th_pixel():
    ab = random_ab(8 * 8, 60, seed=4).reshape(1, 2, 8, 8)
    counts = torch.zeros(313, dtype=torch.float64)
    for _ in range(2):
        accumulate_prior(counts, ab, stride=4)
    picked = accumulate_prior(torch.zeros(313, dtype=torch.float64), ab[:, :, [0, 4]][..., [0, 4]])
    assert counts.sum().item() == pytest.approx(8) and torch.allclose(counts, 2 * picked)


def test_what_an_evaluation_kept_serves_a_training():
    for kept in (gamut_nodes, shared_bins, candidates, lookup):
        kept.cache_clear()
    with torch.inference_mode():
        annealed_mean(torch.zeros(1, 313, 1, 1), 0.38)
        soft_encode(torch.zeros(1, 2, 1, 1), neighbours=5)
    logits = torch.zeros(1, 313, 1, 1, requires_grad=True)
    annealed_mean(logits, 0.38).sum().backward()
    assert logits.grad.abs().sum() > 0
    assert not any(table.is_inference() for table in lookup(5, torch.device("cpu"))[:3])


def test_a_prior_is_read_from_either_kind_of_file(tmp_path):
    counts = np.arange(313.0)
    np.save(tmp_path / "prior.npy", counts)
    (tmp_path / "prior.json").write_text(json.dumps(counts.tolist()))
    for name in ("prior.npy", "prior.json"):
        prior = read_prior(tmp_path / name, "model.prior")
        assert prior.dtype == torch.float32 and prior.numpy() == pytest.approx(counts / counts.sum())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[1, 2]", r"must hold 313 frequencies, none negative; got shape \(2,\)"),
        ("a.json", json.dumps([-1] + 312 * [1]), "none negative"),
        ("a.json", json.dumps(313 * [0]), "must hold 313 frequencies"),
        ("a.json", "{", "cannot be read"),
        ("a.npy", "", "cannot be read"),
    ],
)
def test_a_file_that_is_no_prior_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"^model.prior: .*{message}"):
        read_prior(tmp_path / name, "model.prior")
