"""Query and candidate tower: the movie vectors, and the user vector pooled from the rated movies."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.chunks import CHUNK_LENGTH, ChunkedRatings
from components.train.tables import ALL_ROWS, RowSubset, gather, pool, sum_rows

Array = npt.NDArray[Any]


class Candidates(NamedTuple):
    """Output of the candidate tower."""

    vectors: tf.Tensor  # float32 [movies, dimension]
    biases: tf.Tensor  # float32 [movies], log(count + 1), added to every user's score

    def scores(self, queries: tf.Tensor) -> tf.Tensor:
        """Returns the score of every movie for each query: [n, dimension] -> [n, movies]."""
        return tf.matmul(queries, self.vectors, transpose_b=True) + self.biases

    @classmethod
    def mean(cls, ensemble: "list[Candidates]") -> "Candidates":
        """Returns the mean over the towers of an ensemble."""
        return cls(*(mean(tables) for tables in zip(*ensemble, strict=True)))


class CandidateTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A vector and a bias for each movie.

    The vector is the movie's own embedding plus that of its year, so that a movie with few ratings starts
    where others of its year are. The bias is log(count + 1), the movie's popularity. It is not learned: what
    a learned one added was not measurable on any data set (docs/model.md).
    """

    def __init__(self, vectors: Array, counts: Array, years: Array) -> None:
        """Creates the tables.

        Args:
          vectors: initial embeddings, float32 [movies, dimension].
          counts: ratings of each movie, int64 [movies].
          years: int32 [movies], of each movie, counted from 1; 0 where not known.
        """
        super().__init__()
        movies, dimension = vectors.shape
        self.popularity = self.add_weight(
            name="popularity", shape=[movies], initializer="zeros", trainable=False
        )
        self.set_popularity(counts)
        self.embeddings = self.add_weight(
            name="embeddings", shape=[movies, dimension], initializer=tf.constant_initializer(vectors)
        )
        self._years = tf.constant(years)
        self.year_embeddings = self.add_weight(
            name="year_embeddings", shape=[years.max() + 1, dimension], initializer="zeros"
        )

    def set_popularity(self, counts: Array) -> None:
        """Sets the popularity from `counts`, int64 [movies], the ratings of each movie."""
        self.popularity.assign(np.log1p(counts))

    def table(self, subset: RowSubset = ALL_ROWS) -> Candidates:
        """Returns the movies `subset`; all of them are far fewer than the ratings of a batch."""
        years = tf.gather(self.year_embeddings, subset.of(self._years))
        return Candidates(subset.of(self.embeddings) + years, biases=subset.of(self.popularity))


class QueryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A user's vector, from the visible part of the history.

    x = sum of (e_m + rating_m f_m) / sqrt(n + 1) + start; query = x + W2 dropout(gelu(W1 layer_norm(x))).
    e_m is the candidate tower's own vector (tied), f_m the movie's rating embedding: what a rating above or
    below the user's mean adds. A linear item-to-item model (SLIM, EASE) has such a sum with free weights; the
    hidden layer makes it a denoising autoencoder (Wu et al. 2016, CDAE; Liang et al. 2018, Mult-DAE).
    """

    def __init__(
        self, movies: int, dimension: int, hidden_units: int, dropout: float, pool: "Pool | None" = None
    ) -> None:
        """Args: `pool`: adds up a history in training; `look_up` by default."""
        super().__init__()
        self.rating_embeddings = self.add_weight(
            name="rating_embeddings", shape=[movies, dimension], initializer="zeros"
        )
        self.start = self.add_weight(name="start", shape=[dimension], initializer="zeros")
        self._norm = tf.keras.layers.LayerNormalization()
        self._expand = tf.keras.layers.Dense(hidden_units, tf.nn.gelu)
        self._dropout, self._pool = dropout, pool or look_up
        self._project = tf.keras.layers.Dense(dimension)
        # Now, and not at the first call: that is in a replica's thread, where Keras draws without the seed.
        for layer, width in (
            (self._norm, dimension),
            (self._expand, dimension),
            (self._project, hidden_units),
        ):
            layer.build([None, width])

    def call(
        self,
        history: ChunkedRatings,
        vectors: tf.Tensor,
        seed: tf.Tensor | None = None,
        subset: RowSubset = ALL_ROWS,
    ) -> tf.Tensor:
        """Returns the queries [n, dimension]; a user without visible ratings gets that of `start` alone.

        Args:
          history: ratings by user.
          vectors: the candidate tower's, float32 [u, dimension].
          seed: int32 [2], of the dropout in training; None, outside of it, drops nothing.
          subset: the movies that `history` numbers and `vectors` are of.
        """
        pool = pool_history if seed is None else self._pool
        return self.finish(pool(history, vectors, subset.of(self.rating_embeddings)), history.counts, seed)

    def finish(self, pooled: tf.Tensor, counts: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns queries [n, dimension] from sums [n, dimension] over `counts` [n] ratings of each user."""
        x = pooled * tf.math.rsqrt(counts + 1.0)[:, tf.newaxis] + self.start
        hidden = self._expand(self._norm(x))
        if seed is not None:
            hidden = tf.nn.experimental.stateless_dropout(hidden, self._dropout, seed)
        return x + self._project(hidden)


