"""Ranks of held-out movies among the whole catalogue, exact.

The rank of a movie for a user is the number of OTHER candidates that score at least as much, so that a tie
counts against the model; the movie is among the k best where its rank is below k. A rank needs no top-k: one
pass over the user's row of scores counts it, in a twentieth of the time.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import History

Array = npt.NDArray[Any]

# The rank of a pair that no k can reach: its score is no number, or the model cannot recommend its movie.
MISS = np.iinfo(np.int32).max

# From so many pairs of one user on, sorting the row once is faster than counting for each (17,770 movies).
_SORT_FROM = 28


@dataclass(frozen=True)
class Columns:
    """Which column of a row of scores each movie of the catalogue has; alike movies may share one.

    A model scores all movies alike that it knows nothing of. In a catalogue most of which nobody has rated,
    that leaves a fraction of the arithmetic.

    Attributes:
      of_movie: int32 [M].
      sizes: int64 [C], how many movies share each column.
    """

    of_movie: Array
    sizes: Array

    @classmethod
    def each(cls, movies: int) -> Self:
        """A column for each movie."""
        return cls(np.arange(movies, dtype=np.int32), np.ones(movies, np.int64))

    @classmethod
    def alike(cls, features: Array) -> tuple[Self, Array]:
        """A column for all movies with equal `features` [M, d], and a movie of each column, int64 [C]."""
        width = features.dtype.itemsize * features.shape[1]
        rows = np.ascontiguousarray(features).view(f"V{width}").ravel()
        _, first, of_movie, sizes = np.unique(
            rows, return_index=True, return_inverse=True, return_counts=True
        )
        return cls(of_movie.astype(np.int32), sizes), first


def ranks(
    scores: Array, movies: Array, row_splits: Array, history: History, columns: Columns | None = None
) -> tuple[Array, Array]:
    """Ranks among all movies, and among those that the user has not rated yet.

    Args:
      scores: float32 [n, C]; a row that all users share (`np.broadcast_to`) is sorted once. -inf for a movie
        that cannot be recommended. NaN counts against the model: as a candidate it beats every movie, as a
        held-out movie it is a miss.
      movies: int32 [p], the held-out movies of n users, one user after the other.
      row_splits: int64 [n + 1]; the i-th user's pairs are row_splits[i]:row_splits[i + 1].
      history: what is known of the n users; its movies are no candidates among the unseen.
      columns: which column each movie has; None if each has its own.

    Returns:
      Two arrays, int32 [p]: 0 for the best-scored movie; `MISS` where the movie's own score is not finite
      and, among the unseen, where the movie is in the history itself.
    """
    columns = columns or Columns.each(scores.shape[1])
    catalogue = len(columns.of_movie)
    owners = np.repeat(np.arange(len(scores)), np.diff(row_splits))
    own = scores[owners, columns.of_movie[movies]]
    lower, at_least_seen = np.empty(len(movies), np.int64), np.empty(len(movies), np.int64)
    seen_columns = columns.of_movie[history.movies]
    buffer = np.empty(scores.shape[1], np.bool_)
    one_for_all = scores.strides[0] == 0 and len(scores) > 0
    if one_for_all:
        lower[:] = np.searchsorted(np.sort(scores[0]), own)
    for i, row in enumerate(scores):
        pairs = slice(row_splits[i], row_splits[i + 1])
        seen = row[seen_columns[history.row_splits[i] : history.row_splits[i + 1]]]
        if not one_for_all:
            lower[pairs] = _count_lower(row, own[pairs], buffer)
        at_least_seen[pairs] = len(seen) - np.searchsorted(np.sort(seen), own[pairs])
    lower += _shared_lower(scores, owners, own, columns.sizes)
    others = catalogue - lower - 1  # the movie itself is one of those that are not lower
    miss = ~np.isfinite(own)
    miss_unseen = miss | _is_seen(owners, movies, history, catalogue)
    return (
        np.where(miss, MISS, others).astype(np.int32),
        np.where(miss_unseen, MISS, others - at_least_seen).astype(np.int32),
    )


def _count_lower(row: Array, bounds: Array, buffer: Array) -> Any:
    """How many of `row` are below each of `bounds`; what cannot be compared is not below."""
    if len(bounds) >= _SORT_FROM:
        return np.searchsorted(np.sort(row), bounds)
    return [np.count_nonzero(np.less(row, bound, out=buffer)) for bound in bounds]


def _shared_lower(scores: Array, owners: Array, own: Array, sizes: Array) -> Array:
    """How many movies are lower beyond the first of each column, int64 [p]."""
    lower = np.zeros(len(own), np.int64)
    for column in np.flatnonzero(sizes > 1):
        lower += (sizes[column] - 1) * (scores[owners, column] < own)
    return lower


def _is_seen(owners: Array, movies: Array, history: History, catalogue: int) -> Array:
    """Which pairs occur in the history, bool [p]."""
    rows = np.repeat(np.arange(len(history.row_splits) - 1), np.diff(history.row_splits))
    seen = np.append(rows * catalogue + history.movies, -1)  # -1 is where a key beyond the last one looks
    wanted = owners * catalogue + movies
    found: Array = seen[np.searchsorted(seen[:-1], wanted)] == wanted
    return found
