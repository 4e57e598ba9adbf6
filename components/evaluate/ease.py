"""EASE (Steck 2019): the best linear model of which movies are rated together. A hard baseline to beat."""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import Batch
from components.evaluate.ranking import Columns
from components.evaluate.scoring import Predictions
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]

# The most movies that the model takes: to invert a matrix of so many rows takes seconds and 0.5 GB.
MAX_MOVIES = 4096
# The arithmetic that counting pairs of movies may cost, in multiplications; beyond it, users are sampled.
_MAX_COUNTING = 4e11
_USERS_AT_ONCE = 2048


class Ease:
    """Recommends what goes with all that a user has rated.

    Movies beyond the `max_movies` most rated come after all others, in the order of their popularity.
    """

    def __init__(
        self,
        known: UserRatings,
        movies: int,
        regularisation: float | None = None,
        max_movies: int = MAX_MOVIES,
    ) -> None:
        """Fits the model to `known`.

        Args:
          movies: the size of the catalogue.
          regularisation: added to the diagonal of the matrix of counts; None for 1000, the best for 6,040
            users (MovieLens 1M), and less for fewer.
          max_movies: how many movies the model covers.
        """
        counts = np.bincount(known.movies, minlength=movies)
        order = np.argsort(-counts, kind="stable")
        covered = order[: min(max_movies, int(np.count_nonzero(counts)))]
        column = np.full(movies, -1, np.int32)
        column[covered] = np.arange(len(covered), dtype=np.int32)
        self._column, self._covered = column, len(covered)
        # Below any score of a covered movie, whatever the user: a sum of weights is far from a million.
        background = (counts / (counts.max(initial=0) + 1) - 1e6).astype(np.float32)
        others = np.flatnonzero(column < 0)
        self._background, level = np.unique(background[others], return_inverse=True)
        of_movie = column.copy()
        of_movie[others] = len(covered) + level
        self._columns = Columns(of_movie, np.bincount(of_movie, minlength=len(covered)))
        gram, sampled = _counts_of_pairs(known, column, len(covered))
        if regularisation is None:
            regularisation = 1000 * min(1, (sampled / 6040) ** 0.5)
        self._weights = _weights(gram, regularisation)

    def predict(self, batch: Batch) -> Predictions:
        movies, _, row_splits = batch.history
        seen = _indicators(self._column[movies], row_splits, self._covered)
        scores = np.empty((len(batch.users), len(self._columns.sizes)), np.float32)
        np.matmul(seen, self._weights, out=scores[:, : self._covered])
        scores[:, self._covered :] = self._background
        return Predictions(scores, None, self._columns)


def _indicators(columns: Array, row_splits: Array, width: int) -> Array:
    """1 where a user rated a covered movie, float32 [n, width]; `columns` is -1 for a movie not covered."""
    rows = np.repeat(np.arange(len(row_splits) - 1), np.diff(row_splits))
    indicators = np.zeros((len(row_splits) - 1, width), np.float32)
    covered = columns >= 0
    indicators[rows[covered], columns[covered]] = 1
    return indicators


def _counts_of_pairs(known: UserRatings, column: Array, width: int) -> tuple[Array, int]:
    """How many users rated both of two movies, float32 [width, width], and of how many users that is."""
    users = np.flatnonzero(known.counts)
    allowed = max(int(_MAX_COUNTING / max(width, 1) ** 2), 1)
    if len(users) > allowed:
        users = users[np.linspace(0, len(users) - 1, allowed).astype(np.int64)]
    gram = np.zeros((width, width), np.float32)
    for start in range(0, len(users), _USERS_AT_ONCE):
        movies, _, row_splits = known.rows(users[start : start + _USERS_AT_ONCE])
        indicators = _indicators(column[movies], row_splits, width)
        gram += indicators.T @ indicators
    return gram, len(users)


def _weights(gram: Array, regularisation: float) -> Array:
    """Steck's closed form: what each movie adds to each other one, float32 [width, width], diagonal 0."""
    regularised = gram.astype(np.float64)
    regularised[np.diag_indices_from(regularised)] += regularisation
    precision = np.linalg.inv(regularised)
    weights = precision / -np.diag(precision)
    np.fill_diagonal(weights, 0)
    return weights.astype(np.float32)
