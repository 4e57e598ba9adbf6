"""Ragged rows."""

import tensorflow as tf


def owners(row_splits: tf.Tensor) -> tf.Tensor:
    """The row that each entry of a ragged tensor belongs to, int32 [entries].

    Few operations, of which a small request's time is made; `tf.ragged.row_splits_to_segment_ids` has twenty.

    Args:
      row_splits: int [n + 1]; row i has the entries `row_splits[i]` to `row_splits[i + 1]`.
    """
    entries = tf.range(row_splits[-1], dtype=row_splits.dtype)
    return tf.searchsorted(row_splits[1:], entries, side="right")
