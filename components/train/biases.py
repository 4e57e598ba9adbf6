"""Biases of users and movies: what ratings say of both without any taste."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]


class Biases(NamedTuple):
    """The mean rating and the biases of users and movies, in the unit of the ratings."""

    mean: float
    users: Array  # float32 [users]
    movies: Array  # float32 [movies]
    user_variance: float  # of the biases of users
    noise: float  # variance of a rating around its mean and biases

    def rate(self, users: Array, movies: Array) -> Array:
        """Rates `movies` [p] for `users` [p], float32 [p]."""
        rating: Array = np.float32(self.mean) + self.users[users] + self.movies[movies]
        return rating


def fit_biases(known: UserRatings, movies: int, sweeps: int = 8) -> Biases:
    """Fits biases of users and movies, each shrunk towards 0 where few ratings are known.

    rating = mean + b_user + b_movie + noise, with b_user ~ N(0, s_u^2), b_movie ~ N(0, s_m^2) and noise
    ~ N(0, s^2); the posterior mean of a bias is the sum of its residuals over (count + s^2 / s_u^2). The
    variances are estimated by expectation maximisation in the same sweeps (Dempster, Laird & Rubin 1977), so
    that there is no weight to tune. Koren (2009, "baseline predictors") has fixed weights in their place.

    A user or movie without ratings has the bias 0. Each sweep goes over the ratings once, piece by piece.
    """
    mean = float(np.mean(known.ratings, dtype=np.float64))
    user_counts, movie_counts = known.counts, known.movie_counts(movies)
    users, user_spread = np.zeros(known.users, np.float32), np.zeros(known.users)
    by_movie, squares = np.zeros(movies), 0.0
    for _, piece in known.pieces():
        centred = piece.ratings - np.float32(mean)
        by_movie += np.bincount(piece.movies, weights=centred, minlength=movies)
        squares += float(np.sum(np.square(centred), dtype=np.float64))
    total = max(len(known.movies), 1)
    floor = 1e-6 * (squares / total + 1e-6)
    noise = user_variance = movie_variance = 1e5 * floor
    for _ in range(sweeps):
        movie_biases, spread = _shrink(by_movie, movie_counts, noise, movie_variance)
        movie_variance = float(np.mean(spread[movie_counts > 0]))
        by_movie, squares = np.zeros(movies), 0.0
        for part, piece in known.pieces():
            centred, owners = piece.ratings - np.float32(mean), piece.owners
            residuals = centred - movie_biases[piece.movies]
            sums = np.bincount(owners, weights=residuals, minlength=piece.users)
            users[part], user_spread[part] = _shrink(sums, user_counts[part], noise, user_variance)
            of_user = users[part][owners]
            squares += float(np.sum(np.square(residuals - of_user), dtype=np.float64))
            by_movie += np.bincount(piece.movies, weights=centred - of_user, minlength=movies)
        user_variance = float(np.mean(user_spread[user_counts > 0]))
        noise = squares / total + floor
    return Biases(mean, users, movie_biases, user_variance, noise)


def _shrink(sums: Array, counts: Array, noise: float, variance: float) -> tuple[Array, Array]:
    """Returns the posterior means of biases by the sums of their residuals, and mean squares, float64."""
    precision = counts + noise / variance
    biases = sums / precision
    return biases.astype(np.float32), np.square(biases) + noise / precision
