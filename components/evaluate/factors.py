"""Biased matrix factorisation by alternating least squares: what ratings alone can tell of a rating."""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.baselines import Biases, fit_biases
from components.evaluate.held_out import Batch
from components.evaluate.scoring import Predictions
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]

# Rows that are gathered at once: 64 MB of factors.
_ROWS_AT_ONCE = 1 << 20
# Ratings that the movies' factors are learnt from; each movie has enough of them long before.
_MAX_ROWS = 4_000_000


class Factors:
    """Rates by mean + biases + user factors . movie factors (Koren, Bell & Volinsky 2009).

    Each side is solved exactly with the other held fixed (Zhou et al. 2008), with a ridge that grows with the
    number of ratings, so that little-known users and movies stay close to their biases.
    """

    def __init__(
        self,
        known: UserRatings,
        movies: int,
        dimension: int = 16,
        ridge: float = 0.08,
        sweeps: int = 6,
        seed: int = 0,
    ) -> None:
        """Fits `dimension` factors to `known` in `sweeps` rounds, starting from random ones by `seed`."""
        self._biases = fit_biases(known, movies)
        residuals = UserRatings(known.offsets, known.movies, _residuals(known, self._biases))
        by_user = _sample(residuals)
        by_movie = _transposed(by_user, movies)
        generator = np.random.default_rng(seed)
        self._movies = generator.normal(0, 0.1, (movies, dimension)).astype(np.float32)
        for _ in range(sweeps):
            self._movies = _solved(by_movie, _solved(by_user, self._movies, ridge), ridge)
        self._users = _solved(residuals, self._movies, ridge)

    def predict(self, batch: Batch) -> Predictions:
        users, movies = batch.users[batch.pair_rows], batch.movies
        mean, user_biases, movie_biases = self._biases
        dots = np.einsum("pd,pd->p", self._users[users], self._movies[movies])
        return Predictions(None, (mean + user_biases[users] + movie_biases[movies] + dots).astype(np.float32))


def _residuals(known: UserRatings, biases: Biases) -> Array:
    expected = np.float32(biases.mean) + biases.users[known.users()] + biases.movies[known.movies]
    residuals: Array = (known.ratings - expected).astype(np.float32)
    return residuals


def _sample(ratings: UserRatings) -> UserRatings:
    """Some of the users, evenly spread, if there are too many ratings to learn the movies from all."""
    users, rows = len(ratings.offsets) - 1, len(ratings.movies)
    if rows <= _MAX_ROWS:
        return ratings
    chosen = np.linspace(0, users - 1, int(users * _MAX_ROWS / rows)).astype(np.int64)
    movies, values, row_splits = ratings.rows(chosen)
    return UserRatings(row_splits, movies, values)


def _transposed(ratings: UserRatings, movies: int) -> UserRatings:
    """The same ratings grouped by movie, with users in the place of movies."""
    order = np.argsort(ratings.movies, kind="stable")
    offsets = np.append(0, np.cumsum(np.bincount(ratings.movies, minlength=movies)))
    return UserRatings(offsets, ratings.users()[order], ratings.ratings[order])


def _solved(ratings: UserRatings, other: Array, ridge: float) -> Array:
    """The least-squares factors of each user, the movies' factors `other` given; or the other way round."""
    counts = ratings.counts
    factors = np.zeros((len(counts), other.shape[1]), np.float32)
    # Those with about as many ratings are solved together, padded to the longest of them.
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    while len(order):
        size = _longest_in_batch(counts[order])
        batch, order = order[:size], order[size:]
        factors[batch] = _solve_batch(ratings, other, batch, ridge)
    return factors


def _longest_in_batch(counts: Array) -> int:
    """How many fit, their `counts` ascending, when all are padded to the last of them."""
    padded = counts * np.arange(1, len(counts) + 1)
    return max(int(np.searchsorted(padded, _ROWS_AT_ONCE, side="right")), 1)


def _solve_batch(ratings: UserRatings, other: Array, batch: Array, ridge: float) -> Array:
    counts = ratings.counts[batch]
    places = np.arange(counts[-1])
    inside = places < counts[:, None]
    positions = np.where(inside, ratings.offsets[batch][:, None] + places, 0)
    features = other[ratings.movies[positions]] * inside[:, :, None]
    gram = features.transpose(0, 2, 1) @ features
    gram += (ridge * counts)[:, None, None] * np.eye(other.shape[1], dtype=np.float32)
    right = features.transpose(0, 2, 1) @ ratings.ratings[positions][:, :, None]
    solution: Array = np.linalg.solve(gram, right)[:, :, 0]
    return solution
