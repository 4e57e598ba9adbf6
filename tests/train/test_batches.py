from itertools import islice

import numpy as np
import pytest

from components.train.training_data import RatedCatalogue, UserBatches
from components.vocabulary.interactions import Interactions, UserRatings


def _batches(counts, users, size, seed, movies=5000):
    """Batches of users with so many ratings each, all of which differ."""
    rows = [np.sort(np.random.default_rng(user).permutation(movies)[:n]) for user, n in enumerate(counts)]
    owners, rated = np.repeat(np.arange(len(counts)), counts), np.concatenate(rows)
    ratings = UserRatings.group(owners, rated, np.arange(len(rated)), len(counts))
    ones, rows = np.ones(movies, np.int64), np.arange(movies, dtype=np.int32)
    catalogue = RatedCatalogue(rows, ones, ones, np.zeros_like(rows), 0.0, 1.0)
    return UserBatches(catalogue, [ratings], users, size, seed)


def test_an_epoch_has_every_user_with_ratings_once():
    counts = [3, 0, 5, 1, 0, 7, 2]
    batches = list(islice(_batches(counts, 2, 1000, 1).from_step(0), 3))
    lengths = np.concatenate([np.diff(splits) for *_, splits in batches])
    assert sorted(lengths) == [1, 2, 3, 5, 7]
    assert sorted(np.concatenate([ratings for _, ratings, _ in batches])) == list(range(18))


@pytest.mark.parametrize("size", [10, 64, 1000])
def test_batches_are_bounded_in_users_and_in_ratings(size):
    counts = np.random.default_rng(1).integers(1, 40, 200)
    counts[17] = 3000
    for movies, ratings, row_splits in islice(_batches(counts, 16, size, 1).from_step(0), 60):
        assert len(movies) == len(ratings) == row_splits[-1] <= size
        assert 1 <= len(row_splits) - 1 <= 16


def test_another_part_of_a_user_too_large_for_a_batch_every_epoch():
    batches = list(islice(_batches([100], 4, 10, 1).from_step(0), 2))
    assert all(len(set(movies)) == 10 for movies, *_ in batches)
    assert set(batches[0][0]) != set(batches[1][0])


@pytest.mark.parametrize("step", [1, 5, 13])
def test_a_resumed_training_sees_the_batches_it_would_have_seen(step):
    batches = _batches(np.arange(1, 40), 8, 1000, 3)
    whole = list(islice(batches.from_step(0), step + 6))
    for one, other in zip(whole[step:], islice(batches.from_step(step), 6), strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_epochs_differ_and_a_seed_repeats_them():
    one, other = (list(islice(_batches([1] * 50, 50, 100, 7).from_step(0), 2)) for _ in range(2))
    np.testing.assert_array_equal(one[1][1], other[1][1])
    assert not np.array_equal(one[0][1], one[1][1])


def test_known_ratings_are_those_of_both_splits(world):
    rows = Interactions.load(world.interactions)
    catalogue = RatedCatalogue.of(rows, np.zeros(rows.movies, np.int32))
    parts = [rows.split("train"), rows.split("validation")]
    users = np.array([3, 0, -1, 3])
    known = catalogue.encode(parts, users)
    for place, user in enumerate(users):
        movies, ratings, _ = known[place : place + 1].arrays
        expected = {**world.splits["train"].get(user, {}), **world.splits["validation"].get(user, {})}
        table_rows = {int(catalogue.rows[movie]): stars for movie, stars in expected.items()}
        stars = ratings * catalogue.scale + catalogue.mean
        assert dict(zip(movies.tolist(), stars, strict=True)) == pytest.approx(table_rows, rel=1e-5)
    assert UserBatches(catalogue, parts, 1, 1, 1).counts[3] == 21
