import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigan.data.batches import Batches, permutation
from minigan.data.dataset import ArrayDataset
from minigan.data.rng import philox

SEEDS = st.integers(0, 2**64 - 1)


def points(n: int) -> ArrayDataset:
    """Sample i is (i, -i) with the label i."""
    column = np.arange(n, dtype=np.float32)
    return ArrayDataset("points", np.stack([column, -column], axis=1), np.arange(n))


@given(n=st.integers(0, 500), seed=SEEDS, epoch=st.integers(0, 10**6))
def test_permutation_holds_each_index_once(n: int, seed: int, epoch: int) -> None:
    order = permutation(n, seed, epoch)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))


def test_permutation_differs_by_seed_and_by_epoch() -> None:
    orders = [permutation(100, seed, epoch).tolist() for seed in range(5) for epoch in range(5)]
    assert len({tuple(order) for order in orders}) == 25


def test_permutation_puts_every_index_anywhere() -> None:
    """Chi-square of 2000 permutations of 6 against uniform: 25 degrees of freedom, 99.99 % lie below 62."""
    counts = np.zeros((6, 6))
    for epoch in range(2000):
        counts[np.arange(6), permutation(6, 0, epoch)] += 1
    assert ((counts - 2000 / 6) ** 2 / (2000 / 6)).sum() < 62


def test_permutation_never_changes_between_versions() -> None:
    """A run that is resumed under a newer minigan or NumPy must see the batches that it would have seen."""
    assert permutation(10, seed=0, epoch=0).tolist() == [3, 1, 7, 9, 6, 2, 5, 4, 8, 0]


@given(n=st.integers(1, 60), seed=SEEDS, data=st.data())
def test_an_epoch_has_each_sample_once_but_for_the_dropped_rest(n: int, seed: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, n))
    batches = Batches(points(n), size, seed)
    seen = np.concatenate([batches.indices(step) for step in range(batches.steps_per_epoch)])
    assert batches.steps_per_epoch == n // size
    assert len(seen) == n // size * size
    assert len(set(seen.tolist())) == len(seen)


@given(seed=SEEDS, steps=st.lists(st.integers(0, 100), max_size=10))
def test_any_step_in_any_order_is_the_step_of_an_uninterrupted_run(seed: int, steps: list[int]) -> None:
    uninterrupted = Batches(points(23), 5, seed)
    expected = [uninterrupted.indices(step).copy() for step in range(101)]
    resumed = Batches(points(23), 5, seed)
    for step in steps:
        np.testing.assert_array_equal(resumed.indices(step), expected[step])


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_each_epoch_has_its_own_order(epoch: int) -> None:
    batches = Batches(points(12), 4, seed=3)
    seen = np.concatenate([batches.indices(3 * epoch + position) for position in range(3)])
    np.testing.assert_array_equal(seen, permutation(12, 3, epoch))


def test_at_gives_the_samples_and_their_labels() -> None:
    batches = Batches(points(10), 4, seed=3)
    x, labels = batches.at(7)
    assert labels is not None
    np.testing.assert_array_equal(labels, batches.indices(7))
    np.testing.assert_array_equal(x, np.stack([labels, -labels], axis=1))


def test_epoch_counts_from_zero() -> None:
    batches = Batches(points(10), 4, seed=0)
    assert [batches.epoch(step) for step in range(6)] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("size", [0, -1, 11])
def test_impossible_batch_sizes_are_refused(size: int, user_error) -> None:
    with user_error("batch_size", "1 to 10", "points", f"got {size}"):
        Batches(points(10), size, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_impossible_seeds_are_refused(seed: int, user_error) -> None:
    with user_error("seed", "2**64", f"got {seed}"):
        Batches(points(10), 2, seed)


def test_streams_of_random_bits_differ_by_use() -> None:
    assert not np.array_equal(philox(0, "epoch").random_raw(4), philox(0, "ring/train").random_raw(4))
