"""Scoring SavedModels so simple that numpy answers for them."""

import numpy as np
import tensorflow as tf
from artifacts import SCALE

MEAN = 3.0

_HISTORY = [
    tf.TensorSpec([None], tf.string, "user_id"),
    tf.TensorSpec([None], tf.int32, "history_movie"),
    tf.TensorSpec([None], tf.float32, "history_rating"),
    tf.TensorSpec([None], tf.int64, "history_row_splits"),
]
_PAIRS = [tf.TensorSpec([None], tf.int32, "pair_row"), tf.TensorSpec([None], tf.int32, "pair_movie")]


class TableModel(tf.Module):
    """Answers from a table: a user's row of scores is the query, candidate vectors are unit vectors."""

    def __init__(self, user_ids, movie_ids, scores, stars):
        super().__init__()
        rows = tf.range(len(user_ids), dtype=tf.int32)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(list(user_ids), tf.string), rows)
        self._rows = tf.lookup.StaticHashTable(initializer, default_value=len(user_ids))
        self._movie_ids = tf.Variable(list(movie_ids), trainable=False)
        # A row more for an unknown user, a column more for an unknown movie.
        self._scores = tf.Variable(np.pad(scores, ((0, 1), (0, 0))).astype(np.float32))
        self._stars = tf.Variable(np.pad(stars, ((0, 1), (0, 1)), constant_values=3.0).astype(np.float32))
        self._movies = len(movie_ids)

    @tf.function(input_signature=_HISTORY)
    def query(self, user_id, history_movie, history_rating, history_row_splits):
        return {"query": tf.gather(self._scores, self._rows.lookup(user_id))}

    @tf.function(input_signature=[])
    def candidates(self):
        return {
            "movie_id": self._movie_ids.read_value(),
            "vector": tf.eye(self._movies),
            "bias": tf.zeros([self._movies]),
        }

    @tf.function(input_signature=[*_HISTORY, *_PAIRS])
    def rate(self, user_id, history_movie, history_rating, history_row_splits, pair_row, pair_movie):
        users = tf.gather(self._rows.lookup(user_id), pair_row)
        known = (pair_movie >= 0) & (pair_movie < self._movies)
        movies = tf.where(known, pair_movie, self._movies)
        return {"rating": tf.gather_nd(self._stars.read_value(), tf.stack([users, movies], axis=1))}


class SimpleModel(tf.Module):
    """Query = sum of the rated movies' vectors, each times its rating above the mean.

    Stars = mean + query . vector, the movie's own rating left out of the query, clipped to the scale.
    """

    def __init__(self, movie_ids, vectors, biases):
        super().__init__()
        self._movie_ids = tf.Variable(list(movie_ids), trainable=False)
        # The last vector is that of a movie nothing is known of.
        self._vectors = tf.Variable(np.vstack([vectors, np.zeros_like(vectors[:1])]))
        self._biases = tf.Variable(biases)

    @tf.function(input_signature=_HISTORY)
    def query(self, user_id, history_movie, history_rating, history_row_splits):
        rows = tf.ragged.row_splits_to_segment_ids(history_row_splits)
        weighted = self._vector(history_movie) * (history_rating - MEAN)[:, tf.newaxis]
        return {"query": tf.math.unsorted_segment_sum(weighted, rows, tf.size(user_id))}

    @tf.function(input_signature=[])
    def candidates(self):
        vectors = self._vectors[:-1]
        return {
            "movie_id": self._movie_ids.read_value(),
            "vector": vectors,
            "bias": self._biases.read_value(),
        }

    @tf.function(input_signature=[*_HISTORY, *_PAIRS])
    def rate(self, user_id, history_movie, history_rating, history_row_splits, pair_row, pair_movie):
        rows = tf.cast(tf.ragged.row_splits_to_segment_ids(history_row_splits), tf.int32)
        read = tf.equal(rows[tf.newaxis, :], pair_row[:, tf.newaxis])
        read &= tf.not_equal(history_movie[tf.newaxis, :], pair_movie[:, tf.newaxis])
        weights = tf.where(read, history_rating - MEAN, 0.0)
        dots = tf.matmul(self._vector(pair_movie), self._vector(history_movie), transpose_b=True)
        return {"rating": tf.clip_by_value(MEAN + tf.reduce_sum(weights * dots, axis=1), *SCALE)}

    def _vector(self, movie):
        known = (movie >= 0) & (movie < self._vectors.shape[0] - 1)
        return tf.gather(self._vectors, tf.where(known, movie, self._vectors.shape[0] - 1))
