"""The two towers: a movie's vector, and the vector of a user made of the movies that the user rated."""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.history import History


class CandidateTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A vector and a bias for each movie.

    The bias is log(count + 1), the movie's popularity, plus a learned deviation. The deviation is kept
    apart so that a user of whom nothing is known can be given popularity's order exactly.
    """

    def __init__(self, counts: npt.NDArray[np.int64], dimension: int, **options: Any) -> None:
        super().__init__(**options)
        movies = len(counts)
        self.popularity = self.add_weight(
            name="popularity", shape=[movies], initializer="zeros", trainable=False
        )
        self.count(counts)
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=[movies, dimension],
            initializer=tf.keras.initializers.RandomNormal(0, 0.05),
        )
        self.deviation = self.add_weight(name="deviation", shape=[movies], initializer="zeros")

    def count(self, counts: npt.NDArray[np.int64]) -> None:
        """Takes popularity from `counts`, the ratings of each movie."""
        self.popularity.assign(np.log1p(counts))

    def call(self, queries: tf.Tensor) -> tf.Tensor:
        """The score of every movie for each query: [n, dimension] -> [n, movies]."""
        return tf.matmul(queries, self.embeddings, transpose_b=True) + self.popularity + self.deviation


class QueryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A user's vector, read from the visible part of the history.

    x = sum of (e_m + rating_m f_m) / sqrt(n + 1) + start; query = x + W2 dropout(gelu(W1 layer_norm(x))).
    e_m is the candidate tower's own embedding (tied), f_m says what a rating above or below the user's mean
    adds to it. A linear item-to-item model (SLIM, EASE) has such a sum with free weights; the hidden layer
    makes it a denoising autoencoder (Wu et al. 2016, CDAE; Liang et al. 2018, Mult-DAE).
    """

    def __init__(self, candidates: CandidateTower, hidden: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        dimension = candidates.embeddings.shape[1]
        self._embeddings = candidates.embeddings
        self.opinions = self.add_weight(
            name="opinions", shape=candidates.embeddings.shape, initializer="zeros"
        )
        self.start = self.add_weight(name="start", shape=[dimension], initializer="zeros")
        self._norm = tf.keras.layers.LayerNormalization()
        self._expand = tf.keras.layers.Dense(hidden, tf.nn.gelu)
        self._dropout = tf.keras.layers.Dropout(dropout)
        self._project = tf.keras.layers.Dense(dimension)

    def call(self, history: History, training: bool = False) -> tf.Tensor:
        """[n, dimension]; a user without visible ratings gets what `start` alone gives."""
        counts = history.counts
        pooled = history.sum_visible(tf.gather(self._embeddings, history.movies))
        pooled += history.sum_weighted(tf.gather(self.opinions, history.movies), _above_mean(history))
        x = pooled * tf.math.rsqrt(counts + 1.0)[:, tf.newaxis] + self.start
        hidden = self._dropout(self._expand(self._norm(x)), training=training)
        return x + self._project(hidden)


def _above_mean(history: History) -> tf.Tensor:
    """How much each visible rating is above the mean of the user's visible ones, float32 [c, L]."""
    sums = history.sum_by_user(tf.reduce_sum(history.ratings * history.visible, axis=1))
    means = tf.math.divide_no_nan(sums, history.counts)
    return (history.ratings - tf.gather(means, history.chunks.row)[:, tf.newaxis]) * history.visible
