"""The movie table of an index."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class MovieTable(tf.Module):  # type: ignore[misc]
    """Ids, titles and years of M movies, and one more row that stands for no movie.

    A movie is identified by its row, 0 to M-1, as in the model. Row M, `nothing`, has the id "", the title ""
    and the year 0: unknown ids map to it, and it pads answers that have fewer movies than requested.
    """

    def __init__(self, movie_ids: Sequence[str], titles: Sequence[str], years: np.ndarray) -> None:
        super().__init__(name="catalogue")
        self.nothing = len(movie_ids)
        self._movie_ids = tf.Variable([*movie_ids, ""], trainable=False, name="movie_id")
        self._titles = tf.Variable([*titles, ""], trainable=False, name="title")
        self._years = tf.Variable(np.append(years, 0).astype(np.int32), trainable=False, name="year")
        rows = tf.range(self.nothing, dtype=tf.int32)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(list(movie_ids), tf.string), rows)
        self._rows = tf.lookup.StaticHashTable(initializer, default_value=self.nothing)

    def rows(self, movie_id: tf.Tensor) -> tf.Tensor:
        """Looks up rows, int32 of the shape of `movie_id` (string); `nothing` for an unknown id."""
        return self._rows.lookup(movie_id)

    def among(self, movie_id: tf.Tensor) -> tf.Tensor:
        """Marks the movies that are among `movie_id` (string [m]), bool [M]."""
        rows = self.rows(movie_id)
        none, listed = tf.zeros([self.nothing + 1], tf.bool), tf.ones_like(rows, tf.bool)
        return tf.tensor_scatter_nd_update(none, rows[:, tf.newaxis], listed)[:-1]

    def choose(self, only: tf.Tensor, exclude: tf.Tensor) -> tf.Tensor:
        """Marks the movies `only` (string [o]; none: all) without `exclude` (string [e]), bool [M]."""
        allowed = tf.logical_or(tf.equal(tf.size(only), 0), self.among(only))
        return tf.logical_and(allowed, tf.logical_not(self.among(exclude)))

    def count_unknown(self, movie_id: tf.Tensor) -> tf.Tensor:
        """Counts the unknown ids in `movie_id` (string [m]), int32 []."""
        return tf.math.count_nonzero(self.rows(movie_id) == self.nothing, dtype=tf.int32)

    def describe(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Gathers movie_id and title (string) and year (int32, 0 = unknown), each of the shape of `rows`."""
        return {
            "movie_id": tf.gather(self._movie_ids, rows),
            "title": tf.gather(self._titles, rows),
            "year": tf.gather(self._years, rows),
        }
