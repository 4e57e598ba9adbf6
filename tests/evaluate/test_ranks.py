"""Ranks pair by pair, and lists: every number, and what it is kept in."""

import numpy as np
import pytest

from components.evaluate import ranking
from components.evaluate.ranking import MISS, Columns, best_unseen, ranks
from components.vocabulary.interactions import UserRatings

USERS, MOVIES = 6, 60


def world(seed, shared):
    """Scores with ties, zeros of both signs and a few that are no number; three users know some movies."""
    random = np.random.default_rng(seed)
    scores = np.round(random.normal(size=(1 if shared else USERS, MOVIES)) * 2).astype(np.float32)
    scores[scores == 0] *= np.float32(-1) ** random.integers(0, 2, np.count_nonzero(scores == 0))
    scores[-1, :5] = [np.nan, np.inf, -np.inf, -0.0, np.copysign(np.nan, -1)]
    scores[-1, 5:8] = [1e-9, 2e-9, 3e-9]
    known = [np.sort(random.choice(MOVIES, size, replace=False)) for size in (0, 7, 30, 0, 59, 45)]
    # Two users have so many pairs that the row is sorted for them; one has none.
    asked = [random.permutation(MOVIES)[:size] for size in (3, 40, 0, 39, 50, 12)]
    return np.broadcast_to(scores, (USERS, MOVIES)), known, asked


def expected(scores, known, asked, unseen):
    found = []
    for user, movies in enumerate(asked):
        row = scores[user]
        for movie in movies:
            out = set(known[user]) if unseen else set()
            others = [other for other in range(MOVIES) if other != movie and other not in out]
            lost = not np.isfinite(row[movie]) or movie in out
            found.append(MISS if lost else sum(not row[other] < row[movie] for other in others))
    return found


def flat(lists):
    movies = np.concatenate(lists).astype(np.int32)
    splits = np.cumsum([0] + [len(one) for one in lists])
    return UserRatings(movies, np.zeros(len(movies), np.float32), splits)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shared", [False, True])
def test_each_pair_has_the_rank_that_counting_gives(seed, shared):
    scores, known, asked = world(seed, shared)
    among_all, among_unseen = ranks(scores, flat(asked), flat(known))
    assert among_all.dtype == among_unseen.dtype == np.int32
    assert among_all.tolist() == expected(scores, known, asked, unseen=False)
    assert among_unseen.tolist() == expected(scores, known, asked, unseen=True)


@pytest.mark.parametrize("users", [1, 90])
@pytest.mark.parametrize("shared", [False, True])
def test_however_often_the_buffer_is_full_or_whoever_shares_a_row(monkeypatch, users, shared):
    monkeypatch.setattr(ranking, "_BUFFER_BYTES", 1)
    random = np.random.default_rng(2)
    scores = random.permuted(
        np.tile(np.arange(MOVIES, dtype=np.float32), (1 if shared else users, 1)), axis=1
    )
    scores = np.broadcast_to(scores, (users, MOVIES))
    asked = [random.permutation(MOVIES)[: 1 + user % 39] for user in range(users)]
    pairs, nothing = flat(asked), flat([[]] * users)
    for found in ranks(scores, pairs, nothing):
        np.testing.assert_array_equal(found, MOVIES - 1 - scores[pairs.owners, pairs.movies])


@pytest.mark.parametrize("catalogue", [2048, 2295, 4590])
def test_the_best_of_a_wide_row_beats_all_others(catalogue):
    scores = -np.arange(catalogue, dtype=np.float32)[np.newaxis].repeat(2, axis=0)
    among_all, _ = ranks(scores, flat([[0], [1]]), flat([[], []]))
    assert among_all.tolist() == [0, 1]


def test_scores_of_more_users_than_were_asked_for_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        ranks(np.zeros((3, MOVIES), np.float32), flat([[0], [1]]), flat([[], []]))


def test_columns_of_their_own_are_numbered_in_as_little_as_they_need():
    columns = Columns.each(3)
    assert (columns.of_movie.tolist(), columns.sizes.tolist()) == ([0, 1, 2], [1, 1, 1])
    assert (columns.of_movie.dtype, columns.sizes.dtype) == (np.int32, np.int64)


def test_lists_hold_the_best_unseen_movies_best_first():
    scores = np.array([[0.1, 0.9, 0.5, np.nan, -np.inf, 0.7]], np.float32)
    history = UserRatings(np.array([1]), np.array([4.0]), np.array([0, 1]))
    assert best_unseen(scores, history, np.array([0]), k=2).tolist() == [[5, 2]]
    assert best_unseen(scores, history, np.array([0]), k=5).tolist() == [[5, 2, 0, -1, -1]]
    assert best_unseen(scores, history, np.array([], int), k=5).shape == (0, 5)


@pytest.mark.parametrize("k", [1, 2, 10, 999, 1000, 1001])
def test_each_users_list_is_that_of_sorting_what_the_user_has_not_rated(k):
    random = np.random.default_rng(3)
    scores = random.permuted(np.tile(np.arange(1000, dtype=np.float32), (USERS, 1)), axis=1)
    known = [random.permutation(1000)[:size] for size in (0, 7, 30, 1, 999, 1000)]
    rows = np.array([5, 0, 3, 1, 4, 2])
    found = best_unseen(scores, flat(known), rows, k=k)
    assert found.dtype == np.int32
    for of_user, row in zip(found.tolist(), rows, strict=True):
        best = [movie for movie in np.argsort(-scores[row]).tolist() if movie not in known[row]][:k]
        assert of_user == best + [-1] * (k - len(best))
