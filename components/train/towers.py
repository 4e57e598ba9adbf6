"""Query and candidate tower: the movie vectors, and the user vector pooled from the rated movies."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.training_data import Catalogue


def gather(table: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """The rows `rows`, int32 [c, L], of `table`, float32 [M, K] or [M]: [c, L, K] or [c, L]."""
    if table.shape.rank == 1:
        return tf.gather(table, rows)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def gathered(table: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            order, sorted_rows = _by_row(rows)
            return _sums(tf.reshape(upstream, [-1, table.shape[1]]), order, sorted_rows, tf.shape(table)[0])

        return tf.gather(table, rows), gradient

    return gathered(tf.convert_to_tensor(table))


def pool(table: tf.Tensor, rows: tf.Tensor, owners: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
    """Adds up the rows of `table`, float32 [M, K], that belong to each user: [users, K].

    The rows themselves are never laid out, neither here nor in the gradient.

    Args:
      rows: int32 [c, L], rows of the table.
      owners: int32 [c, L], the user of each, ascending; `users` where a row is not to be read.
    """
    read = owners < users

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def pooled(table: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            order, sorted_rows = _by_row(rows)
            padded = tf.pad(upstream, [[0, 1], [0, 0]])
            by_row = tf.gather(tf.reshape(owners, [-1]), order)
            return _sums(padded, by_row, sorted_rows, tf.shape(table)[0])

        return _sums(table, tf.boolean_mask(rows, read), tf.boolean_mask(owners, read), users), gradient

    return pooled(tf.convert_to_tensor(table))


def _by_row(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    flat = tf.reshape(rows, [-1])
    order = tf.argsort(flat, stable=True)
    return order, tf.gather(flat, order)


def _sums(data: tf.Tensor, indices: tf.Tensor, segments: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Adds up the rows `indices` of `data` by the segment of each, ascending: [number, K]."""
    return tf.raw_ops.SparseSegmentSumWithNumSegments(
        data=data, indices=indices, segment_ids=segments, num_segments=number
    )


# Ratings in a chunk. A user's last chunk is half empty on average, so longer ones waste more.
LENGTH = 64


