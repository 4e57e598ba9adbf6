"""The losses: a softmax over the whole catalogue, one over the batch, and the squared error of ratings.

Each is a mean over ratings, so that their weights mean the same at every batch size.
"""

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.train.history import History
from components.train.towers import Candidates

# Takes a candidate out of a softmax. Not infinity: its gradient would be NaN.
_EXCLUDED = -1e9


class FullSoftmaxRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Cross-entropy of the hidden movies among all movies that the user's query has not read.

    All hidden movies of a user share one query, hence one row of scores and one normaliser:
    loss = sum over users of (h_u logsumexp(scores_u) - sum of the scores of the h_u hidden movies), over the
    number of hidden movies. It is the exact softmax that sampled ones approximate, at a fraction of the cost
    of one row per rating (Liang et al. 2018).
    """

    def call(self, candidates: Candidates, queries: tf.Tensor, history: History) -> tf.Tensor:
        """The loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        scores = candidates.scores(queries)
        hidden = history.matrix(history.chunks.present - history.visible, scores.shape[1])
        read = history.matrix(history.visible, scores.shape[1])
        normalisers = tf.reduce_logsumexp(scores + _EXCLUDED * read, axis=1)
        counts = tf.reduce_sum(hidden, axis=1)
        total = tf.reduce_sum(counts * normalisers) - tf.reduce_sum(hidden * scores)
        return tf.math.divide_no_nan(total, tf.reduce_sum(counts))


def _cells(row: tf.Tensor, movies: tf.Tensor) -> tf.Tensor:
    """The places of ratings in a [n, movies] matrix, int32 [c, L, 2]."""
    return tf.stack([tf.broadcast_to(row, tf.shape(movies)), movies], axis=-1)


class InBatchRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Cross-entropy of each hidden movie among the hidden movies of the whole batch.

    `tfrs.tasks.Retrieval`, with its scores corrected for how often each movie is drawn (Yi et al. 2019) and
    the same movie hidden twice removed from the negatives. For catalogues too large for a full softmax.
    """

    def __init__(self, pairs: int, **options: Any) -> None:
        """Args: `pairs`: at most so many hidden movies of a batch are used, to bound the score matrix."""
        super().__init__(**options)
        self._pairs = pairs
        # In a function of its own, since TFRS needs AutoGraph and the training step does without.
        self._task = tf.function(tfrs.tasks.Retrieval(remove_accidental_hits=True))

    def call(self, candidates: Candidates, queries: tf.Tensor, history: History) -> tf.Tensor:
        """The loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        row = history.chunks.row[:, tf.newaxis]
        is_hidden = (history.chunks.present > 0) & (history.visible == 0)
        hidden = tf.boolean_mask(_cells(row, history.movies), is_hidden)
        # Evenly spaced over the batch, so that every user keeps a share.
        stride = tf.maximum(1, -(-tf.shape(hidden)[0] // self._pairs))
        users, movies = hidden[::stride, 0], hidden[::stride, 1]
        pairs = tf.cast(tf.size(movies), tf.float32)
        # TFRS cannot take an empty batch.
        return tf.cond(
            pairs > 0,
            lambda: self._mean_loss(candidates, tf.gather(queries, users), movies, pairs),
            lambda: 0.0,
        )

    def _mean_loss(
        self, candidates: Candidates, queries: tf.Tensor, movies: tf.Tensor, pairs: tf.Tensor
    ) -> tf.Tensor:
        popularity = tf.exp(candidates.popularity)
        bias = tf.gather(candidates.biases, movies)
        # The bias goes in as one more dimension, whose query is 1.
        with_bias = tf.concat([tf.gather(candidates.vectors, movies), bias[:, tf.newaxis]], axis=1)
        total = self._task(
            tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0),
            with_bias,
            candidate_sampling_probability=tf.gather(popularity / tf.reduce_sum(popularity), movies),
            candidate_ids=movies,
            compute_metrics=False,
        )
        return total / pairs
