"""Simple predictors that a model has to beat: popularity, the mean, and biases of users and movies.

Each is fitted on the known ratings (training and validation), like the histories that the models read.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import Batch
from components.evaluate.scoring import Predictions
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]


class Popularity:
    """Recommends to everyone the movies with the most known ratings."""

    def __init__(self, known: UserRatings, movies: int) -> None:
        self._scores = np.bincount(known.movies, minlength=movies).astype(np.float32)

    def predict(self, batch: Batch) -> Predictions:
        return Predictions(np.broadcast_to(self._scores, (len(batch.users), len(self._scores))), None)


class GlobalMean:
    """Rates every movie with the mean of the known ratings."""

    def __init__(self, known: UserRatings) -> None:
        self._mean = np.mean(known.ratings, dtype=np.float64)

    def predict(self, batch: Batch) -> Predictions:
        return Predictions(None, np.full(len(batch.movies), self._mean, np.float32))


class Bias:
    """Rates by mean + bias of the user + bias of the movie."""

    def __init__(self, known: UserRatings, movies: int) -> None:
        self._biases = fit_biases(known, movies)

    def predict(self, batch: Batch) -> Predictions:
        mean, users, movies = self._biases
        ratings = mean + users[batch.users[batch.pair_rows]] + movies[batch.movies]
        return Predictions(None, ratings.astype(np.float32))


class Biases(NamedTuple):
    """The mean rating, and what users (float64 [users]) and movies (float64 [movies]) add to it, in stars."""

    mean: float
    users: Array
    movies: Array


def fit_biases(known: UserRatings, movies: int, sweeps: int = 8) -> Biases:
    """Biases of users and movies, each drawn towards 0 by how little is known of it.

    rating = mean + b_user + b_movie + noise, with b_user ~ N(0, s_u^2), b_movie ~ N(0, s_m^2) and noise
    ~ N(0, s^2); the posterior mean of a bias is the sum of its residuals over (count + s^2 / s_u^2). The
    variances are estimated by expectation maximisation in the same sweeps (Dempster, Laird & Rubin 1977), so
    that there is no weight to tune. Koren (2009, "baseline predictors") has fixed weights in their place.

    A user or movie without ratings has the bias 0.
    """
    owners, items = known.users(), known.movies
    mean = float(np.mean(known.ratings, dtype=np.float64))
    centred = known.ratings - np.float32(mean)
    user_counts, movie_counts = known.counts, np.bincount(items, minlength=movies)
    users, movie_biases = np.zeros(len(user_counts), np.float32), np.zeros(movies, np.float32)
    floor = 1e-6 * (float(np.var(centred, dtype=np.float64)) + 1e-6)
    noise = user_variance = movie_variance = 1e5 * floor
    for _ in range(sweeps):
        residuals = centred - users[owners]
        movie_biases, movie_variance = _shrunk(items, residuals, movie_counts, noise, movie_variance)
        residuals = centred - movie_biases[items]
        users, user_variance = _shrunk(owners, residuals, user_counts, noise, user_variance)
        noise = float(np.mean(np.square(residuals - users[owners]), dtype=np.float64)) + floor
    return Biases(mean, users, movie_biases)


def _shrunk(of: Array, residuals: Array, counts: Array, noise: float, variance: float) -> tuple[Array, float]:
    """Posterior means of one kind of bias, and its variance estimated anew."""
    precision = counts + noise / variance
    biases = np.bincount(of, weights=residuals, minlength=len(counts)) / precision
    seen = counts > 0
    spread = np.mean(np.square(biases[seen]) + noise / precision[seen])
    return biases.astype(np.float32), float(spread)
