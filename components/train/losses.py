"""The retrieval losses: the best places of the catalogue, a softmax over the catalogue, one over the batch.

Each is a mean over ratings, so that their weights mean the same at every batch size.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.train.history import History
from components.train.settings import IN_BATCH, TOP_K, Settings
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


class TopKRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """How far each hidden movie is below the k best movies that the user's query has not read.

    Top-k accuracy asks whether a movie is above the threshold, the k-th best score. So does this loss: it is
    a hinge on how far the movie is below, softened by a temperature T:
    T log(1 + exp((threshold - score) / T)).
    A softmax goes on raising a movie that has long been among the best, at the cost of those that are not.
    The threshold is learned as well. It moves as the soft one does, which keeps the sum of the sigmoids of
    (score - threshold) / T: movies near it give way to those that rise (Berrada et al. 2018; Patel et al.
    2022).
    """

    def __init__(self, k: int, temperature: float, **options: Any) -> None:
        """Args: `k`: at most the number of movies. `temperature`: in units of scores, above 0."""
        super().__init__(**options)
        self._k, self._temperature = k, temperature

    def call(self, candidates: Candidates, queries: tf.Tensor, history: History) -> tf.Tensor:
        """The loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        scores, hidden = candidates.scores(queries), _hidden(history)
        unread = tf.tensor_scatter_nd_add(scores, _cells(history), _EXCLUDED * history.visible)
        thresholds = tf.gather(_threshold(unread, self._k, self._temperature), hidden[:, 0])
        below = (thresholds - tf.gather_nd(scores, hidden)) / self._temperature
        total = self._temperature * tf.reduce_sum(tf.nn.softplus(below))
        return tf.math.divide_no_nan(total, tf.cast(tf.size(below), tf.float32))


def _threshold(scores: tf.Tensor, k: int, temperature: float) -> tf.Tensor:
    """The k-th best of each row, [n, movies] -> [n], with the gradient of the soft threshold."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def kth(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        best = tf.math.top_k(values, k)[0][:, -1]

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            inside = tf.sigmoid((values - best[:, tf.newaxis]) / temperature)
            slopes = inside * (1.0 - inside)
            return slopes * (upstream / tf.reduce_sum(slopes, axis=1))[:, tf.newaxis]

        return best, gradient

    return kth(scores)


def _cells(history: History) -> tf.Tensor:
    """The places of the ratings in a [n, movies] matrix, int32 [c, L, 2]."""
    rows = tf.broadcast_to(history.chunks.row[:, tf.newaxis], tf.shape(history.movies))
    return tf.stack([rows, history.movies], axis=-1)


def _hidden(history: History) -> tf.Tensor:
    """User and movie of each hidden rating, int32 [h, 2]."""
    return tf.boolean_mask(_cells(history), (history.chunks.present > 0) & (history.visible == 0))


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
        hidden = _hidden(history)
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


def retrieval_task(settings: Settings) -> tfrs.tasks.Task:
    """The loss that `settings` name."""
    if settings.retrieval_loss == IN_BATCH:
        return InBatchRetrieval(settings.in_batch_pairs)
    if settings.retrieval_loss == TOP_K:
        return TopKRetrieval(settings.top_k, settings.temperature)
    return FullSoftmaxRetrieval()
