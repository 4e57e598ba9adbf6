"""Reasons of a recommendation: the movies of a history without which its score falls most."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from components.export.histories import History
from components.export.manifest import LOWEST_SCORE, MOST_EXPLAINED

# Reasons of a recommended movie.
REASONS = 3
# The most movies of a history that are left out in turn.
MOST_LEFT_OUT = 200
# The most ratings of all these histories together, of which a model takes about a kilobyte each. Of a history
# of more than 655 ratings, fewer than 200 movies are left out.
_MOST_READ = 1 << 17
# A score falls if it falls by more than the rounding of its sums, relative where it is greater than 1.
_LEAST_FALL = 1e-5


class Explanation(NamedTuple):
    """Reasons of m recommended movies, the greatest first."""

    row: tf.Tensor  # int32 [m, 3], rows of the movie table; M, no movie, where there are fewer reasons
    rating: tf.Tensor  # float32 [m, 3], given by the user; 0 where there is no reason
    fall: tf.Tensor  # float32 [m, 3], of the score without the movie; 0 where there is no reason
    score: tf.Tensor  # float32 [m]; the lowest one of an unknown movie
    rated: tf.Tensor  # int32 [m], ratings of the history
    considered: tf.Tensor  # int32 [m], how many of them were left out in turn


class LeaveOneOut:
    """Leaves the movies of a history out, one at a time, and compares the scores.

    The history is encoded whole and without each movie in one call of the encoder. Where it has more movies
    than may be left out, those are that point most in the direction of one of the recommended movies, or in
    the opposite one: a bad rating of a movie can be a reason for another one.
    """

    def __init__(
        self,
        query: Callable[[tf.Tensor, History], tf.Tensor],
        score: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        unit_vectors: tf.Variable,
    ) -> None:
        """Takes what to ask.

        Args:
          query: encodes the histories of n users by their ids, string [n]: queries float32 [n, d].
          score: scores n queries with m movies, float32 [n, m].
          unit_vectors: float32 [M, d], the movies'.
        """
        self._query, self._score, self._unit_vectors = query, score, unit_vectors
        self._nothing = int(unit_vectors.shape[0])

    def explain(self, user_id: tf.Tensor, history: History, movies: tf.Tensor) -> Explanation:
        """Explains why `movies`, rows int32 [m], are recommended to one user, string [].

        A movie is no reason for itself, and one without which the score does not fall is none.
        Raises InvalidArgumentError if there are more than `MOST_EXPLAINED` movies.
        """
        few = tf.size(movies) <= MOST_EXPLAINED
        complaint = f'the input "recommended" may have {MOST_EXPLAINED} movies at most, not'
        tf.debugging.Assert(few, [complaint, tf.size(movies)])
        # The assertion does not wait for this, nor this for the assertion.
        movies = movies[:MOST_EXPLAINED]
        history = history.distinct(self._nothing)
        known = movies < self._nothing
        movies = tf.minimum(movies, self._nothing - 1)
        left_out = self._choose(history, movies)
        histories = _without_each(history, left_out)
        scores = self._score(self._query(tf.fill([tf.size(left_out) + 1], user_id), histories), movies)
        falls = tf.transpose(scores[:1] - scores[1:])
        candidates = tf.gather(history.movies, left_out)
        own = candidates[tf.newaxis] == movies[:, tf.newaxis]
        least = _LEAST_FALL * tf.maximum(1.0, tf.maximum(scores[0], -scores[0]))
        counts = known[:, tf.newaxis] & ~own & (falls > least[:, tf.newaxis])
        # As many columns as reasons, even of a shorter history.
        falls = tf.pad(tf.where(counts, falls, 0.0), [[0, 0], [0, REASONS]])
        fall, place = tf.math.top_k(falls, REASONS)
        is_reason = fall > 0.0
        columns = [
            tf.pad(values, [[0, REASONS]]) for values in (candidates, tf.gather(history.ratings, left_out))
        ]
        row, rating = (tf.gather(values, place) for values in columns)
        return Explanation(
            row=tf.where(is_reason, row, self._nothing),
            rating=tf.where(is_reason, rating, 0.0),
            fall=fall,
            score=tf.where(known, scores[0], LOWEST_SCORE),
            rated=tf.fill(tf.shape(movies), tf.size(history.movies)),
            considered=tf.fill(tf.shape(movies), tf.size(left_out)),
        )

    def _choose(self, history: History, movies: tf.Tensor) -> tf.Tensor:
        """Returns the places in the history of the ratings to leave out in turn, int32 [l], ascending."""
        ratings = tf.size(history.movies)
        count = tf.minimum(tf.minimum(ratings, MOST_LEFT_OUT), _MOST_READ // tf.maximum(ratings, 1))
        of_history, recommended = (tf.gather(self._unit_vectors, rows) for rows in (history.movies, movies))
        cosines = tf.matmul(of_history, recommended, transpose_b=True)
        chosen = tf.math.top_k(tf.reduce_max(cosines * cosines, axis=1), count, sorted=False).indices
        return tf.sort(chosen)


def _without_each(history: History, left_out: tf.Tensor) -> History:
    """Returns the histories of l + 1 users: the whole one, and for each of the places [l] one without it."""
    ratings = tf.size(history.movies)
    others = tf.range(tf.maximum(ratings - 1, 0))[tf.newaxis]
    without = others + tf.cast(others >= left_out[:, tf.newaxis], tf.int32)
    places = tf.concat([tf.range(ratings), tf.reshape(without, [-1])], axis=0)
    ends = ratings + tf.range(tf.size(left_out) + 1) * (ratings - 1)
    return History(
        movies=tf.gather(history.movies, places),
        ratings=tf.gather(history.ratings, places),
        row_splits=tf.cast(tf.concat([[0], ends], axis=0), tf.int64),
        held_out=tf.zeros([0], tf.bool),
    )
