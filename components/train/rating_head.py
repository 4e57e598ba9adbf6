"""Rating head: each user is a small Bayesian regression on learned movie features."""

import math
from typing import Any, NamedTuple

import tensorflow as tf

from components.train.towers import ALL, History, Part, gather


class GaussianTable(tf.keras.layers.Layer):  # type: ignore[misc]
    """Rows of independent Gaussians, each with a learned mean and variance, under a prior of learned width.

    The loss takes the expected error under the Gaussians, and `divergence`: what little is known of a row
    stays close to 0, and how close is learned too (variational Bayes with an empirical prior, Bishop 2006,
    chapter 10).
    """

    def __init__(self, rows: int, columns: int, spread: float, **options: Any) -> None:
        """Args: `spread`: standard deviation of the means at the start, and first guess of the prior's."""
        super().__init__(**options)
        shape = [rows, columns]
        normal = tf.keras.initializers.RandomNormal(0, spread)
        narrow = tf.keras.initializers.Constant(math.log(spread / 2))
        width = tf.keras.initializers.Constant(math.log(spread))
        self.means = self.add_weight(name="means", shape=shape, initializer=normal)
        self.log_deviations = self.add_weight(name="log_deviations", shape=shape, initializer=narrow)
        self.log_widths = self.add_weight(name="log_widths", shape=[columns], initializer=width)

    def variances(self, part: Part = ALL) -> tf.Tensor:
        """float32 [u, columns], of the rows `part`."""
        return tf.exp(2.0 * part.of(self.log_deviations))

    def divergence(self, part: Part = ALL) -> tf.Tensor:
        """Kullback-Leibler divergence from the prior, summed over the table, float32 []."""
        squares = tf.square(part.of(self.means)) + self.variances(part)
        relative = squares * tf.exp(-2.0 * self.log_widths)
        return part.sum(0.5 * (relative - 1.0) + self.log_widths - part.of(self.log_deviations))


# What is learned starts here, in units of the ratings' standard deviation; only the magnitude matters.
_FEATURE_SPREAD = 0.07
_BIAS_SPREAD = 0.3
_USER_DEVIATION = 0.4
_NOISE = 0.75


class RatingQuery(NamedTuple):
    """What the visible ratings say about each user's taste: K weights a user, as a Gaussian.

    Attributes:
      covariance: float32 [n, K, K], of the weights.
      evidence: float32 [n, K], the sum of the visible movies' features times their ratings.
      prior: float32 [n, K], the sum of the visible movies' prior vectors.
      counts: float32 [n], how many ratings are visible.
    """

    covariance: tf.Tensor
    evidence: tf.Tensor
    prior: tf.Tensor
    counts: tf.Tensor

    def taste(self) -> tf.Tensor:
        """The mean of the weights given all visible ratings, float32 [n, K]."""
        evidence = self.evidence + self.prior * tf.math.rsqrt(self.counts + 1.0)[:, tf.newaxis]
        return tf.linalg.matvec(self.covariance, evidence)


class Movies(NamedTuple):
    """What the head knows of some movies, in units in which a rating's noise has variance 1.

    Attributes:
      features: float32 [c, L, K], means; the last one is the constant, whose weight is the user's bias.
      variances: float32 [c, L, K], how unsure the features are; 0 for the constant.
      prior: float32 [c, L, K], what having rated the movie, whatever the stars, says about a user's weights.
      biases: float32 [c, L], the movie's mean rating, centred and scaled.
      bias_variances: float32 [c, L], how unsure the biases are.
      noise: float32 [], the standard deviation of the noise, in units of `biases`.
    """

    features: tf.Tensor
    variances: tf.Tensor
    prior: tf.Tensor
    biases: tf.Tensor
    bias_variances: tf.Tensor
    noise: tf.Tensor

    def gather(self, rows: tf.Tensor) -> "Movies":
        """Of the whole table, [movies] instead of [c, L], the movies in `rows` [c, L]."""
        parts = {name: gather(part, rows) for name, part in self._asdict().items() if name != "noise"}
        return self._replace(**parts)

    def residuals(self, ratings: tf.Tensor) -> tf.Tensor:
        """What the biases leave of `ratings` [c, L]."""
        return (ratings - self.biases) / self.noise


