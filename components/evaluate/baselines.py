"""Simple baselines (popularity, global mean, user and movie biases) and the cache of baseline answers."""

import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import Batch, HeldOut
from components.evaluate.scoring import Predictions, Scored
from components.progress import log
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
        return Predictions(None, np.full(len(batch.pairs.movies), self._mean, np.float32))


class Bias:
    """Rates by mean + bias of the user + bias of the movie."""

    def __init__(self, known: UserRatings, movies: int) -> None:
        self._biases = fit_biases(known, movies)

    def predict(self, batch: Batch) -> Predictions:
        mean, users, movies = self._biases
        ratings = mean + users[batch.users[batch.pairs.owners]] + movies[batch.pairs.movies]
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
    owners, items = known.owners, known.movies
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


CACHE_FILE = "baselines.npz"
# To be raised with every change in what a baseline answers.
_VERSION = 2

Answer = Callable[[], Scored]


def answers(directory: Path | None, held_out: HeldOut, baselines: Mapping[str, Answer]) -> dict[str, Scored]:
    """The answers of all `baselines` for `held_out`, from the file in `directory` or computed and put there.

    Args:
      directory: where the data lie; None keeps nothing. One that cannot be written is no failure.
      baselines: name -> what computes its answers.
    """
    if directory is None:
        return {name: answer() for name, answer in baselines.items()}
    file, key = directory / CACHE_FILE, _key(held_out)
    found = _read(file, key)
    if found.keys() == baselines.keys():
        log(f"baselines as computed before, from {file}")
        return found
    computed = {name: answer() for name, answer in baselines.items()}
    with suppress(OSError):
        _write(file, key, computed)
    return computed


def _key(held_out: HeldOut) -> str:
    """Other data or another version of the baselines, another key."""
    known = held_out.known
    checksum = 0
    for array in (
        held_out.users, held_out.pairs.offsets, held_out.pairs.movies, held_out.pairs.ratings,
        known.offsets, known.movies, known.ratings,
    ):  # fmt: skip
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return f"{_VERSION} {len(held_out.movie_ids)} {held_out.rating_scale} {len(known.movies)} {checksum:08x}"


def _read(file: Path, key: str) -> dict[str, Scored]:
    """What the file holds for `key`; empty if it holds nothing, or for another one."""
    try:
        # A file that numpy opens itself stays open when it is no archive.
        with file.open("rb") as source, np.load(source) as arrays:
            if str(arrays["key"]) != key:
                return {}
            parts: dict[str, dict[str, Any]] = {}
            for name in arrays.files:
                scorer, separator, part = name.partition(".")
                if separator:
                    parts.setdefault(scorer, {})[part] = arrays[name]
    except (OSError, ValueError, KeyError, BadZipFile):
        return {}
    empty = dict.fromkeys(("ranks", "unseen_ranks", "ratings", "lists"))
    return {
        scorer: Scored(**{**empty, **of_scorer, "non_finite_users": int(of_scorer["non_finite_users"])})
        for scorer, of_scorer in parts.items()
    }


def _write(file: Path, key: str, computed: Mapping[str, Scored]) -> None:
    arrays: dict[str, Any] = {
        f"{scorer}.{part}": np.asarray(value)
        for scorer, scored in computed.items()
        for part, value in vars(scored).items()
        if value is not None
    }
    staging = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with staging.open("wb") as target:
            np.savez(target, key=np.asarray(key), **arrays)
        staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)
