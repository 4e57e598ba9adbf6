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
# Of so many times more movies than ratings, sorting the ratings is faster than counting for each movie.
_SPARSE = 20


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
        for movie, others, common in _co_ratings(known, counts):
            cosines = common / np.sqrt(counts[others] * counts[movie]) * (common / (common + _SHRINKAGE))
            if len(others) > neighbours:
                nearest = np.argpartition(-cosines, neighbours - 1)[:neighbours]
                others, cosines = others[nearest], cosines[nearest]
            self._movies[movie, : len(others)] = others
            self._cosines[movie, : len(others)] = cosines

    def predict(self, batch: Batch) -> Predictions:
        users, movies = len(batch.users), len(self._background)
        rated, _, row_splits = batch.history
        owners = np.repeat(np.arange(users), np.diff(row_splits))
        cells = owners[:, np.newaxis] * movies + self._movies[rated]
        sums = np.bincount(cells.ravel(), self._cosines[rated].ravel(), minlength=users * movies)
        return Predictions(sums.reshape(users, movies).astype(np.float32) + self._background, None)


def _co_ratings(known: UserRatings, counts: Array) -> Iterator[tuple[int, Array, Array]]:
    """Each rated movie, which others its raters rated, int64 [c], and how many of them did, float64 [c].

    The numbers are estimates where many rated it.
    """
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
        others, common = _counted(found[found != movie], len(counts))
        yield int(movie), others, common * (len(of_movie) / len(chosen))


def _counted(found: Array, movies: int) -> tuple[Array, Array]:
    """The different values of `found`, and how often each occurs."""
    if movies > _SPARSE * len(found):
        return np.unique(found, return_counts=True)
    counts = np.bincount(found, minlength=movies)
    present = np.flatnonzero(counts)
    return present, counts[present]
