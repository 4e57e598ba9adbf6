"""Baselines: popularity, means and biases, and EASE, item-kNN and matrix factorisation.

A baseline is a class here, with its entry in components/metrics.py.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from components.evaluate.held_out import Batch
from components.evaluate.ranking import Columns, Predictions
from components.machine import available_cpus
from components.metrics import BASELINES, BIAS, EASE, FACTORS, GLOBAL_MEAN, ITEM_KNN, POPULARITY
from components.train import biases
from components.vocabulary.interactions import UserRatings, chunks, user_chunks

Array = npt.NDArray[Any]

# Two baselines begin at the same biases.
_fit_biases = lru_cache(maxsize=1)(biases.fit_biases)
# Fits a baseline to the known ratings, for a catalogue of so many movies.
Fit = Callable[[UserRatings, int], Any]
FITS: dict[str, tuple[Fit, Callable[[int], bool]]] = {}
_F = TypeVar("_F", bound=Fit)


def _baseline(name: str, applies: Callable[[int], bool] = lambda rated: True) -> Callable[[_F], _F]:
    """Registers the class below as the baseline `name`, if it `applies` to so many rated movies."""

    def register(fit: _F) -> _F:
        FITS[name] = (fit, applies)
        return fit

    return register


def applicable(known: UserRatings, stars: bool = True) -> dict[str, Fit]:
    """Returns the baselines for these known ratings, by name, in the order of the registry.

    Those that predict ratings are for `stars` alone.
    """
    rated = int(np.count_nonzero(known.movie_counts(int(known.movies.max(initial=0)) + 1)))
    return {
        name: FITS[name][0]
        for name, baseline in BASELINES.items()
        if FITS[name][1](rated) and (stars or not baseline.rates)
    }


@_baseline(POPULARITY)
class Popularity:
    """Recommends to everyone the movies with the most known ratings."""

    def __init__(self, known: UserRatings, movies: int) -> None:
        self._scores = known.movie_counts(movies).astype(np.float32)

    def predict(self, batch: Batch) -> Predictions:
        return Predictions(np.broadcast_to(self._scores, (len(batch.users), len(self._scores))), None)


@_baseline(GLOBAL_MEAN)
class GlobalMean:
    """Rates every movie with the mean of the known ratings."""

    def __init__(self, known: UserRatings, movies: int) -> None:
        self._mean = np.mean(known.ratings, dtype=np.float64)

    def predict(self, batch: Batch) -> Predictions:
        return Predictions(None, np.full(len(batch.pairs.movies), self._mean, np.float32))


@_baseline(BIAS)
class Bias:
    """Rates by mean + bias of the user + bias of the movie."""

    def __init__(self, known: UserRatings, movies: int) -> None:
        self._biases = _fit_biases(known, movies)

    def predict(self, batch: Batch) -> Predictions:
        return Predictions(None, self._biases.rate(batch.users[batch.pairs.owners], batch.pairs.movies))


# Rows that are gathered at once: 64 MB of factors.
_ROWS_AT_ONCE = 1 << 20
# Ratings that the movies' factors are learnt from; each movie has enough of them long before.
_MAX_ROWS = 4_000_000
_DIMENSION, _RIDGE, _ROUNDS = 16, 0.08, 6


@_baseline(FACTORS)
class Factors:
    """Rates by mean + biases + user factors . movie factors (Koren, Bell & Volinsky 2009).

    Each side is solved exactly with the other held fixed (Zhou et al. 2008), with a ridge that grows with the
    number of ratings, so that little-known users and movies stay close to their biases.
    """

    def __init__(self, known: UserRatings, movies: int) -> None:
        self._biases = _fit_biases(known, movies)
        users = _sample(known, _MAX_ROWS)
        by_user = self._residuals(known.select(users), users)
        columns = by_user.csr(movies).tocsc()
        # The same ratings grouped by movie, with users in the place of movies.
        by_movie = UserRatings(columns.indices, columns.data, columns.indptr)
        self._movies = np.random.default_rng(0).normal(0, 0.1, (movies, _DIMENSION)).astype(np.float32)
        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(available_cpus()) as pool:
            for _ in range(_ROUNDS):
                self._movies = _solve(by_movie, _solve(by_user, self._movies, pool.map), pool.map)

    def _residuals(self, known: UserRatings, users: Array) -> UserRatings:
        """Returns the ratings `known` of `users` [n] less what the biases say."""
        expected = self._biases.rate(users[known.owners], known.movies)
        return dataclasses.replace(known, ratings=known.ratings - expected)

    def predict(self, batch: Batch) -> Predictions:
        owners, movies = batch.pairs.owners, batch.pairs.movies
        factors = _solve(self._residuals(batch.history, batch.users), self._movies)
        dots = np.einsum("pd,pd->p", factors[owners], self._movies[movies])
        return Predictions(None, self._biases.rate(batch.users[owners], movies) + dots)


def _sample(ratings: UserRatings, most: int) -> Array:
    """Returns all users or, if they have more than `most` ratings, some who have about so many, int64 [n]."""
    users, rows = ratings.users, len(ratings.movies)
    count = users if rows <= most else int(users * most / rows)
    return np.linspace(0, users - 1, count).astype(np.int64)


def _solve(ratings: UserRatings, other: Array, mapped: Callable[..., Iterable[Array]] = map) -> Array:
    """Solves for the factors of each user by least squares, given the movies'; or the other way round.

    `mapped` is `map`, or that of an executor with threads.
    """
    factors = np.zeros((ratings.users, other.shape[1]), np.float32)
    batches = [*_of_like_length(ratings.counts, _ROWS_AT_ONCE)]  # those of one are solved together
    for batch, found in zip(batches, mapped(partial(_solve_batch, ratings, other), batches), strict=True):
        factors[batch] = found
    return factors


def _solve_batch(ratings: UserRatings, other: Array, batch: Array) -> Array:
    positions, inside = _places(ratings.offsets, batch)
    features = other[ratings.movies[positions]] * inside[:, :, None]
    gram = features.transpose(0, 2, 1) @ features
    gram += (_RIDGE * ratings.counts[batch])[:, None, None] * np.eye(other.shape[1], dtype=np.float32)
    right = features.transpose(0, 2, 1) @ ratings.ratings[positions][:, :, None]
    solution: Array = np.linalg.solve(gram, right)[:, :, 0]
    return solution


# The most movies that the model takes: to invert a matrix of so many rows takes seconds and 0.5 GB.
MAX_MOVIES = 4096
# The arithmetic that counting pairs of movies may cost, in multiplications; beyond it, users are sampled.
_MAX_COUNTING = 4e11
_USERS_AT_ONCE = 2048


@_baseline(EASE, lambda rated: rated <= MAX_MOVIES)
class Ease:
    """EASE: recommends what goes with all that a user has rated (Steck 2019).

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

        `regularisation` is added to the diagonal of the matrix of counts; None for 1000, the best for 6,040
        users (MovieLens 1M), and less for fewer.
        """
        counts = known.movie_counts(movies)
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
        seen = _indicators(batch.history, self._column, self._covered)
        scores = np.empty((len(batch.users), len(self._columns.sizes)), np.float32)
        np.matmul(seen, self._weights, out=scores[:, : self._covered])
        scores[:, self._covered :] = self._background
        return Predictions(scores, None, self._columns)


def _indicators(ratings: UserRatings, column: Array, width: int) -> Array:
    """Marks with 1 the covered movies that users rated, float32 [n, width]; `column` is -1 for the others."""
    columns = column[ratings.movies]
    covered = columns >= 0
    indicators = np.zeros((ratings.users, width), np.float32)
    indicators[ratings.owners[covered], columns[covered]] = 1
    return indicators


def _counts_of_pairs(known: UserRatings, column: Array, width: int) -> tuple[Array, int]:
    """Counts the users who rated both of two movies, float32 [width, width], and all of the users."""
    users = np.flatnonzero(known.counts)
    allowed = max(int(_MAX_COUNTING / max(width, 1) ** 2), 1)
    if len(users) > allowed:
        users = users[np.linspace(0, len(users) - 1, allowed).astype(np.int64)]
    gram = np.zeros((width, width), np.float32)
    for part in chunks(len(users), _USERS_AT_ONCE):
        indicators = _indicators(known.select(users[part]), column, width)
        gram += indicators.T @ indicators
    return gram, len(users)


def _weights(gram: Array, regularisation: float) -> Array:
    """Computes the closed form: the weight of each movie for each other one, float32 [width, width]."""
    regularised = gram.astype(np.float64)
    regularised[np.diag_indices_from(regularised)] += regularisation
    precision = np.linalg.inv(regularised)
    weights = precision / -np.diag(precision)
    np.fill_diagonal(weights, 0)
    return weights.astype(np.float32)


NEIGHBOURS = 50
# Ratings that are read to find the neighbours of one movie; raters beyond them are sampled.
_ROWS_A_MOVIE = 40_000
# Of more ratings, only those of a sample of the users are sorted by movie, which takes 15 bytes each.
_MOST_CO_RATINGS = 100_000_000
# Pairs of ratings that a thread counts at a time; each takes some 50 bytes meanwhile.
_PAIRS_AT_ONCE = 1 << 18
# A movie that few of its neighbour's raters also rated may be near by chance.
_SHRINKAGE = 10


@_baseline(ITEM_KNN, lambda rated: rated > MAX_MOVIES)
class ItemKnn:
    """Recommends the movies most alike to all that a user has rated.

    Two movies are alike by the cosine of who rated them, shrunk where few rated both. Each movie keeps its
    nearest ones; the others follow in the order of popularity.
    """

    def __init__(self, known: UserRatings, movies: int, neighbours: int = NEIGHBOURS) -> None:
        """Finds the `neighbours` nearest of each of `movies` in `known`."""
        counts = known.movie_counts(movies)
        # Below any cosine, and enough to order what has none.
        self._background = (1e-9 * counts / (counts.max(initial=0) + 1)).astype(np.float32)
        self._movies = np.zeros((movies, neighbours), np.int32)
        self._cosines = np.zeros((movies, neighbours), np.float32)
        if len(known.movies) > _MOST_CO_RATINGS:
            known = known.select(_sample(known, _MOST_CO_RATINGS))
        by_user = known.seen(movies)
        raters, pairs = _sample_raters(by_user, known.counts)

        def find(part: slice) -> None:
            """Finds the neighbours of consecutive movies."""
            # Of each movie the others that its raters rated, and by how many; estimates where many rated it.
            common = raters[part] @ by_user
            counted, lengths = np.diff(raters.indptr)[part], np.diff(common.indptr)
            own = np.repeat(np.arange(part.start, part.stop), lengths)
            both = common.data * np.repeat(counts[part] / np.maximum(counted, 1), lengths)
            cosines = both / np.sqrt(counts[common.indices] * counts[own]) * (both / (both + _SHRINKAGE))
            cosines[common.indices == own] = 0
            for rows in _of_like_length(lengths, _PAIRS_AT_ONCE):
                places, inside = _places(common.indptr, rows)
                found = np.where(inside, cosines[places], 0.0)
                best = np.argpartition(-found, min(neighbours, found.shape[1]) - 1, axis=1)[:, :neighbours]
                others = np.take_along_axis(common.indices[places], best, axis=1)
                self._movies[part][rows, : others.shape[1]] = others
                self._cosines[part][rows, : others.shape[1]] = np.take_along_axis(found, best, axis=1)

        with ThreadPoolExecutor(available_cpus()) as pool:
            list(pool.map(find, user_chunks(pairs, movies, _PAIRS_AT_ONCE)))

    def predict(self, batch: Batch) -> Predictions:
        users, movies = len(batch.users), len(self._background)
        rated = batch.history.movies
        owners = batch.history.owners.astype(np.int64)
        cells = owners[:, np.newaxis] * movies + self._movies[rated]
        sums = np.bincount(cells.ravel(), self._cosines[rated].ravel(), minlength=users * movies)
        return Predictions(sums.reshape(users, movies).astype(np.float32) + self._background, None)


def _sample_raters(by_user: Any, activity: Array) -> tuple[Any, Array]:
    """Returns who rated each movie, sparse [movies, users], and the ratings that they have, int64 [movies].

    Where all raters of a movie have more than `_ROWS_A_MOVIE` together, some of them are taken.

    Args:
      by_user: who rated what, sparse [users, movies].
      activity: ratings of each user, int64 [users].
    """
    pairs = (by_user.T @ activity).astype(np.int64)
    raters = by_user.T.tocsr()
    taken = np.ones(raters.nnz, np.bool_)
    for movie in np.flatnonzero(pairs > _ROWS_A_MOVIE):
        start, stop = map(int, raters.indptr[movie : movie + 2])  # 32 bits would overflow
        size = max(int((stop - start) * _ROWS_A_MOVIE / pairs[movie]), 1)
        taken[start:stop] = False
        taken[np.linspace(start, stop - 1, size).astype(np.int64)] = True
        pairs[movie] = _ROWS_A_MOVIE
    raters.data *= taken
    raters.eliminate_zeros()
    return raters, pairs


def _of_like_length(lengths: Array, cells: int) -> Iterator[Array]:
    """Yields the rows that are not empty, int64 [n], those of about one length together.

    Padded to the longest of them, they have at most so many `cells`; a longer one is alone.
    """
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    while len(order):
        padded = lengths[order] * np.arange(1, len(order) + 1)
        size = max(int(np.searchsorted(padded, cells, side="right")), 1)
        yield order[:size]
        order = order[size:]


def _places(offsets: Array, rows: Array) -> tuple[Array, Array]:
    """Returns the places of the entries of `rows`, padded to the longest, and which are none of padding."""
    columns, lengths = np.arange(offsets[rows[-1] + 1] - offsets[rows[-1]]), offsets[rows + 1] - offsets[rows]
    inside = columns < lengths[:, np.newaxis]
    return np.where(inside, offsets[rows][:, np.newaxis] + columns, 0), inside
