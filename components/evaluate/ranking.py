"""Ranks of held-out movies among the whole catalogue, exact.

The rank of a movie for a user is the number of OTHER candidates that score at least as much, so that a tie
counts against the model; the movie is among the k best where its rank is below k. A rank needs no top-k: one
pass over the user's row of scores counts it, in a twentieth of the time.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import History

Array = npt.NDArray[Any]

# The rank of a pair that no k can reach: its score is no number, or the model cannot recommend its movie.
MISS = np.iinfo(np.int32).max

# From so many pairs of one user on, sorting the row once is faster than counting for each (17,770 movies).
_SORT_FROM = 32


def ranks(scores: Array, movies: Array, row_splits: Array, history: History) -> tuple[Array, Array]:
    """Ranks among all movies, and among those that the user has not rated yet.

    Args:
      scores: float32 [n, M]; -inf for a movie that cannot be recommended. NaN counts against the model: as a
        candidate it beats every movie, as a held-out movie it is a miss.
      movies: int32 [p], the held-out movies of n users, one user after the other.
      row_splits: int64 [n + 1]; the i-th user's pairs are row_splits[i]:row_splits[i + 1].
      history: what is known of the n users; its movies are no candidates among the unseen.

    Returns:
      Two arrays, int32 [p]: 0 for the best-scored movie; `MISS` where the movie's own score is not finite
      and, among the unseen, where the movie is in the history itself.
    """
    owners = np.repeat(np.arange(len(scores)), np.diff(row_splits))
    own = scores[owners, movies]
    at_least, at_least_seen = np.empty(len(movies), np.int32), np.empty(len(movies), np.int32)
    buffer = np.empty(scores.shape[1], np.bool_)
    for i, row in enumerate(scores):
        pairs = slice(row_splits[i], row_splits[i + 1])
        seen = history.movies[history.row_splits[i] : history.row_splits[i + 1]]
        at_least[pairs] = len(row) - _count_lower(row, own[pairs], buffer)
        at_least_seen[pairs] = len(seen) - np.searchsorted(np.sort(row[seen]), own[pairs])
    others = at_least - 1  # the movie itself is one of them
    miss = ~np.isfinite(own)
    miss_unseen = miss | _is_seen(owners, movies, history, scores.shape[1])
    return np.where(miss, MISS, others), np.where(miss_unseen, MISS, others - at_least_seen)


def _count_lower(row: Array, bounds: Array, buffer: Array) -> Array:
    """How many of `row` are below each of `bounds`; what cannot be compared is not below."""
    if len(bounds) >= _SORT_FROM:
        return np.searchsorted(np.sort(row), bounds)
    return np.array([np.count_nonzero(np.less(row, bound, out=buffer)) for bound in bounds])


def _is_seen(owners: Array, movies: Array, history: History, catalogue: int) -> Array:
    """Which pairs occur in the history, bool [p]."""
    rows = np.repeat(np.arange(len(history.row_splits) - 1), np.diff(history.row_splits))
    seen = np.append(rows * catalogue + history.movies, -1)  # -1 is where a key beyond the last one looks
    wanted = owners * catalogue + movies
    found: Array = seen[np.searchsorted(seen[:-1], wanted)] == wanted
    return found
