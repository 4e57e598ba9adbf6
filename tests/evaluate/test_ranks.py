"""Ranks pair by pair: every number, and what it is kept in."""

import numpy as np
import pytest

from components.evaluate.held_out import History
from components.evaluate.ranking import MISS, Columns, ranks

USERS, MOVIES = 5, 60


def world(seed, shared):
    """Scores with ties, zeros of both signs and a few that are no number; three users know some movies."""
    random = np.random.default_rng(seed)
    scores = np.round(random.normal(size=(1 if shared else USERS, MOVIES)) * 2).astype(np.float32)
    scores[scores == 0] *= np.float32(-1) ** random.integers(0, 2, np.count_nonzero(scores == 0))
    scores[-1, :4] = [np.nan, np.inf, -np.inf, -0.0]
    known = [np.sort(random.choice(MOVIES, size, replace=False)) for size in (0, 7, 30, 0, 59)]
    # One user has so many pairs that the row is sorted for them; one has none.
    asked = [random.permutation(MOVIES)[:size] for size in (3, 50, 0, 39, 12)]
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
    splits = np.cumsum([0] + [len(one) for one in lists])
    return np.concatenate(lists).astype(np.int32), splits


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shared", [False, True])
def test_each_pair_has_the_rank_that_counting_gives(seed, shared):
    scores, known, asked = world(seed, shared)
    movies, splits = flat(asked)
    known_movies, known_splits = flat(known)
    history = History(known_movies, np.zeros(len(known_movies), np.float32), known_splits)
    among_all, among_unseen = ranks(scores, movies, splits, history)
    assert among_all.dtype == among_unseen.dtype == np.int32
    assert among_all.tolist() == expected(scores, known, asked, unseen=False)
    assert among_unseen.tolist() == expected(scores, known, asked, unseen=True)


def test_columns_of_their_own_are_numbered_in_as_little_as_they_need():
    columns = Columns.each(3)
    assert (columns.of_movie.tolist(), columns.sizes.tolist()) == ([0, 1, 2], [1, 1, 1])
    assert (columns.of_movie.dtype, columns.sizes.dtype) == (np.int32, np.int64)
