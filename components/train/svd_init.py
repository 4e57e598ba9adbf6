"""Initial movie vectors: the leading singular directions of the user-movie matrix."""

from itertools import starmap
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.towers import pool
from components.train.training_data import RatedCatalogue, UserBatches
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]
# Movies rated int32 [t], by which user int32 [t], ascending, and how many users there are.
Batch = tuple[Array, Array, int]

# The mean squared length of the vectors.
_LENGTH = 1.25
# Ratings looked at, of users drawn at random: more of them hardly turn the directions.
_RATINGS = 3_000_000
_RATINGS_AT_ONCE = 1 << 19
_USERS_AT_ONCE = 1 << 17
_PASSES = 4
# Directions looked for beside those that are wanted: they make the others exact sooner.
_SPARE = 16
# Vectors have small random components where the data has no direction left.
_NOISE = 0.05


def svd_vectors(ratings: UserRatings, catalogue: RatedCatalogue, dimension: int, seed: int) -> Array:
    """Vectors of the movies whose dot products say which are watched together: float32 [movies, dimension].

    These are the principal directions of the matrix of who rated what, each entry divided by the roots of the
    user's and of the movie's number of ratings, without the first one, which is popularity; each times its
    singular value. Both numbers are taken as greater by their mean: else the strongest directions are those
    of movies that a few users and nobody else have rated (Chaudhuri, Chung & Tsiatas 2012). A randomised
    range finder with power iterations gets them from sums over the ratings (Halko, Martinsson & Tropp 2011).
    Started there, retrieval needs half of the steps.
    """
    random, movies = np.random.default_rng(seed), len(catalogue.known_counts)
    batches = _sample(ratings, catalogue, seed)
    counts = sum((np.bincount(rows, minlength=movies) for rows, _, _ in batches), np.zeros(movies, np.int64))
    weights = (counts + max(counts.mean(), 1.0)).astype(np.float32)[:, np.newaxis] ** -0.5
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


def _sample(ratings: UserRatings, catalogue: RatedCatalogue, seed: int) -> list[Batch]:
    """Ratings of random users in large batches, `_RATINGS` of them or all."""
    wanted, batches = min(_RATINGS, len(ratings.movies)), []
    drawn = UserBatches(catalogue, [ratings], _USERS_AT_ONCE, _RATINGS_AT_ONCE, seed)
    for batch in starmap(UserRatings, drawn.from_step(0)):
        batches.append((batch.movies, batch.owners, batch.users))
        wanted -= len(batch.movies)
        if wanted <= 0:
            break
    return batches


def _rated_together(table: Array, batches: list[Batch]) -> Array:
    """X' D X times `table` [movies, K], X being who rated what, and D one over each user's ratings + mean."""
    total = tf.zeros_like(table)
    for batch in batches:  # one after the other: a table of a million movies is not to be held for each
        total += _of_batch(tf.constant(table), *map(tf.constant, batch))
    return np.asarray(total)


@tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
def _of_batch(table: tf.Tensor, movies: tf.Tensor, owners: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
    counts = tf.math.unsorted_segment_sum(tf.ones_like(owners, tf.float32), owners, users)
    counts += tf.reduce_mean(counts)
    with tf.GradientTape() as tape:
        tape.watch(table)
        # The gradient of half the squared sums is the product that is asked for.
        half = 0.5 * tf.reduce_sum(tf.square(pool(table, movies, owners, users)) / counts[:, tf.newaxis])
    return tape.gradient(half, table)
