"""Query and candidate tower: the movie vectors, and the user vector pooled from the rated movies."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Array = npt.NDArray[Any]

# Ratings in a chunk. A user's last chunk is half empty on average, so longer ones waste more.
CHUNK_LENGTH = 64


class Chunks(NamedTuple):
    """Places of the entries of a ragged batch whose rows are cut into chunks of `CHUNK_LENGTH`."""

    row: tf.Tensor  # int32 [c], the row of the batch that each chunk belongs to, ascending
    slot: tf.Tensor  # int32 [t], the place of each entry in a flattened [c, CHUNK_LENGTH] tensor
    present: tf.Tensor  # float32 [c, CHUNK_LENGTH], 1 where a slot holds an entry

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Lays [t] values out as [c, CHUNK_LENGTH]; empty slots hold 0."""
        size = tf.shape(self.row)[0] * CHUNK_LENGTH
        return tf.reshape(tf.scatter_nd(self.slot[:, tf.newaxis], values, [size]), [-1, CHUNK_LENGTH])

    def collect(self, values: tf.Tensor) -> tf.Tensor:
        """Inverts `spread`: [c, CHUNK_LENGTH] values to [t]."""
        return tf.gather(tf.reshape(values, [-1]), self.slot)


def cut_into_chunks(row_splits: tf.Tensor) -> Chunks:
    """Cuts rows into chunks; row i has the entries `row_splits[i]` to `row_splits[i + 1]`.

    `row_splits` is int [n + 1]. Rows may be empty: they have no chunk.
    """
    row_splits = tf.cast(row_splits, tf.int32)
    lengths = row_splits[1:] - row_splits[:-1]
    chunks = (lengths + CHUNK_LENGTH - 1) // CHUNK_LENGTH
    row = tf.repeat(tf.range(tf.size(lengths)), chunks)
    shift = tf.cumsum(chunks, exclusive=True) * CHUNK_LENGTH - row_splits[:-1]
    slot = tf.range(row_splits[-1]) + tf.repeat(shift, lengths)
    ones = tf.ones_like(slot, tf.float32)
    present = tf.scatter_nd(slot[:, tf.newaxis], ones, [tf.size(row) * CHUNK_LENGTH])
    return Chunks(row, slot, tf.reshape(present, [-1, CHUNK_LENGTH]))