class Chunks(NamedTuple):
    """Where the entries of a ragged batch stand when each row is cut into chunks of `LENGTH`.

    Attributes:
      row: int32 [c], the row of the batch that each chunk belongs to, ascending.
      slot: int32 [t], the place of each entry in a flattened [c, LENGTH] tensor.
      present: float32 [c, LENGTH], 1 where a slot holds an entry.
    """

    row: tf.Tensor
    slot: tf.Tensor
    present: tf.Tensor

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Lays [t] values out as [c, LENGTH]; empty slots hold 0."""
        size = tf.shape(self.row)[0] * LENGTH
        return tf.reshape(tf.scatter_nd(self.slot[:, tf.newaxis], values, [size]), [-1, LENGTH])

    def collect(self, values: tf.Tensor) -> tf.Tensor:
        """The inverse of `spread`: [c, LENGTH] values back to [t]."""
        return tf.gather(tf.reshape(values, [-1]), self.slot)


def chunked(row_splits: tf.Tensor) -> Chunks:
    """Cuts rows into chunks; row i has the entries `row_splits[i]` to `row_splits[i + 1]`.

    Args:
      row_splits: int [n + 1]. Rows may be empty: they have no chunk.
    """
    row_splits = tf.cast(row_splits, tf.int32)
    lengths = row_splits[1:] - row_splits[:-1]
    chunks = (lengths + LENGTH - 1) // LENGTH
    row = tf.repeat(tf.range(tf.size(lengths)), chunks)
    shift = tf.cumsum(chunks, exclusive=True) * LENGTH - row_splits[:-1]
    slot = tf.range(row_splits[-1]) + tf.repeat(shift, lengths)
    present = tf.scatter_nd(slot[:, tf.newaxis], tf.ones_like(slot, tf.float32), [tf.size(row) * LENGTH])
    return Chunks(row, slot, tf.reshape(present, [-1, LENGTH]))


class History(NamedTuple):
    """Ratings of n users in chunks of L (see `Chunks`), which the model reads or is asked to predict.

    Attributes:
      chunks: the layout; c chunks.
      users: int32 [], n.
      movies: int32 [c, L], rows of the embedding tables; 0 in empty slots.
      ratings: float32 [c, L], centred and scaled (see `Catalogue`); 0 in empty slots.
      visible: float32 [c, L], 1 where the rating may be read, 0 where it is hidden or the slot is empty.
    """

    chunks: Chunks
    users: tf.Tensor
    movies: tf.Tensor
    ratings: tf.Tensor
    visible: tf.Tensor

    @property
    def counts(self) -> tf.Tensor:
        """How many ratings may be read of each user, float32 [n]."""
        return self.sum_by_user(tf.reduce_sum(self.visible, axis=1))

    def sum_by_user(self, values: tf.Tensor) -> tf.Tensor:
        """Adds up the values [c, ...] of each user's chunks: [n, ...]."""
        return tf.math.unsorted_segment_sum(values, self.chunks.row, self.users)

    def pool(self, table: tf.Tensor) -> tf.Tensor:
        """Adds up the rows of `table` [movies, K] of each user's visible movies: [n, K]."""
        owners = tf.where(self.visible > 0, self.chunks.row[:, tf.newaxis], self.users)
        return pool(table, self.movies, owners, self.users)

    def matrix(self, values: tf.Tensor, movies: int) -> tf.Tensor:
        """The values [c, L] of each user's movies in their places: [n, movies], else 0."""
        places = self.chunks.row[:, tf.newaxis] * movies + self.movies
        flat = tf.reshape(values, [-1]), tf.reshape(places, [-1])
        return tf.reshape(tf.math.unsorted_segment_sum(*flat, self.users * movies), [self.users, movies])

    def sum_visible(self, values: tf.Tensor) -> tf.Tensor:
        """Adds up the values [c, L, K] of each user's visible ratings: [n, K]."""
        return self.sum_weighted(values, self.visible)

    def sum_weighted(self, values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Adds up values [c, L, K] times weights [c, L] of each user: [n, K]."""
        return self.sum_by_user(tf.squeeze(tf.matmul(weights[:, tf.newaxis], values), axis=1))

    def with_visible(self, visible: tf.Tensor) -> "History":
        """The same ratings with other ones hidden."""
        return self._replace(visible=visible * self.chunks.present)


def history(movies: tf.Tensor, ratings: tf.Tensor, row_splits: tf.Tensor) -> History:
    """Lays ragged ratings out in chunks, all of them visible.

    Args:
      movies: int32 [t].
      ratings: float32 [t], centred and scaled.
      row_splits: int [n + 1].
    """
    chunks = chunked(row_splits)
    return History(
        chunks=chunks,
        users=tf.size(row_splits) - 1,
        movies=chunks.spread(movies),
        ratings=chunks.spread(ratings),
        visible=chunks.present,
    )


class Part(NamedTuple):
    """All movies, or those of a batch, which number them anew.

    Where a step needs few of very many movies, it reads and changes these rows only: a step then takes as
    long as its batch is large, however many movies there are.

    Attributes:
      rows: int32 [u], rows of the tables, each once; None for all of them.
      weights: float32 [u], one over the chance that a batch has the movie.
    """

    rows: tf.Tensor | None = None
    weights: tf.Tensor | None = None

    def of(self, table: tf.Tensor) -> tf.Tensor:
        """The rows of `table`, [movies, ...]: [u, ...]."""
        return tf.convert_to_tensor(table) if self.rows is None else tf.gather(table, self.rows)

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """Adds up `values` [u, ...] so that the mean over many batches is the sum over all movies: []."""
        if self.weights is None:
            return tf.reduce_sum(values)
        by_row = tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), axis=1)
        return tf.reduce_sum(self.weights * by_row)


ALL = Part()


def part_of(movies: tf.Tensor, shares: tf.Tensor | None = None) -> tuple[Part, tf.Tensor]:
    """The part that `movies`, int32 [t], are of, and their places in it, int32 [t].

    Args:
      shares: float32 [all movies], how likely a rating is of each movie; None where nothing is to be summed.
    """
    rows, places = tf.unique(movies)
    if shares is None:
        return Part(rows), places
    drawn = tf.cast(tf.size(movies), tf.float32)
    chance = -tf.math.expm1(-drawn * tf.gather(shares, rows))
    return Part(rows, 1.0 / chance), places


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