class RatingHead(tf.keras.layers.Layer):  # type: ignore[misc]
    """Predicts the rating r of movie i by user u, leaving r itself out of what is read.

    r_ui = b_i + s (w_u . phi_i + noise of variance 1), with w_u ~ N(prior_u, I). The posterior of w_u given
    the user's visible ratings has a closed form, and so has the prediction for each visible rating from all
    the others: one matrix inverse A^-1 a user, then a division by 1 - phi_i' A^-1 phi_i (Allen 1974, PRESS).
    So phi, s and b are trained by gradient descent on the error of predicting what was not read, as
    Bertinetto et al. (2019) do with ridge regression for few-shot learning. A user has no parameters: who was
    not in training is served alike.

    prior_u = sum of W e_j / sqrt(n + 1) over the user's other movies, e_j being the candidate tower's vector:
    which movies someone rated says something about the taste, whatever the stars (Koren 2008, SVD++).

    Features and biases are Gaussians (`GaussianTable`): movies are regularised by how much is known about
    them (Lim & Teh 2007, variational matrix factorisation).
    """

    def __init__(self, movies: int, dimension: int, weights: int, **options: Any) -> None:
        """Args: `dimension`: of the candidate tower's vectors; `weights`: K, at least 2."""
        super().__init__(**options)
        self.features = GaussianTable(movies, weights - 1, _FEATURE_SPREAD, name="features")
        self.biases = GaussianTable(movies, 1, _BIAS_SPREAD, name="biases")
        self.user_deviation = self._constant("user_deviation", [], _USER_DEVIATION)
        self.log_noise = self._constant("log_noise", [], math.log(_NOISE))
        self.implicit = self._constant("implicit", [dimension, weights], 0.0)

    def _constant(self, name: str, shape: list[int], value: float) -> tf.Variable:
        return self.add_weight(name=name, shape=shape, initializer=tf.keras.initializers.Constant(value))

    def table(self, vectors: tf.Tensor, part: Part = ALL) -> Movies:
        """What is known of the movies `part`: `Movies` of the shapes [u, K] and [u].

        Args:
          vectors: the candidate tower's, float32 [u, dimension]. The rating loss does not move them.
        """
        precision = tf.exp(-self.log_noise)
        means = part.of(self.features.means)
        constant = tf.fill([tf.shape(means)[0], 1], 1.0) * self.user_deviation
        return Movies(
            features=tf.concat([means, constant], axis=1) * precision,
            variances=tf.pad(self.features.variances(part) * tf.square(precision), [[0, 0], [0, 1]]),
            prior=tf.matmul(tf.stop_gradient(vectors), self.implicit),
            biases=part.of(self.biases.means)[:, 0],
            bias_variances=self.biases.variances(part)[:, 0],
            noise=tf.exp(self.log_noise),
        )

    def read(self, history: History, movies: Movies) -> RatingQuery:
        """What the visible ratings say about each user; `movies` are those of `history`."""
        features = movies.features * history.visible[..., tf.newaxis]
        uncertainty = history.sum_visible(movies.variances)
        information = history.sum_by_user(tf.matmul(features, features, transpose_a=True))
        residuals = movies.residuals(history.ratings)[:, tf.newaxis]
        return RatingQuery(
            covariance=tf.linalg.inv(tf.linalg.diag(1.0 + uncertainty) + information),
            evidence=history.sum_by_user(tf.squeeze(tf.matmul(residuals, features), axis=1)),
            prior=history.sum_visible(movies.prior),
            counts=history.counts,
        )

    def predict(self, query: RatingQuery, asked: History, movies: Movies) -> tf.Tensor:
        """Ratings of the movies `asked`, float32 [c, L], centred and scaled.

        Args:
          query: what `read` returned for the same users.
          asked: pairs by user. `visible` says whether the pair's rating is part of what `query` read; then it
            is taken out again, and `ratings` must hold it.
          movies: those of `asked`.
        """
        row = asked.chunks.row
        gain = tf.matmul(movies.features, tf.gather(query.covariance, row))
        leverage = asked.visible * _dots(gain, movies.features)
        known = tf.stack([query.evidence, query.prior], axis=-1)
        from_evidence, from_prior = tf.unstack(tf.matmul(gain, tf.gather(known, row)), axis=-1)
        from_evidence -= leverage * movies.residuals(asked.ratings)
        from_prior -= asked.visible * _dots(gain, movies.prior)
        left = tf.gather(query.counts, row)[:, tf.newaxis] - asked.visible
        explained = (from_evidence + from_prior * tf.math.rsqrt(left + 1.0)) / (1.0 - leverage)
        return movies.biases + movies.noise * explained

    def unsure(self, query: RatingQuery, asked: History, movies: Movies) -> tf.Tensor:
        """The variance that each prediction owes to unsure biases and features, float32 [c, L]."""
        squares = tf.gather(tf.square(query.taste()), asked.chunks.row)
        variances = tf.squeeze(tf.matmul(movies.variances, squares[..., tf.newaxis]), axis=-1)
        return movies.bias_variances + tf.square(movies.noise) * variances

    def predict_unknown(self, query: RatingQuery) -> tf.Tensor:
        """Each user's rating of a movie nothing is known of, float32 [n], centred and scaled."""
        return tf.reduce_mean(self.biases.means) + self.user_deviation * query.taste()[:, -1]

    def divergence(self, part: Part = ALL) -> tf.Tensor:
        """Divergence of features and biases from their priors, summed over movies, float32 []."""
        return self.features.divergence(part) + self.biases.divergence(part)


def _dots(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(one * other, axis=-1)
