"""The movie table inside the index."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class Catalogue(tf.Module):  # type: ignore[misc]
    """Ids, titles and years of M movies, with one row more that stands for no movie at all.

    A movie is known by its row, 0 to M-1, as in the model. Row M, `nothing`, has the id "", the title "" and
    the year 0: it is what an unknown id is looked up as, and what pads an answer that runs short.
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
        """Rows, int32 of the shape of `movie_id` (string); `nothing` for an id that is not there."""
        return self._rows.lookup(movie_id)

    def among(self, movie_id: tf.Tensor) -> tf.Tensor:
        """Which movies are among `movie_id` (string [m]), bool [M]."""
        rows = self.rows(movie_id)
        nowhere, named = tf.zeros([self.nothing + 1], tf.bool), tf.ones_like(rows, tf.bool)
        return tf.tensor_scatter_nd_update(nowhere, rows[:, tf.newaxis], named)[:-1]

    def unknown(self, movie_id: tf.Tensor) -> tf.Tensor:
        """How many of `movie_id` (string [m]) are not there, int32 []."""
        return tf.math.count_nonzero(self.rows(movie_id) == self.nothing, dtype=tf.int32)

    def describe(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """movie_id and title (string) and year (int32, 0 = unknown), each of the shape of `rows`."""
        return {
            "movie_id": tf.gather(self._movie_ids, rows),
            "title": tf.gather(self._titles, rows),
            "year": tf.gather(self._years, rows),
        }

    def all(self) -> dict[str, tf.Tensor]:
        """The whole table in the order of its rows: movie_id, title, year, each [M]."""
        return self.describe(tf.range(self.nothing))
