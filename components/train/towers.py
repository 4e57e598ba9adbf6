"""The two towers: a movie's vector, and the vector of a user made of the movies that the user rated."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.catalogue import Catalogue
from components.train.history import History
from components.train.part import ALL, Part
from components.train.tables import gather

# So many cells of users times movies are multiplied in less time than one rating is looked up. Measured
# forward and backward on two cores with AVX-512: a quarter of the time at 11 cells, three quarters at 47.
_CELLS_A_SLOT = 40


class Candidates(NamedTuple):
    """What the candidate tower makes of every movie.

    Attributes:
      vectors: float32 [movies, dimension].
      biases: float32 [movies], added to every user's score.
      popularity: float32 [movies], log(count + 1), the part of the biases that is not learned.
    """

    vectors: tf.Tensor
    biases: tf.Tensor
    popularity: tf.Tensor

    def scores(self, queries: tf.Tensor) -> tf.Tensor:
        """The score of every movie for each query: [n, dimension] -> [n, movies]."""
        return tf.matmul(queries, self.vectors, transpose_b=True) + self.biases

    @classmethod
    def mean(cls, members: "list[Candidates]") -> "Candidates":
        """What several towers make of the movies on average."""
        return cls(*(mean(parts) for parts in zip(*members, strict=True)))


class CandidateTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A vector and a bias for each movie.

    The vector is the movie's own embedding plus that of its year, so that a movie with few ratings starts
    where others of its year are. The bias is log(count + 1), the movie's popularity, plus a learned
    deviation. The deviation is kept apart so that a user of whom nothing is known can be given popularity's
    order exactly.
    """

    def __init__(self, catalogue: Catalogue, vectors: npt.NDArray[np.float32], **options: Any) -> None:
        """Args: `vectors`: where the embeddings start, float32 [movies, dimension]."""
        super().__init__(**options)
        movies, dimension = vectors.shape
        self.popularity = self.add_weight(
            name="popularity", shape=[movies], initializer="zeros", trainable=False
        )
        self.count(catalogue.training_counts)
        self.embeddings = self.add_weight(
            name="embeddings", shape=[movies, dimension], initializer=tf.constant_initializer(vectors)
        )
        self._years = tf.constant(catalogue.years)
        self.year_embeddings = self.add_weight(
            name="year_embeddings", shape=[catalogue.years.max() + 1, dimension], initializer="zeros"
        )
        self.deviation = self.add_weight(name="deviation", shape=[movies], initializer="zeros")

    def count(self, counts: npt.NDArray[np.int64]) -> None:
        """Takes popularity from `counts`, the ratings of each movie."""
        self.popularity.assign(np.log1p(counts))

    def table(self, part: Part = ALL) -> Candidates:
        """The movies `part`: by default all at once, of which there are far fewer than ratings in a batch."""
        popularity = part.of(self.popularity)
        return Candidates(
            vectors=part.of(self.embeddings) + tf.gather(self.year_embeddings, part.of(self._years)),
            biases=popularity + part.of(self.deviation),
            popularity=popularity,
        )


def mean(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    """Of tensors of one shape."""
    summands = list(tensors)
    return tf.add_n(summands) / len(summands)


class QueryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A user's vector, read from the visible part of the history.

    x = sum of (e_m + rating_m f_m) / sqrt(n + 1) + start; query = x + W2 dropout(gelu(W1 layer_norm(x))).
    e_m is the candidate tower's own vector (tied), f_m says what a rating above or below the user's mean
    adds to it. A linear item-to-item model (SLIM, EASE) has such a sum with free weights; the hidden layer
    makes it a denoising autoencoder (Wu et al. 2016, CDAE; Liang et al. 2018, Mult-DAE).
    """

    def __init__(self, movies: int, dimension: int, hidden: int, dropout: float, **options: Any) -> None:
        super().__init__(**options)
        self.opinions = self.add_weight(name="opinions", shape=[movies, dimension], initializer="zeros")
        self.start = self.add_weight(name="start", shape=[dimension], initializer="zeros")
        self._norm = tf.keras.layers.LayerNormalization()
        self._expand = tf.keras.layers.Dense(hidden, tf.nn.gelu)
        self._dropped = dropout
        self._project = tf.keras.layers.Dense(dimension)

    def call(
        self, history: History, vectors: tf.Tensor, seed: tf.Tensor | None = None, part: Part = ALL
    ) -> tf.Tensor:
        """[n, dimension]; a user without visible ratings gets what `start` alone gives.

        Args:
          vectors: the candidate tower's, float32 [u, dimension].
          seed: int32 [2], of the dropout in training; None, outside of it, drops nothing.
          part: the movies that `history` numbers and `vectors` are of.
        """
        pool = pooled if seed is None else pooled_in_training
        return self.finish(pool(history, vectors, part.of(self.opinions)), history.counts, seed)

    def finish(self, pooled: tf.Tensor, counts: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """[n, dimension], of the sums `pooled` [n, dimension] over `counts` [n] ratings of each user."""
        x = pooled * tf.math.rsqrt(counts + 1.0)[:, tf.newaxis] + self.start
        hidden = self._expand(self._norm(x))
        if seed is not None:
            hidden = tf.nn.experimental.stateless_dropout(hidden, self._dropped, seed)
        return x + self._project(hidden)


def pooled(history: History, vectors: tf.Tensor, opinions: tf.Tensor) -> tf.Tensor:
    """Sums over each user's visible movies: of their vectors, and of their opinions times the rating above
    the user's mean. Both tables are float32 [movies, K]; so are the sums, [n, K]."""
    read = history.sum_weighted(gather(opinions, history.movies), _above_mean(history))
    return history.pool(vectors) + read


def pooled_in_training(history: History, vectors: tf.Tensor, opinions: tf.Tensor) -> tf.Tensor:
    """What `pooled` returns, by a product with all movies where users have rated a good share of them.

    Only for training: a SavedModel cannot hold a look-up's own gradient inside a branch.
    """
    movies = vectors.shape[0]
    if movies is None:  # those of a batch, out of very many
        return pooled(history, vectors, opinions)

    def multiplied() -> tf.Tensor:
        visible, above = history.matrix(history.visible, movies), history.matrix(_above_mean(history), movies)
        return tf.matmul(visible, vectors) + tf.matmul(above, opinions)

    cells = float(movies) * tf.cast(history.users, tf.float32)
    few = cells <= _CELLS_A_SLOT * tf.cast(tf.size(history.movies), tf.float32)
    return tf.cond(few, multiplied, lambda: pooled(history, vectors, opinions))


def _above_mean(history: History) -> tf.Tensor:
    """How much each visible rating is above the mean of the user's visible ones, float32 [c, L]."""
    sums = history.sum_by_user(tf.reduce_sum(history.ratings * history.visible, axis=1))
    means = tf.math.divide_no_nan(sums, history.counts)
    return (history.ratings - tf.gather(means, history.chunks.row)[:, tf.newaxis]) * history.visible
