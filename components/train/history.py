"""What the towers read of a batch of users."""

from typing import NamedTuple

import tensorflow as tf

from components.train.chunks import Chunks, chunked
from components.train.tables import pool


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
