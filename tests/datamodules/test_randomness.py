import pytest
import torch

from datamodules.randomness import Draws, key_of, philox, sample_uniforms

# Known answers for philox4x32-10 from the kat_vectors file of Random123 (Salmon et al.): counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def draws(count=64, seed=3, epoch=5, purpose="mask"):
    return Draws(seed, epoch, torch.arange(count) * 977, purpose)


@pytest.mark.parametrize("counter, key, expected", KNOWN_ANSWERS)
def test_philox_gives_the_known_answers_for_ints(counter, key, expected):
    assert philox(counter, key) == expected


def test_philox_gives_the_known_answers_for_tensors_in_one_batch():
    counters = [torch.tensor(word) for word in zip(*(case[0] for case in KNOWN_ANSWERS), strict=True)]
    keys = [torch.tensor(word) for word in zip(*(case[1] for case in KNOWN_ANSWERS), strict=True)]
    words = torch.stack(philox(counters, keys), dim=1)
    assert words.tolist() == [list(case[2]) for case in KNOWN_ANSWERS]


def test_seed_and_purpose_change_the_key():
    keys = {key_of(seed, purpose) for seed in (0, 1, 1 << 32, 1 << 63) for purpose in ("mask", "crop")}
    assert len(keys) == 8
    assert all(0 <= word < 1 << 32 for key in keys for word in key)


def test_sample_uniforms_equal_the_first_four_of_draws():
    values = draws(count=5).uniform(7)[:, :4]
    expected = [sample_uniforms(3, 5, index * 977, "mask") for index in range(5)]
    assert values.tolist() == [list(row) for row in expected]


def test_numbers_of_a_sample_do_not_depend_on_its_batch():
    together = draws(8)
    whole = [together.uniform(3, 5), together.integers(0, 100, 6), together.normal(4)]
    for sample in range(8):
        alone = Draws(3, torch.tensor([5]), torch.tensor([sample * 977]), "mask")
        parts = [alone.uniform(3, 5), alone.integers(0, 100, 6), alone.normal(4)]
        assert all(torch.equal(one[0], many[sample]) for one, many in zip(parts, whole, strict=True))


def test_each_sample_may_have_its_own_epoch():
    mixed = Draws(3, torch.tensor([5, 6]), torch.tensor([977, 977]), "mask").uniform(4)
    for row, epoch in zip(mixed, (5, 6), strict=True):
        assert torch.equal(row, Draws(3, epoch, torch.tensor([977]), "mask").uniform(4)[0])


@pytest.mark.parametrize("change", [{"seed": 4}, {"epoch": 6}, {"purpose": "crop"}])
def test_seed_epoch_and_purpose_each_change_the_numbers(change):
    assert (draws().uniform(16) != draws(**change).uniform(16)).float().mean() > 0.99


def test_calls_of_one_stream_differ_and_repeat_from_the_start():
    stream = draws()
    first, second = stream.uniform(16), stream.uniform(16)
    assert (first != second).float().mean() > 0.99
    assert torch.equal(draws().uniform(16), first)


def test_uniform_fills_its_range_evenly():
    values = draws(64).uniform(4000, low=-1.0, high=3.0)
    assert values.min() >= -1 and values.max() < 3
    # 256,000 draws in 16 bins: a chi-square with 15 degrees of freedom exceeds 44 once in 10,000 times.
    counts = torch.histc(values, 16, -1, 3)
    assert ((counts - 16000) ** 2 / 16000).sum() < 44
    correlation = torch.corrcoef(torch.stack([values[:, :-1].flatten(), values[:, 1:].flatten()]))[0, 1]
    assert correlation.abs() < 0.01


def test_integers_reach_every_number_within_their_bounds_and_no_other():
    values = draws(64).integers(-2, 5, 200)
    assert values.dtype == torch.int64
    assert values.unique().tolist() == list(range(-2, 5))


def test_integers_take_bounds_for_each_sample():
    low, high = torch.arange(64)[:, None], torch.arange(64)[:, None] + 3
    values = draws(64).integers(low, high, 100)
    assert ((values >= low) & (values < high)).all()
    assert (values.amin(1) == low[:, 0]).all() and (values.amax(1) == high[:, 0] - 1).all()


def test_normal_has_mean_zero_and_variance_one():
    values = draws(64).normal(2000)  # 128,000 draws: the mean's standard error is 0.003
    assert values.isfinite().all()
    assert values.mean().abs() < 0.015 and (values.var() - 1).abs() < 0.02


def test_shapes_without_axes_give_one_number_a_sample():
    assert draws(5).uniform().shape == (5,)
    assert draws(5).integers(0, 3, 2, 2).shape == (5, 2, 2)


def test_fold_is_another_stream_of_the_same_samples():
    parent = draws()
    child = parent.fold("lines")
    assert torch.equal(child.index, parent.index) and torch.equal(child.epoch, parent.epoch)
    values = child.uniform(16)
    assert (values != draws().uniform(16)).float().mean() > 0.99
    assert (values != draws().fold("dust").uniform(16)).float().mean() > 0.99
    parent.uniform(3)  # what the parent has drawn does not matter
    assert torch.equal(parent.fold("lines").uniform(16), values)


@pytest.mark.parametrize("rows", [torch.tensor([4, 1]), torch.arange(8) % 3 == 0])
def test_take_goes_on_with_the_streams_of_some_samples(rows):
    stream = draws(8)
    stream.uniform(2)
    part = stream.take(rows)
    assert torch.equal(part.uniform(3), stream.uniform(3)[rows])


@pytest.mark.gpu
def test_cuda_draws_the_same_numbers():
    cpu, cuda = draws(), Draws(3, 5, torch.arange(64, device="cuda") * 977, "mask")
    assert torch.equal(cpu.uniform(100, low=-0.3, high=0.7), cuda.uniform(100, low=-0.3, high=0.7).cpu())
    assert torch.equal(cpu.integers(0, 1000, 100), cuda.integers(0, 1000, 100).cpu())


def test_a_slice_is_the_streams_of_its_samples_from_where_they_stand():
    whole = draws(8)
    whole.uniform(2)
    part = whole[2:5]
    assert torch.equal(part.uniform(3), whole.uniform(3)[2:5])
