from datamodules.sampler import EachOnce, StreamBatches


def stream(length, batch_size, iterations, **more):
    return [key for batch in StreamBatches(length, batch_size, iterations, seed=3, **more) for key in batch]


def test_each_epoch_visits_every_sample_once_and_batches_cross_epochs():
    keys = stream(length=10, batch_size=4, iterations=5)
    assert [epoch for epoch, _ in keys] == [0] * 10 + [1] * 10
    for epoch in (0, 1):
        assert sorted(position for e, position in keys if e == epoch) == list(range(10))
    assert keys[:10] != [(0, position) for position in range(10)]


def test_epochs_and_seeds_have_orders_of_their_own():
    first = [position for _, position in stream(50, 10, 10)]
    assert first[:50] != first[50:]
    other = [key for batch in StreamBatches(50, 10, 5, seed=4) for key in batch]
    assert [position for _, position in other] != first[:50]


def test_two_ranks_of_batch_b_see_what_one_rank_of_batch_2b_sees():
    one = list(StreamBatches(11, 6, 4, seed=3))
    ranks = [list(StreamBatches(11, 3, 4, seed=3, rank=rank, world=2)) for rank in (0, 1)]
    assert one == [first + second for first, second in zip(*ranks, strict=True)]


def test_a_resumed_stream_goes_on_where_it_stopped_with_any_number_of_ranks():
    whole = stream(length=11, batch_size=6, iterations=8)
    resumed = StreamBatches(11, 3, 8, seed=3, rank=1, world=2, done=5, seen=30)
    assert list(resumed) == [whole[33:36], whole[39:42], whole[45:48]]
    assert len(resumed) == 8


def test_evaluation_counts_each_image_once_over_three_uneven_ranks():
    shares = [[key for batch in EachOnce(10, 3, rank=rank, world=3) for key in batch] for rank in range(3)]
    assert sorted(position for share in shares for _, position in share) == list(range(10))
    assert [len(share) for share in shares] == [4, 3, 3]
    assert [len(EachOnce(10, 3, rank=rank, world=3)) for rank in range(3)] == [2, 1, 1]
