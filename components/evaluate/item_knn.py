"""The nearest movies of what a user has rated (Deshpande & Karypis 2004): a baseline for any catalogue."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import Batch
from components.evaluate.scoring import Predictions
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]

NEIGHBOURS = 50
# Ratings that are looked at to find the neighbours of one movie; raters beyond them are sampled.
_ROWS_A_MOVIE = 40_000
# A movie that few of its neighbour's raters also rated may be near by chance.
_SHRINKAGE = 10


class ItemKnn:
    """Recommends the movies most alike to all that a user has rated.

    Two movies are alike by the cosine of who rated them, shrunk where few rated both. Each movie keeps its
    nearest ones; the others follow in the order of popularity.
    """

    def __init__(self, known: UserRatings, movies: int, neighbours: int = NEIGHBOURS) -> None:
        """Finds the `neighbours` nearest of each of `movies` in `known`."""
        counts = np.bincount(known.movies, minlength=movies)
        # Below any cosine, and enough to order what has none.
        self._background = (1e-9 * counts / (counts.max(initial=0) + 1)).astype(np.float32)
        self._movies = np.zeros((movies, neighbours), np.int32)
        self._cosines = np.zeros((movies, neighbours), np.float32)
        for movie, common in _co_ratings(known, counts):
            common[movie] = 0
            cosines = (
                common / np.sqrt(counts * max(counts[movie], 1) + 1e-9) * (common / (common + _SHRINKAGE))
            )
            nearest = np.argpartition(-cosines, min(neighbours, movies) - 1)[:neighbours]
            self._movies[movie, : len(nearest)] = nearest
            self._cosines[movie, : len(nearest)] = cosines[nearest]

    def predict(self, batch: Batch) -> Predictions:
        users, movies = len(batch.users), len(self._background)
        rated, _, row_splits = batch.history
        owners = np.repeat(np.arange(users), np.diff(row_splits))
        cells = owners[:, np.newaxis] * movies + self._movies[rated]
        sums = np.bincount(cells.ravel(), self._cosines[rated].ravel(), minlength=users * movies)
        return Predictions(sums.reshape(users, movies).astype(np.float32) + self._background, None)


def _co_ratings(known: UserRatings, counts: Array) -> Iterator[tuple[int, Array]]:
    """Each rated movie, and how many of its raters rated each movie, float64 [M], estimated if many did."""
    by_movie = np.argsort(known.movies, kind="stable")
    raters = known.users()[by_movie]
    ends = np.cumsum(counts)
    activity = known.counts
    for movie in np.flatnonzero(counts):
        of_movie = raters[ends[movie] - counts[movie] : ends[movie]]
        chosen = of_movie
        rows = int(activity[of_movie].sum())
        if rows > _ROWS_A_MOVIE:
            size = max(int(len(of_movie) * _ROWS_A_MOVIE / rows), 1)
            chosen = of_movie[np.linspace(0, len(of_movie) - 1, size).astype(np.int64)]
        found, _, _ = known.rows(chosen)
        yield int(movie), np.bincount(found, minlength=len(counts)) * (len(of_movie) / len(chosen))
