from itertools import pairwise

import numpy as np
import pytest

from components.train.training_data import share_out


def _batch(counts):
    """Users whose ratings are all different, so that each rating says whose it is."""
    row_splits = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    numbers = np.arange(row_splits[-1])
    return numbers.astype(np.int32), numbers.astype(np.float32), row_splits


def _users(batch):
    movies, ratings, row_splits = batch
    assert row_splits[-1] == len(movies) == len(ratings)
    np.testing.assert_array_equal(movies, ratings)
    return [tuple(movies[start:stop]) for start, stop in pairwise(row_splits)]


@pytest.mark.parametrize("replicas", [1, 2, 3, 7, 16])
def test_together_the_shares_are_the_batch(replicas):
    batch = _batch(np.random.default_rng(1).integers(1, 60, 40))
    shares = share_out(batch, replicas)
    assert len(shares) == replicas
    assert sorted(user for share in shares for user in _users(share)) == sorted(_users(batch))


def test_shares_are_of_a_batch_s_types():
    batch = _batch([3, 4, 5])
    for part in share_out(batch, 2):
        assert [array.dtype for array in part] == [array.dtype for array in batch]


@pytest.mark.parametrize("replicas", [2, 4, 8])
def test_replicas_have_about_as_many_ratings_each(replicas):
    counts = np.random.default_rng(2).zipf(1.6, 256).clip(1, 3000)
    sizes = [len(movies) for movies, *_ in share_out(_batch(counts), replicas)]
    assert max(sizes) - min(sizes) <= counts.max()


@pytest.mark.parametrize(("users", "replicas"), [(1, 2), (1, 8), (3, 8), (7, 8)])
def test_no_replica_is_without_a_user(users, replicas):
    batch = _batch(range(1, users + 1))
    shares = [_users(share) for share in share_out(batch, replicas)]
    assert all(len(share) == 1 for share in shares)
    assert {user for share in shares for user in share} == set(_users(batch))


def test_one_replica_gets_the_batch_itself():
    batch = _batch([2, 5])
    assert share_out(batch, 1)[0] is batch