class ChunkedRatings(NamedTuple):
    """Ratings of n users in chunks of L (see `Chunks`), which the model reads or is asked to predict."""

    chunks: Chunks  # the layout; c chunks
    users: tf.Tensor  # int32 [], n
    movies: tf.Tensor  # int32 [c, L], rows of the embedding tables; 0 in empty slots
    ratings: tf.Tensor  # float32 [c, L], centred and scaled (see `RatedCatalogue`); 0 in empty slots
    visible: tf.Tensor  # float32 [c, L], 1 where the rating may be read, 0 where hidden or the slot is empty

    @property
    def counts(self) -> tf.Tensor:
        """Visible ratings of each user, float32 [n]."""
        return self.sum_by_user(tf.reduce_sum(self.visible, axis=1))

    def sum_by_user(self, values: tf.Tensor) -> tf.Tensor:
        """Adds up the values [c, ...] of each user's chunks: [n, ...]."""
        return tf.math.unsorted_segment_sum(values, self.chunks.row, self.users)

    def pool(self, table: tf.Tensor) -> tf.Tensor:
        """Adds up the rows of `table` [movies, K] of each user's visible movies: [n, K]."""
        owners = tf.where(self.visible > 0, self.chunks.row[:, tf.newaxis], self.users)
        return pool(table, self.movies, owners, self.users)

    def matrix(self, values: tf.Tensor, movies: int) -> tf.Tensor:
        """Lays the values [c, L] out as a matrix [n, movies] with 0 for movies without a value."""
        places = self.chunks.row[:, tf.newaxis] * movies + self.movies
        flat = tf.reshape(values, [-1]), tf.reshape(places, [-1])
        return tf.reshape(tf.math.unsorted_segment_sum(*flat, self.users * movies), [self.users, movies])

    def sum_weighted(self, values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Adds up values [c, L, K] times weights [c, L] of each user: [n, K]."""
        return self.sum_by_user(tf.squeeze(tf.matmul(weights[:, tf.newaxis], values), axis=1))

    def with_visible(self, visible: tf.Tensor) -> "ChunkedRatings":
        """Returns the same ratings with `visible` [c, L]."""
        return self._replace(visible=visible * self.chunks.present)


def chunk_ratings(movies: tf.Tensor, ratings: tf.Tensor, row_splits: tf.Tensor) -> ChunkedRatings:
    """Lays ragged ratings out in chunks, all of them visible.

    `movies` is int32 [t], `ratings` float32 [t], centred and scaled, `row_splits` int [n + 1].
    """
    chunks = cut_into_chunks(row_splits)
    return ChunkedRatings(
        chunks=chunks,
        users=tf.size(row_splits) - 1,
        movies=chunks.spread(movies),
        ratings=chunks.spread(ratings),
        visible=chunks.present,
    )


def owners(row_splits: tf.Tensor) -> tf.Tensor:
    """Returns the row that each entry of a ragged tensor belongs to, int32 [entries].

    Few operations; `tf.ragged.row_splits_to_segment_ids` has twenty. `row_splits` is int [n + 1]; row i has
    the entries `row_splits[i]` to `row_splits[i + 1]`.
    """
    entries = tf.range(row_splits[-1], dtype=row_splits.dtype)
    return tf.searchsorted(row_splits[1:], entries, side="right")


def chunk_visible(
    movies: tf.Tensor, ratings: tf.Tensor, row_splits: tf.Tensor, nothing: tf.Tensor
) -> ChunkedRatings:
    """Lays ragged ratings out in chunks, in fewer operations than `chunk_ratings`.

    Ratings of the movie `nothing` are not visible and are read as 0. It fills empty slots too. No entry can
    be spread or collected: the chunks' `slot` is left out.
    """
    starts = tf.ragged.range(row_splits[:-1], row_splits[1:], CHUNK_LENGTH)
    splits = tf.concat([starts.values, row_splits[-1:]], axis=0)

    def spread(values: tf.Tensor, empty: tf.Tensor | float) -> tf.Tensor:
        ragged = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        return ragged.to_tensor(empty, shape=[None, CHUNK_LENGTH])

    in_chunks = spread(movies, nothing)
    visible = tf.cast(in_chunks < nothing, tf.float32)
    return ChunkedRatings(
        chunks=Chunks(owners(starts.row_splits), slot=None, present=visible),
        users=tf.size(row_splits) - 1,
        movies=in_chunks,
        ratings=spread(ratings, 0.0) * visible,
        visible=visible,
    )


class RowSubset(NamedTuple):
    """All movies, or those of a batch, numbered anew.

    Where a step needs few of very many movies, it reads and changes these rows only: a step then takes as
    long as its batch is large, however many movies there are.
    """

    rows: tf.Tensor | None = None  # int32 [u], rows of the tables, each once; None for all of them
    weights: tf.Tensor | None = None  # float32 [u], one over the probability that a batch has the movie

    def of(self, table: tf.Tensor) -> tf.Tensor:
        """Returns the rows of `table`, [movies, ...]: [u, ...]."""
        return tf.convert_to_tensor(table) if self.rows is None else tf.gather(table, self.rows)

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """Adds up `values` [u, ...] so that the mean over many batches is the sum over all movies: []."""
        if self.weights is None:
            return tf.reduce_sum(values)
        by_row = tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), axis=1)
        return tf.reduce_sum(self.weights * by_row)


ALL_ROWS = RowSubset()


def subset_of(movies: tf.Tensor, shares: tf.Tensor | None = None) -> tuple[RowSubset, tf.Tensor]:
    """Returns the subset with the movies of a batch, and the place in it of each of `movies`, int32 [t].

    `movies` is int32 [t]. `shares`, float32 [all movies], is the probability that a rating is of the movie;
    None if `sum` is not needed.
    """
    rows, places = tf.unique(movies)
    if shares is None:
        return RowSubset(rows), places
    drawn = tf.cast(tf.size(movies), tf.float32)
    chance = -tf.math.expm1(-drawn * tf.gather(shares, rows))
    return RowSubset(rows, 1.0 / chance), places


class Candidates(NamedTuple):
    """Output of the candidate tower."""

    vectors: tf.Tensor  # float32 [movies, dimension]
    biases: tf.Tensor  # float32 [movies], added to every user's score
    popularity: tf.Tensor  # float32 [movies], log(count + 1), the part of the biases that is not learned

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
    where others of its year are. The bias is log(count + 1), the movie's popularity, plus a learned
    deviation. The deviation is kept apart so that a user without known ratings can be given popularity's
    order exactly.
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
        self.deviation = self.add_weight(name="deviation", shape=[movies], initializer="zeros")

    def set_popularity(self, counts: Array) -> None:
        """Sets the popularity from `counts`, int64 [movies], the ratings of each movie."""
        self.popularity.assign(np.log1p(counts))

    def table(self, subset: RowSubset = ALL_ROWS) -> Candidates:
        """Returns the movies `subset`; all of them are far fewer than the ratings of a batch."""
        popularity = subset.of(self.popularity)
        return Candidates(
            vectors=subset.of(self.embeddings) + tf.gather(self.year_embeddings, subset.of(self._years)),
            biases=popularity + subset.of(self.deviation),
            popularity=popularity,
        )


class QueryTower(tf.keras.layers.Layer):  # type: ignore[misc]
    """A user's vector, from the visible part of the history.

    x = sum of (e_m + rating_m f_m) / sqrt(n + 1) + start; query = x + W2 dropout(gelu(W1 layer_norm(x))).
    e_m is the candidate tower's own vector (tied), f_m the movie's rating embedding: what a rating above or
    below the user's mean adds. A linear item-to-item model (SLIM, EASE) has such a sum with free weights; the
    hidden layer makes it a denoising autoencoder (Wu et al. 2016, CDAE; Liang et al. 2018, Mult-DAE).
    """

    def __init__(self, movies: int, dimension: int, hidden_units: int, dropout: float) -> None:
        super().__init__()
        self.rating_embeddings = self.add_weight(
            name="rating_embeddings", shape=[movies, dimension], initializer="zeros"
        )
        self.start = self.add_weight(name="start", shape=[dimension], initializer="zeros")
        self._norm = tf.keras.layers.LayerNormalization()
        self._expand = tf.keras.layers.Dense(hidden_units, tf.nn.gelu)
        self._dropout = dropout
        self._project = tf.keras.layers.Dense(dimension)

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
        pool = pool_history if seed is None else pool_in_training
        return self.finish(pool(history, vectors, subset.of(self.rating_embeddings)), history.counts, seed)

    def finish(self, pooled: tf.Tensor, counts: tf.Tensor, seed: tf.Tensor | None = None) -> tf.Tensor:
        """Returns queries [n, dimension] from sums [n, dimension] over `counts` [n] ratings of each user."""
        x = pooled * tf.math.rsqrt(counts + 1.0)[:, tf.newaxis] + self.start
        hidden = self._expand(self._norm(x))
        if seed is not None:
            hidden = tf.nn.experimental.stateless_dropout(hidden, self._dropout, seed)
        return x + self._project(hidden)


def pool_history(history: ChunkedRatings, vectors: tf.Tensor, rating_embeddings: tf.Tensor) -> tf.Tensor:
    """Adds up each user's visible movies: vectors, and rating embeddings times the rating above the mean.

    The mean is that of the user's visible ratings in `history`. `vectors` and `rating_embeddings` are float32
    [movies, K]; the sums are float32 [n, K].
    """
    by_rating = history.sum_weighted(gather(rating_embeddings, history.movies), _above_mean(history))
    return history.pool(vectors) + by_rating


# So many cells of users times movies are multiplied in less time than one rating is looked up. Measured
# forward and backward on two cores with AVX-512: a quarter of the time at 11 cells, three quarters at 47.
_CELLS_A_SLOT = 40


def pool_in_training(history: ChunkedRatings, vectors: tf.Tensor, rating_embeddings: tf.Tensor) -> tf.Tensor:
    """Returns the same as `pool_history`, by a product with all movies where users have rated many of them.

    Only for training: a SavedModel cannot hold a look-up's own gradient inside a branch.
    """
    movies = vectors.shape[0]
    if movies is None:  # those of a batch, out of very many
        return pool_history(history, vectors, rating_embeddings)

    def multiplied() -> tf.Tensor:
        visible, above = history.matrix(history.visible, movies), history.matrix(_above_mean(history), movies)
        return tf.matmul(visible, vectors) + tf.matmul(above, rating_embeddings)

    cells = float(movies) * tf.cast(history.users, tf.float32)
    few = cells <= _CELLS_A_SLOT * tf.cast(tf.size(history.movies), tf.float32)
    return tf.cond(few, multiplied, lambda: pool_history(history, vectors, rating_embeddings))


def _above_mean(history: ChunkedRatings) -> tf.Tensor:
    """Returns each visible rating minus the mean of the user's visible ones, float32 [c, L]."""
    sums = history.sum_by_user(tf.reduce_sum(history.ratings * history.visible, axis=1))
    means = tf.math.divide_no_nan(sums, history.counts)
    return (history.ratings - tf.gather(means, history.chunks.row)[:, tf.newaxis]) * history.visible


def gather(table: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns the rows `rows`, int32 [c, L], of `table`, float32 [M, K] or [M]: [c, L, K] or [c, L]."""
    if table.shape.rank == 1:
        return tf.gather(table, rows)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def gathered(table: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            order, sorted_rows = _by_row(rows)
            flat = tf.reshape(upstream, [-1, table.shape[1]])
            return sum_rows(flat, order, sorted_rows, tf.shape(table)[0])

        return tf.gather(table, rows), gradient

    return gathered(tf.convert_to_tensor(table))


def pool(table: tf.Tensor, rows: tf.Tensor, owners: tf.Tensor, users: tf.Tensor) -> tf.Tensor:
    """Adds up the rows of `table`, float32 [M, K], that belong to each user: [users, K].

    The rows themselves are never laid out, neither here nor in the gradient.

    Args:
      table: float32 [M, K].
      rows: int32 [c, L], rows of the table.
      owners: int32 [c, L], the user of each, ascending; `users` where a row is not to be read.
      users: int32 [].
    """
    read = owners < users

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def summed(table: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            order, sorted_rows = _by_row(rows)
            padded = tf.pad(upstream, [[0, 1], [0, 0]])
            by_row = tf.gather(tf.reshape(owners, [-1]), order)
            return sum_rows(padded, by_row, sorted_rows, tf.shape(table)[0])

        return sum_rows(table, tf.boolean_mask(rows, read), tf.boolean_mask(owners, read), users), gradient

    return summed(tf.convert_to_tensor(table))


def mean(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    """Returns the mean of tensors of one shape."""
    summands = list(tensors)
    return tf.add_n(summands) / len(summands)


def _by_row(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    flat = tf.reshape(rows, [-1])
    order = tf.argsort(flat, stable=True)
    return order, tf.gather(flat, order)


def sum_rows(data: tf.Tensor, indices: tf.Tensor, segments: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Adds up the rows `indices` of `data` by the segment of each, ascending: [number, K]."""
    return tf.raw_ops.SparseSegmentSumWithNumSegments(
        data=data, indices=indices, segment_ids=segments, num_segments=number
    )
