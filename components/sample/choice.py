"""Which movies the users of a generated world watch: without replacement, by popularity and taste."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Generator = np.random.Generator
Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Pairs = tuple[Integers, Integers]

# A movie of one unit more taste is watched e^1.5 = 4.5 times as often.
_TASTE_IN_CHOICE = 1.5
# Cells of the table users x movies that are held at a time, 4 bytes each; and draws held at a time.
_CELLS = 16_000_000
_DRAWS = 4_000_000
# A larger table is not filled: it would take minutes, and most of it is not watched.
_LARGEST_TABLE = 2_000_000_000
# Who watches more than this share of the movies would draw the same ones again and again.
_SPARSE = 0.05


def choices(
    random: Generator, tastes: Floats, activity: Integers, genres: Integers, popularity: Floats
) -> Iterator[Pairs]:
    """Yields the users and the movies that they watch, both int64 [t], block by block.

    A user's first movie is drawn by weight, popularity times e^(1.5 taste); so is the next among the others,
    and so on. Either by a race or draw by draw, which comes to the same and is faster where users watch a
    small part of many movies.

    Args:
      tastes: float32 [users, genres].
      activity: int64 [users], how many movies each user watches.
      genres: int8 [movies]; popularity: float32 [movies], positive.
    """
    liking = np.exp(_TASTE_IN_CHOICE * tastes)
    everyone, movies = np.arange(len(activity)), len(popularity)
    racing = everyone
    if len(activity) * movies > _LARGEST_TABLE:
        sparse = activity <= _SPARSE * movies
        racing = everyone[~sparse]
        draw = _Draws(random, genres, popularity)
        for users in _blocks(everyone[sparse], activity):
            rows, columns = draw.distinct(liking[users], activity[users])
            yield users[rows], columns
    for start in range(0, len(racing), step := max(1, _CELLS // movies)):
        users = racing[start : start + step]
        rows, columns = _race(random, liking[users], activity[users], genres, popularity)
        yield users[rows], columns


def _race(
    random: Generator, liking: Floats, activity: Integers, genres: Integers, popularity: Floats
) -> Pairs:
    """Chooses by a race in which each movie takes an exponential time at a rate equal to its weight.

    The first n to arrive are a weighted sample without replacement (Efraimidis & Spirakis 2006).
    """
    times = random.standard_exponential((len(liking), len(popularity)), dtype=np.float32)
    times /= liking[:, genres]
    times /= popularity
    latest = np.take_along_axis(np.sort(times, axis=1), activity[:, None] - 1, axis=1)
    rows, columns = np.nonzero(times <= latest)
    return rows, columns


class _Draws:
    """Chooses movie by movie; one that the user has watched already is drawn in vain."""

    def __init__(self, random: Generator, genres: Integers, popularity: Floats) -> None:
        self._random = random
        self._by_genre = np.argsort(genres, kind="stable")
        self._ends = np.cumsum(popularity[self._by_genre], dtype=np.float64)
        last = np.searchsorted(genres[self._by_genre], np.arange(genres.max() + 2))
        self._limits = np.concatenate([[0.0], self._ends])[last]

    def distinct(self, liking: Floats, activity: Integers) -> Pairs:
        """Rows of `liking` and movies, each row with as many different movies as `activity` says."""
        keys: Integers = np.zeros(0, np.int64)
        missing, movies = activity, len(self._ends)
        while missing.any():
            rows = np.repeat(np.arange(len(activity)), missing + missing // 4 + (missing > 0))
            drawn = rows * movies + self._draw(liking, rows)
            keys = _first(np.concatenate([keys, drawn]), activity, movies)
            missing = activity - np.bincount(keys // movies, minlength=len(activity))
        return np.divmod(keys, movies)

    def _draw(self, liking: Floats, rows: Integers) -> Integers:
        """A movie for each of `rows`: first the genre, then a movie of it."""
        shares = np.cumsum(liking[:, : len(self._limits) - 1] * np.diff(self._limits), axis=1)
        shares /= shares[:, -1:]
        genre = (self._random.random((len(rows), 1)) >= shares[rows]).sum(axis=1)
        low, high = self._limits[genre], self._limits[genre + 1]
        place = np.searchsorted(self._ends, low + self._random.random(len(rows)) * (high - low), "right")
        drawn: Integers = self._by_genre[np.minimum(place, len(self._ends) - 1)]
        return drawn


def _first(keys: Integers, activity: Integers, movies: int) -> Integers:
    """The first different ones of each row, at most as many as its `activity`, in the order of the draws."""
    _, places = np.unique(keys, return_index=True)
    keys = keys[np.sort(places)]
    rows = keys // movies
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(len(activity)))
    rank = np.arange(len(keys)) - starts[rows[order]]
    kept: Integers = keys[np.sort(order[rank < activity[rows[order]]])]
    return kept


def _blocks(users: Integers, activity: Integers) -> Iterator[Integers]:
    """The users in groups that watch some `_DRAWS` movies together."""
    number = np.cumsum(activity[users]) // _DRAWS
    yield from np.split(users, np.flatnonzero(np.diff(number)) + 1)
