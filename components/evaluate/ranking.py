"""Predictions and answers per pair; exact ranks in the catalogue, and lists of the best unseen movies."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]

# The rank of a pair that no k can reach: its score is no number, or the model cannot recommend its movie.
MISS = np.iinfo(np.int32).max

# From so many pairs of one user on, sorting the row once is faster than counting for each.
_SORT_FROM = 40
# What the comparisons of some pairs with all columns may take: they are counted while still in the cache.
_BUFFER_BYTES = 1 << 20
# Bytes of 0 and 1 are added up eight at a time, as 64-bit words: of so many words no byte overflows.
_WORDS = 255


@dataclass(frozen=True)
class Columns:
    """Columns of a row of scores by movie of the catalogue; alike movies may share one.

    A model scores all movies alike that it knows nothing of. In a catalogue most of which nobody has rated,
    that leaves a fraction of the arithmetic.
    """

    of_movie: Array  # int32 [M]
    sizes: Array  # int64 [C], the number of movies that share each column

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


class Predictions(NamedTuple):
    """A scorer's answers for a batch of n users with p pairs; None where it has no such answer.

    retrieval: float32 [n, C], the greater the rather to be recommended; -inf for a movie that it cannot
    recommend. ratings: float32 [p], in stars. columns: the column of each movie; None if each has its own.
    """

    retrieval: Array | None
    ratings: Array | None
    columns: Columns | None = None


@dataclass(frozen=True)
class Answers:
    """A scorer's answers per pair, for some users' held-out pairs."""

    ranks: Array | None = None  # int32 [p], every movie a candidate; None if the scorer does not rank
    unseen_ranks: Array | None = None  # int32 [p], the user's known movies left out
    ratings: Array | None = None  # float32 [p], stars, clipped to the scale; None if the scorer does not rate
    lists: Array | None = None  # int32 [s, k], the best unseen movies of `HeldOut.listed`, -1 for none
    non_finite: Array | None = None  # bool [n], the users with an answer that is no finite number

    @property
    def non_finite_users(self) -> int:
        """The number of users with an answer that is no finite number."""
        return 0 if self.non_finite is None else int(np.count_nonzero(self.non_finite))


def ranks(
    scores: Array, pairs: UserRatings, history: UserRatings, columns: Columns | None = None
) -> tuple[Array, Array]:
    """Ranks among all movies, and among those that the user has not rated yet.

    Args:
      scores: float32 [n, C]; a row that all users share (`np.broadcast_to`) is sorted once. -inf for a movie
        that cannot be recommended. NaN counts against the model: as a candidate it beats every movie, as a
        held-out movie it is a miss.
      pairs: the p held-out ratings of the n users, of which only the movies are read.
      history: the known ratings of the n users; their movies are no candidates among the unseen.
      columns: which column each movie has; None if each has its own.

    Returns:
      Two arrays, int32 [p]: 0 for the best-scored movie; `MISS` where the movie's own score is not finite
      and, among the unseen, where the movie is in the history itself.
    """
    columns = columns or Columns.each(scores.shape[1])
    catalogue = len(columns.of_movie)
    owners = pairs.owners
    own = scores[owners, columns.of_movie[pairs.movies]]
    lower = _count_lower(scores, own, pairs) + _count_among_shared(scores, owners, own, columns.sizes)
    others = catalogue - lower - 1  # the movie itself is one of those that are not lower
    miss = ~np.isfinite(own)
    miss_unseen = miss | _is_seen(pairs, history, catalogue)
    unseen = others - _count_seen(scores, owners, own, history, columns)
    return (
        np.where(miss, MISS, others).astype(np.int32),
        np.where(miss_unseen, MISS, unseen).astype(np.int32),
    )


def _count_lower(scores: Array, own: Array, pairs: UserRatings) -> Array:
    """Counts the columns that score less than each of `own`, int64 [p]; NaN is not less."""
    if len(scores) and scores.strides[0] == 0:
        return np.searchsorted(np.sort(scores[0]), own)
    lower = np.empty(len(own), np.int64)
    sizes, splits = pairs.counts, pairs.offsets.tolist()
    few = np.flatnonzero(np.repeat(sizes < _SORT_FROM, sizes))
    counter = _Counter(scores.shape[1], lower, few)
    bounds = own[:, np.newaxis]
    for row, start, stop in zip(scores, splits[:-1], splits[1:], strict=True):
        if stop - start >= _SORT_FROM:
            lower[start:stop] = np.searchsorted(np.sort(row), own[start:stop])
        else:
            counter.compare(row, bounds[start:stop])
    counter.count()
    return lower


class _Counter:
    """Compares rows with bounds, many at a time, and counts what is below.

    Counting the comparisons of one pair costs less than the call that does it, so they are gathered. What is
    done for each row is done in Python, one thread at a time: hence so little of it.
    """

    def __init__(self, width: int, lower: Array, places: Array) -> None:
        """Puts counts of rows of `width` into the `places`, in their order, of `lower`, int64 [p]."""
        groups = max(-(-width // (8 * _WORDS)), 1)
        words = -(-width // (8 * groups))
        self._pairs = max(_BUFFER_BYTES // (8 * words * groups), _SORT_FROM)
        self._buffer = np.zeros((self._pairs, groups, words), np.uint64)
        self._flags = self._buffer.view(np.bool_).reshape(self._pairs, -1)[:, :width]
        self._lower, self._places = lower, places
        self._filled = self._counted = 0

    def compare(self, row: Array, bounds: Array) -> None:
        """Compares `row` with the `bounds`, float32 [n, 1], of the next n places."""
        end = self._filled + len(bounds)
        if end > self._pairs:
            self.count()
            end = len(bounds)
        np.less(row, bounds, out=self._flags[self._filled : end])
        self._filled = end

    def count(self) -> None:
        """Counts what was compared since the last time."""
        words = np.add.reduce(self._buffer[: self._filled], axis=2)
        counts = words.view(np.uint8).sum(axis=1)
        self._lower[self._places[self._counted : self._counted + self._filled]] = counts
        self._counted += self._filled
        self._filled = 0


def _count_seen(scores: Array, owners: Array, own: Array, history: UserRatings, columns: Columns) -> Array:
    """Counts the movies of the user's history that score at least `own`, int64 [p]."""
    rows = history.owners
    seen = _sort_keys(scores[rows, columns.of_movie[history.movies]], rows)
    seen.sort()
    below = np.searchsorted(seen, _sort_keys(own, owners))
    at_least: Array = history.offsets[owners + 1] - below
    return at_least


