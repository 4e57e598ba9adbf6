"""Where movie vectors start: the directions in which users differ most in what they watch."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.catalogue import EncodedRatings
from components.train.tables import pool

Array = npt.NDArray[Any]

# The mean squared length of the vectors.
_LENGTH = 1.25
# Ratings looked at, of users drawn at random: more of them hardly turn the directions.
_RATINGS = 3_000_000
_USERS_AT_ONCE = 1024
_PASSES = 4
# Directions looked for beside those that are wanted: they make the others exact sooner.
_SPARE = 16
# Vectors have small random components where the data has no direction left.
_NOISE = 0.05


def spectral_vectors(ratings: EncodedRatings, movies: int, dimension: int, seed: int) -> Array:
    """Vectors of the movies whose dot products say which are watched together: float32 [movies, dimension].

    These are the principal directions of the matrix of who rated what, each entry divided by the roots of the
    user's and of the movie's number of ratings, without the first one, which is popularity; each times its
    singular value. A randomised range finder with power iterations gets them from sums over the ratings
    (Halko, Martinsson & Tropp 2011). Started there, retrieval needs half of the steps.
    """
    random = np.random.default_rng(seed)
    batches = _batches(ratings, random)
    counts = sum((np.bincount(rows, minlength=movies) for rows, _, _ in batches), np.zeros(movies, np.int64))
    weights = np.maximum(counts, 1).astype(np.float32)[:, np.newaxis] ** -0.5
    basis = random.normal(size=(movies, min(dimension + 1 + _SPARE, movies))).astype(np.float32)
    for _ in range(_PASSES):
        basis = _orthonormal(weights * _rated_together(weights * basis, batches))
    small = basis.T @ (weights * _rated_together(weights * basis, batches))
    squares, turned = np.linalg.eigh((small + small.T) / 2)
    strongest = np.argsort(-squares)[1 : dimension + 1]
    found = basis @ turned[:, strongest] * np.sqrt(np.maximum(squares[strongest], 0.0))
    vectors = random.normal(scale=_NOISE, size=(movies, dimension)).astype(np.float32)
    length = np.mean(np.sum(np.square(found), axis=1))
    vectors[:, : found.shape[1]] += found * np.sqrt(_LENGTH / length) if length > 0 else 0.0
    return vectors


def _orthonormal(basis: Array) -> Array:
    """The same space, by way of the small matrix of dot products: a QR of the tall one takes seconds."""
    squares, turned = np.linalg.eigh(np.asarray(basis.T @ basis, np.float64))
    kept = squares > squares[-1] * 1e-10
    return np.asarray(basis @ (turned[:, kept] / np.sqrt(squares[kept])), np.float32)


def _batches(ratings: EncodedRatings, random: np.random.Generator) -> list[tuple[Array, Array, int]]:
    """Of random users: movies rated int32 [t], by which user int32 [t], ascending, and how many users."""
    users = random.permutation(np.flatnonzero(ratings.counts))
    taken = int(np.searchsorted(np.cumsum(ratings.counts[users]), _RATINGS)) + 1
    batches = []
    for start in range(0, min(taken, len(users)), _USERS_AT_ONCE):
        movies, _, splits = ratings.rows(np.sort(users[start : start + _USERS_AT_ONCE]))
        owners = np.repeat(np.arange(len(splits) - 1, dtype=np.int32), np.diff(splits))
        batches.append((movies, owners, len(splits) - 1))
    return batches


def _rated_together(table: Array, batches: list[tuple[Array, Array, int]]) -> Array:
    """X' D X times `table` [movies, K], X being who rated what, and D one over each user's ratings."""
    parts = [_of_batch(tf.constant(table), *map(tf.constant, batch)) for batch in batches]
    return np.asarray(tf.add_n(parts))


@tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
def _of_batch(table: tf.Tensor, movies: tf.Tensor, owners: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
    counts = tf.math.unsorted_segment_sum(tf.ones_like(owners, tf.float32), owners, users)
    with tf.GradientTape() as tape:
        tape.watch(table)
        # The gradient of half the squared sums is the product that is asked for.
        half = 0.5 * tf.reduce_sum(tf.square(pool(table, movies, owners, users)) / counts[:, tf.newaxis])
    return tape.gradient(half, table)