# Adds up each user's visible movies: vectors, and rating embeddings times the rating above the mean, which is
# that of the user's visible ratings. (history, vectors, rating embeddings) -> sums, float32 [n, K]; both
# tables are float32 [movies, K].
Pool = Callable[[ChunkedRatings, tf.Tensor, tf.Tensor], tf.Tensor]


def pool_history(history: ChunkedRatings, vectors: tf.Tensor, rating_embeddings: tf.Tensor) -> tf.Tensor:
    """Is a `Pool` for use outside of training."""
    by_rating = history.sum_weighted(tf.gather(rating_embeddings, history.movies), _above_mean(history))
    return pool_visible(history, vectors) + by_rating


def pool_visible(history: ChunkedRatings, table: tf.Tensor) -> tf.Tensor:
    """Adds up the rows of `table` [movies, K] of each user's visible movies, outside of training: [n, K]."""
    read = history.visible > 0
    rows, owners = tf.boolean_mask(history.movies, read), tf.boolean_mask(history.owners, read)
    return sum_rows(table, rows, owners, history.users)


def look_up(history: ChunkedRatings, vectors: tf.Tensor, rating_embeddings: tf.Tensor) -> tf.Tensor:
    """Is a `Pool` whose gradients are made without a row for every rating."""
    by_rating = history.sum_weighted(gather(rating_embeddings, history.movies), _above_mean(history))
    return pool(vectors, history.movies, history.owners, history.users) + by_rating


def multiply(history: ChunkedRatings, vectors: tf.Tensor, rating_embeddings: tf.Tensor) -> tf.Tensor:
    """Is a `Pool` by a product with all movies: for users who have rated many of them."""
    movies = vectors.shape[0]
    visible, above = history.matrix(history.visible, movies), history.matrix(_above_mean(history), movies)
    return tf.matmul(visible, vectors) + tf.matmul(above, rating_embeddings)


# So many cells of users times movies are multiplied in less time than one rating is looked up. Measured
# forward and backward on two cores with AVX-512: a quarter of the time at 11 cells, three quarters at 47.
_CELLS_A_SLOT = 40


def pool_for(movies: int, ratings_a_user: float) -> Pool:
    """Returns the faster `Pool` for users with so many ratings on average.

    Not chosen anew for each batch: a branch in the step would double the time that tracing it takes.
    """
    # A user's last chunk is half empty on average.
    slots = max(ratings_a_user + CHUNK_LENGTH / 2, CHUNK_LENGTH)
    return multiply if movies <= _CELLS_A_SLOT * slots else look_up


def _above_mean(history: ChunkedRatings) -> tf.Tensor:
    """Returns each visible rating minus the mean of the user's visible ones, float32 [c, L]."""
    sums = history.sum_by_user(tf.reduce_sum(history.ratings * history.visible, axis=1))
    means = tf.math.divide_no_nan(sums, history.counts)
    return (history.ratings - tf.gather(means, history.chunks.row)[:, tf.newaxis]) * history.visible


def mean(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    """Returns the mean of tensors of one shape."""
    summands = list(tensors)
    return tf.add_n(summands) / len(summands)
