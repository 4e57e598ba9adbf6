"""Rows of embedding tables: those of a batch's movies, and sums of rows with their gradients."""

from typing import Any, NamedTuple

import tensorflow as tf


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


def _by_row(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    flat = tf.reshape(rows, [-1])
    order = tf.argsort(flat, stable=True)
    return order, tf.gather(flat, order)


def sum_rows(data: tf.Tensor, indices: tf.Tensor, segments: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """Adds up the rows `indices` of `data` by the segment of each, ascending: [number, K]."""
    return tf.raw_ops.SparseSegmentSumWithNumSegments(
        data=data, indices=indices, segment_ids=segments, num_segments=number
    )
