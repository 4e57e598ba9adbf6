"""Which rows of the movies' tables a step computes with."""

from typing import NamedTuple

import tensorflow as tf


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
