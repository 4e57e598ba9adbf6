"""A world of users and movies: who watches what, and how they like it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.sample.choice import choices
from components.sample.words import GENRES

Generator = np.random.Generator
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer[Any]]

# What makes the world, in stars where nothing else is said.
_MEAN = 3.2
_USER_BIAS = 0.3
_MOVIE_BIAS = 0.3
_TASTE = 0.75
_NOISE = 0.6
# Popularity falls as a power of the rank, activity is log-normal: the long tails of real ratings.
_POPULARITY_EXPONENT = 0.8
_ACTIVITY_SPREAD = 1.0


@dataclass(frozen=True)
class World:
    """Users and movies with their tastes.

    Attributes:
      genres: int8 [movies], an index into the genres of `words`.
      popularity: float32 [movies], relative; 0 for movies that nobody rates.
      movie_bias: float32 [movies], stars.
      user_bias: float32 [users], stars.
      tastes: float32 [users, genres], standard normal: what a user makes of a genre.
      activity: int64 [users], how many movies each user rates.
    """

    genres: npt.NDArray[np.int8]
    popularity: Floats
    movie_bias: Floats
    user_bias: Floats
    tastes: Floats
    activity: npt.NDArray[np.int64]


def create(random: Generator, users: int, movies: int, rated_movies: int, ratings: int) -> World:
    """Draws a world in which `users` give `ratings` ratings to `rated_movies` of the `movies`."""
    popularity = np.zeros(movies, np.float32)
    rated = random.permutation(movies)[:rated_movies]
    popularity[rated] = np.arange(1, rated_movies + 1) ** -_POPULARITY_EXPONENT
    return World(
        genres=random.permutation(np.arange(movies) % len(GENRES)).astype(np.int8),
        popularity=popularity,
        movie_bias=_normal(random, movies) * _MOVIE_BIAS,
        user_bias=_normal(random, users) * _USER_BIAS,
        tastes=_normal(random, (users, len(GENRES))),
        activity=_activity(random, users, rated_movies, ratings),
    )


def _activity(random: Generator, users: int, most: int, total: int) -> npt.NDArray[np.int64]:
    """How many ratings each user gives: log-normal, 1 to `most`, `total` together."""
    shares = random.lognormal(sigma=_ACTIVITY_SPREAD, size=users)
    low, high = 0.0, float(most) / shares.min()
    for _ in range(100):
        scale = (low + high) / 2
        counts = np.clip(scale * shares, 1, most).astype(np.int64)
        low, high = (scale, high) if counts.sum() <= total else (low, scale)
    counts = np.clip(low * shares, 1, most).astype(np.int64)
    # Rounding down left a few ratings over, fewer than there are users that can take one more.
    takers = np.flatnonzero(counts < most)[: total - int(counts.sum())]
    counts[takers] += 1
    return counts


def rate(random: Generator, world: World) -> tuple[Integers, Integers, Integers]:
    """Lets every user choose movies and rate them.

    Returns:
      users int32, movies int32 and stars int8 [ratings], sorted by movie, as the Netflix files are.
    """
    rated = np.flatnonzero(world.popularity)
    chosen = choices(random, world.tastes, world.activity, world.genres[rated], world.popularity[rated])
    blocks = []
    for user, column in chosen:
        movie = rated[column]
        blocks.append((user.astype(np.int32), movie.astype(np.int32), _stars(random, world, user, movie)))
    user, movie, stars = (np.concatenate(part) for part in zip(*blocks, strict=True))
    order = np.argsort(movie, kind="stable")
    return user[order], movie[order], stars[order]


def _stars(random: Generator, world: World, user: Integers, movie: Integers) -> Integers:
    liking = _MEAN + world.user_bias[user] + world.movie_bias[movie]
    liking += _TASTE * world.tastes[user, world.genres[movie]] + _NOISE * _normal(random, len(user))
    stars: Integers = np.clip(np.rint(liking), 1, 5).astype(np.int8)
    return stars


def _normal(random: Generator, shape: int | tuple[int, ...]) -> Floats:
    return random.standard_normal(shape, dtype=np.float32)
