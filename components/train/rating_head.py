"""Ratings: each user is a small Bayesian regression on movie features that are learned."""

from typing import Any, NamedTuple

import tensorflow as tf

from components.train.history import History


class RatingQuery(NamedTuple):
    """What is known of each user's taste, K numbers a user.

    Attributes:
      covariance: float32 [n, K, K], of the user's weights after the visible ratings.
      evidence: float32 [n, K], the weighted sum of the visible movies' features times their ratings.
      prior: float32 [n, K], the sum of the visible movies' prior vectors.
      counts: float32 [n], how many ratings are visible.
    """

    covariance: tf.Tensor
    evidence: tf.Tensor
    prior: tf.Tensor
    counts: tf.Tensor


class RatingHead(tf.keras.layers.Layer):  # type: ignore[misc]
    """Predicts the rating r of movie i by user u, leaving r itself out of what is read.

    r_ui = c_i + w_u . phi_i + noise of precision p_i, with w_u ~ N(prior_u, I). The posterior of w_u
    given the user's visible ratings has a closed form, and so has the prediction for each visible rating from
    all the others: one matrix inverse a user, then a division by 1 - p_i h_i, where h_i = phi_i' A^-1 phi_i
    (Allen 1974, the PRESS statistic). So the features phi, the precisions p and the biases c are trained by
    gradient descent on the error of predicting what was not read, as Bertinetto et al. (2019) do with ridge
    regression for few-shot learning. A user has no parameters: who was not in training is served alike.

    phi_i holds K - 1 learned features and a constant one, whose weight is the user's bias.
    prior_u = sum of y_j / sqrt(n + 1) over the user's other movies: which movies someone rated says something
    about the taste, whatever the stars (Koren 2008, SVD++).
    """

    def __init__(self, embeddings: tf.Variable, features: int, **options: Any) -> None:
        super().__init__(**options)
        movies = embeddings.shape[0]
        self._embeddings = embeddings
        normal = tf.keras.initializers.RandomNormal
        self.features = self.add_weight(name="features", shape=[movies, features], initializer=normal(0, 0.1))
        self.implicit = self.add_weight(name="implicit", shape=[movies, features + 1], initializer="zeros")
        self.biases = self.add_weight(name="biases", shape=[movies], initializer="zeros")
        self.log_precision = self.add_weight(name="log_precision", shape=[movies], initializer="zeros")
        self.constant = self.add_weight(
            name="constant", shape=[], initializer=tf.keras.initializers.Constant(0.4)
        )

    def read(self, history: History) -> RatingQuery:
        """What the visible ratings say about each user."""
        features, biases, precision = self._movie(history.movies)
        weights = (precision * history.visible)[..., tf.newaxis] * features
        information = history.sum_by_user(tf.matmul(weights, features, transpose_a=True))
        evidence = tf.reduce_sum(weights * (history.ratings - biases)[..., tf.newaxis], axis=1)
        prior = tf.reduce_sum(history.visible[..., tf.newaxis] * self._prior(history.movies), axis=1)
        return RatingQuery(
            covariance=tf.linalg.inv(tf.eye(features.shape[-1]) + information),
            evidence=history.sum_by_user(evidence),
            prior=history.sum_by_user(prior),
            counts=history.counts,
        )

    def predict(self, query: RatingQuery, asked: History) -> tf.Tensor:
        """Ratings of the movies in `asked`, float32 [c, L], centred and scaled.

        Args:
          asked: movies by user. `visible` says whether the movie's rating is part of what `query` read;
            then it is taken out again, and `ratings` must hold it.
        """
        row = asked.chunks.row
        features, biases, precision = self._movie(asked.movies)
        gain = tf.matmul(features, tf.gather(query.covariance, row))  # A^-1 phi_i, [c, L, K]
        leverage = tf.reduce_sum(gain * features, axis=-1) * precision * asked.visible
        left = tf.gather(query.counts, row)[:, tf.newaxis] - asked.visible
        prior_sum = _dots(gain, tf.gather(query.prior, row))
        prior_sum -= asked.visible * tf.reduce_sum(gain * self._prior(asked.movies), axis=-1)
        from_ratings = _dots(gain, tf.gather(query.evidence, row)) - leverage * (asked.ratings - biases)
        return biases + (from_ratings + prior_sum * tf.math.rsqrt(left + 1.0)) / (1.0 - leverage)

    def predict_unknown(self, query: RatingQuery) -> tf.Tensor:
        """Each user's rating of a movie nothing is known of, float32 [n], centred and scaled."""
        evidence = query.evidence + query.prior * tf.math.rsqrt(query.counts + 1.0)[:, tf.newaxis]
        user_bias = self.constant * tf.reduce_sum(query.covariance[:, -1] * evidence, axis=1)
        return tf.reduce_mean(self.biases) + user_bias

    def _movie(self, movies: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        learned = tf.gather(self.features, movies)
        constant = tf.fill(tf.concat([tf.shape(movies), [1]], axis=0), 1.0) * self.constant
        features = tf.concat([learned, constant], axis=-1)
        return features, tf.gather(self.biases, movies), tf.exp(tf.gather(self.log_precision, movies))

    def _prior(self, movies: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.implicit, movies)


def _dots(vectors: tf.Tensor, one: tf.Tensor) -> tf.Tensor:
    """[c, L, K] times [c, K] -> [c, L]."""
    return tf.squeeze(tf.matmul(vectors, one[..., tf.newaxis]), axis=-1)
