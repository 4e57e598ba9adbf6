"""Reading the rows of tables, with gradients that are added up movie by movie.

The gradient that TensorFlow gives a gather adds row after row in the order they come, on one core. Sorted by
movie, the rows of each movie lie together and are summed in one pass, in a fraction of the time. The sort is
the same for all tables that a batch reads, and TensorFlow does equal operations of one graph once.
"""

from typing import Any

import tensorflow as tf


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
