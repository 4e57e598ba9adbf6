"""Variety and popularity of recommendations: pure functions below the index and its evaluation.

Scores have no unit: a model's may be as wide as it likes. So what is added to them is counted in standard
deviations of a user's own scores over the rated movies, and the answers do not depend on that width.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[Any]


class Shift(NamedTuple):
    """An addition to the scores of n users for M movies: spread times units."""

    spread: tf.Tensor  # float32 [n], the standard deviation of each user's scores
    units: tf.Tensor  # float32 [M]

    def select(self, movies: tf.Tensor) -> tf.Tensor:
        """Returns what is added for some `movies` (int32 [m]), float32 [n, m]."""
        return self.spread[:, tf.newaxis] * tf.gather(self.units, movies)

    def all(self) -> tf.Tensor:
        """Returns what is added for all movies, float32 [n, M]."""
        return self.spread[:, tf.newaxis] * self.units


def score_covariance(vectors: Array, biases: Array, counts: npt.NDArray[np.int64]) -> Array:
    """Computes the covariance of the rated movies' vectors and biases, float32 [d + 1, d + 1].

    `vectors` is float32 [M, d], `biases` float32 [M], `counts` int64 [M], the known ratings of each movie.
    """
    candidates = np.column_stack([vectors, biases])[(counts > 0) & np.isfinite(biases)].astype(np.float64)
    if len(candidates) == 0:
        return np.zeros((vectors.shape[1] + 1,) * 2, np.float32)
    centred = candidates - candidates.mean(axis=0)
    covariance: Array = (centred.T @ centred / len(centred)).astype(np.float32)
    return covariance


def score_spread(queries: tf.Tensor, covariance: tf.Tensor) -> tf.Tensor:
    """Computes the standard deviation of each query's scores over the rated movies, float32 [n]."""
    with_bias = tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0)
    variance = tf.reduce_sum(tf.matmul(with_bias, covariance) * with_bias, axis=1)
    return tf.sqrt(tf.maximum(variance, 0.0))


def standard_popularity(counts: npt.NDArray[np.int64]) -> Array:
    """Computes log(1 + ratings) of each movie, float32 [M], with mean 0 and deviation 1 over rated movies."""
    logs = np.log1p(counts)
    rated = logs[counts > 0]
    if len(rated) == 0 or np.ptp(rated) == 0:
        return np.zeros(len(counts), np.float32)
    standard: Array = ((logs - rated.mean()) / rated.std()).astype(np.float32)
    return standard


def reorder(
    keys: tf.Tensor, valid: tf.Tensor, vectors: tf.Tensor, diversity: tf.Tensor, k: tf.Tensor
) -> tf.Tensor:
    """Returns positions of the k candidates with the greatest keys, or by `diversify` if that is over 0."""
    return tf.cond(
        diversity > 0.0,
        lambda: diversify(keys, valid, vectors, diversity, k),
        lambda: tf.math.top_k(keys, k).indices,
    )


def diversify(
    relevance: tf.Tensor, valid: tf.Tensor, vectors: tf.Tensor, diversity: tf.Tensor, k: tf.Tensor
) -> tf.Tensor:
    """Orders candidates by maximal marginal relevance (Carbonell & Goldstein 1998).

    The next candidate is the one with the greatest (1 - diversity) relevance - diversity similarity: its
    relevance from 0, the least of the user's candidates, to 1, and its greatest cosine similarity to those
    before. Of equals the first is taken; the first of all is the most relevant.

    Args:
      relevance: float32 [n, p], of the p candidates of each user.
      valid: bool [n, p], false for padding, which comes last.
      vectors: float32 [n, p, d], of length 1.
      diversity: float32 scalar, 0 to 1.
      k: int32 scalar, 0 to p.

    Returns:
      Positions of k candidates, int32 [n, k].
    """
    least = tf.reduce_min(tf.where(valid, relevance, relevance.dtype.max), axis=1, keepdims=True)
    greatest = tf.reduce_max(tf.where(valid, relevance, relevance.dtype.min), axis=1, keepdims=True)
    share = tf.math.divide_no_nan(relevance - least, greatest - least)
    # All others are from -1 to 2.
    gain = tf.where(valid, (1.0 - diversity) * share, _PADDING)
    steps = tf.range(k)

    def choose(
        step: tf.Tensor, gain: tf.Tensor, closest: tf.Tensor, chosen: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        best = tf.argmax(gain - diversity * closest, axis=1, output_type=tf.int32)
        similarity = tf.linalg.matvec(vectors, tf.gather(vectors, best, batch_dims=1))
        taken = tf.range(tf.shape(gain)[1]) == best[:, tf.newaxis]
        return (
            step + 1,
            tf.where(taken, _TAKEN, gain),
            tf.maximum(closest, similarity),
            tf.where(steps == step, best[:, tf.newaxis], chosen),
        )

    nobody = tf.fill(tf.shape(relevance), -1.0)
    empty = tf.zeros([tf.shape(relevance)[0], k], tf.int32)
    state = (tf.constant(0), gain, nobody, empty)
    return tf.while_loop(lambda step, *_: step < k, choose, state)[3]


_PADDING, _TAKEN = -10.0, -20.0
