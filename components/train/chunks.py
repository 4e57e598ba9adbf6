"""Ragged rows as chunks of equal length: many short dense matrices instead of one wide, mostly empty one."""

from typing import NamedTuple

import tensorflow as tf

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
