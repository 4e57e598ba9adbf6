"""Ranks of held-out movies among the whole catalogue, exact.

The rank of a movie for a user is the number of OTHER candidates that score at least as much, so that a tie
counts against the model; the movie is among the k best where its rank is below k. A rank needs no sorting:
one pass over the user's row of scores counts it, some 20 times faster than a top-k of the row.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import History

Array = npt.NDArray[Any]

# The rank of a pair that no k can reach: its score is not a number, or the model does not know its movie.
MISS = np.iinfo(np.int32).max

# From so many pairs of one user on, sorting the row once is faster than counting for each (17,770 movies).
_SORT_FROM = 32


def ranks(scores: Array, movies: Array, row_splits: Array) -> Array:
    """Ranks where every movie of the catalogue is a candidate.

    Args:
      scores: float32 [n, M]; -inf for a movie that cannot be recommended. NaN counts against the model:
        as a candidate it beats every movie, as a held-out movie it is a miss.
      movies: int32 [p], the held-out movies of n users, one user after the other.
      row_splits: int64 [n + 1]; the i-th user's pairs are row_splits[i]:row_splits[i + 1].

    Returns:
      int32 [p]: 0 for the best-scored movie; `MISS` where the movie's own score is not finite.
    """
    owners = np.repeat(np.arange(len(scores)), np.diff(row_splits))
    own = scores[owners, movies]
    lower = np.empty(len(movies), np.int64)
    buffer = np.empty(scores.shape[1], np.bool_)
    for row, start, stop in zip(scores, row_splits[:-1], row_splits[1:], strict=True):
        lower[start:stop] = _count_lower(row, own[start:stop], buffer)
    at_least = scores.shape[1] - lower - 1  # without the movie itself
    return np.where(np.isfinite(own), at_least, MISS).astype(np.int32)


def _count_lower(row: Array, bounds: Array, buffer: Array) -> Array:
    """How many of `row` are below each of `bounds`; what cannot be compared is not below."""
    if len(bounds) >= _SORT_FROM:
        return np.searchsorted(np.sort(row), bounds)
    return np.array([np.count_nonzero(np.less(row, bound, out=buffer)) for bound in bounds], np.int64)


def unseen_ranks(
    all_ranks: Array, scores: Array, movies: Array, row_splits: Array, history: History
) -> Array:
    """Ranks where the movies of the user's history are not candidates.

    Args:
      all_ranks: what `ranks` returned for the same `scores`, `movies` and `row_splits`.
      history: what is known of the n users.

    Returns:
      int32 [p]; `MISS` where the movie is in the history itself, and so is never recommended.
    """
    owners = np.repeat(np.arange(len(scores)), np.diff(row_splits))
    own = scores[owners, movies]
    better_seen = np.empty(len(movies), np.int32)
    for i in range(len(scores)):
        start, stop = row_splits[i], row_splits[i + 1]
        seen = np.sort(scores[i, history.movies[history.row_splits[i] : history.row_splits[i + 1]]])
        better_seen[start:stop] = len(seen) - np.searchsorted(seen, own[start:stop])
    miss = (all_ranks == MISS) | _is_seen(owners, movies, history, scores.shape[1])
    return np.where(miss, MISS, all_ranks - better_seen)


def _is_seen(owners: Array, movies: Array, history: History, catalogue: int) -> Array:
    """Which pairs occur in the history, bool [p]."""
    rows = np.repeat(np.arange(len(history.row_splits) - 1), np.diff(history.row_splits))
    seen = np.append(rows * catalogue + history.movies, -1)  # -1 is where a key beyond the last one looks
    wanted = owners * catalogue + movies
    found: Array = seen[np.searchsorted(seen[:-1], wanted)] == wanted
    return found