def _sort_keys(scores: Array, rows: Array) -> Array:
    """Numbers in the order of the rows and, within a row, of the scores; NaN is as good as infinity."""
    # Adding 0 makes -0 a 0; the bits of positive floats are in their order, of negative ones in reverse.
    bits = (np.where(np.isnan(scores), np.float32(np.inf), scores) + np.float32(0)).view(np.uint32)
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (rows.astype(np.uint64) << np.uint64(32)) | ascending


def _count_among_shared(scores: Array, owners: Array, own: Array, sizes: Array) -> Array:
    """Counts the movies that score less beyond the first of each column, int64 [p]."""
    lower = np.zeros(len(own), np.int64)
    for column in np.flatnonzero(sizes > 1):
        lower += (sizes[column] - 1) * (scores[owners, column] < own)
    return lower


def _is_seen(pairs: UserRatings, history: UserRatings, catalogue: int) -> Array:
    """Marks the pairs that occur in the history, bool [p]."""
    seen, wanted = (one.owners.astype(np.int64) * catalogue + one.movies for one in (history, pairs))
    found: Array = np.searchsorted(seen, wanted) < np.searchsorted(seen, wanted, side="right")
    return found


LENGTH = 10


def best_unseen(
    scores: Array, history: UserRatings, rows: Array, columns: Columns | None = None, k: int = LENGTH
) -> Array:
    """The k best movies that a user has not rated, best first.

    Args:
      scores: float32 [n, C].
      history: the known ratings of the n users.
      rows: int [s], the users asked about.
      columns: which column each movie has; None if each has its own.

    Returns:
      int32 [s, k], movie indices; -1 where there are no more candidates.
    """
    best = np.full((len(rows), k), -1, np.int32)
    for place, row in enumerate(rows):
        of_user = scores[row] if columns is None else scores[row][columns.of_movie]
        keys = -of_user  # those of no candidates are sorted last: infinity and NaN
        keys[history[row : row + 1].movies] = np.inf
        count = min(k, int(np.count_nonzero(keys < np.inf)))
        if count:
            top = np.argpartition(keys, count - 1)[:count]
            best[place, :count] = top[np.argsort(keys[top], kind="stable")]
    return best
