"""Rating head: each user is a small Bayesian regression on learned movie features."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.train.chunks import ChunkedRatings
from components.train.tables import ALL_ROWS, RowSubset, gather


class GaussianTable(tf.keras.layers.Layer):  # type: ignore[misc]
    """Rows of independent Gaussians, each with a learned mean and variance, under a prior of learned width.

    The loss is the expected error under the Gaussians plus `kl_divergence`: a row with few ratings stays
    close to 0, and how close is learned too (variational Bayes with an empirical prior, Bishop 2006, chapter
    10).
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

    def variances(self, subset: RowSubset = ALL_ROWS) -> tf.Tensor:
        """Returns the variances of the rows `subset`, float32 [u, columns]."""
        return tf.exp(2.0 * subset.of(self.log_deviations))

    def kl_divergence(self, subset: RowSubset = ALL_ROWS) -> tf.Tensor:
        """Returns the Kullback-Leibler divergence from the prior, summed over the table, float32 []."""
        squares = tf.square(subset.of(self.means)) + self.variances(subset)
        relative = squares * tf.exp(-2.0 * self.log_widths)
        return subset.sum(0.5 * (relative - 1.0) + self.log_widths - subset.of(self.log_deviations))


# Initial values, in units of the ratings' standard deviation; only the magnitude matters.
_FEATURE_SPREAD = 0.07
_BIAS_SPREAD = 0.3
_USER_DEVIATION = 0.4
_NOISE = 0.75


class UserPosterior(NamedTuple):
    """Posterior of each user's K factors given the visible ratings, a Gaussian."""

    covariance: tf.Tensor  # float32 [n, K, K]
    evidence: tf.Tensor  # float32 [n, K], the sum of the visible movies' features times their ratings
    prior: tf.Tensor  # float32 [n, K], the sum of the visible movies' prior vectors
    counts: tf.Tensor  # float32 [n], the number of visible ratings

    def user_factors(self) -> tf.Tensor:
        """Returns the mean of the factors given all visible ratings, float32 [n, K]."""
        evidence = self.evidence + self.prior * tf.math.rsqrt(self.counts + 1.0)[:, tf.newaxis]
        return tf.linalg.matvec(self.covariance, evidence)


class ItemFactors(NamedTuple):
    """Parameters of the rating head for some movies, in units in which a rating's noise has variance 1."""

    features: tf.Tensor  # float32 [c, L, K], means; the last is the constant, whose factor is the user's bias
    variances: tf.Tensor  # float32 [c, L, K], of the features; 0 for the constant
    prior: tf.Tensor  # float32 [c, L, K], what having rated the movie, whatever the stars, adds to the prior
    biases: tf.Tensor  # float32 [c, L], the movie's mean rating, centred and scaled
    bias_variances: tf.Tensor  # float32 [c, L], of the biases
    noise: tf.Tensor  # float32 [], the standard deviation of the noise, in units of `biases`

    def gather(self, rows: tf.Tensor) -> "ItemFactors":
        """Returns the movies `rows` [c, L] of a whole table, whose shapes have [movies] for [c, L]."""
        tables = {name: gather(table, rows) for name, table in self._asdict().items() if name != "noise"}
        return self._replace(**tables)

    def residuals(self, ratings: tf.Tensor) -> tf.Tensor:
        """Returns `ratings` [c, L] without the movies' biases, in units of the noise."""
        return (ratings - self.biases) / self.noise


class RatingHead(tf.keras.layers.Layer):  # type: ignore[misc]
    """Predicts each rating of a user from the user's other visible ratings.

    r_ui = b_i + s (w_u . phi_i + noise of variance 1), with w_u ~ N(prior_u, I). The posterior of w_u given
    the user's visible ratings has a closed form, and so has the prediction for each visible rating from all
    the others: one matrix inverse A^-1 a user, then a division by 1 - phi_i' A^-1 phi_i (Allen 1974, PRESS).
    So phi, s and b are trained by gradient descent on the error of these predictions, as Bertinetto et al.
    (2019) do with ridge regression for few-shot learning. A user has no parameters: users who were not in
    training are served alike.

    prior_u = sum of W e_j / sqrt(n + 1) over the user's other movies, e_j being the candidate tower's vector:
    which movies a user rated says something about the factors, whatever the stars (Koren 2008, SVD++).

    Features and biases are Gaussians (`GaussianTable`): movies are regularised by how much is known about
    them (Lim & Teh 2007, variational matrix factorisation).
    """

    def __init__(self, movies: int, dimension: int, weights: int) -> None:
        """Args: `dimension`: of the candidate tower's vectors; `weights`: K, at least 2."""
        super().__init__()
        self.features = GaussianTable(movies, weights - 1, _FEATURE_SPREAD, name="features")
        self.biases = GaussianTable(movies, 1, _BIAS_SPREAD, name="biases")
        self.user_deviation = self._constant("user_deviation", [], _USER_DEVIATION)
        self.log_noise = self._constant("log_noise", [], math.log(_NOISE))
        self.implicit = self._constant("implicit", [dimension, weights], 0.0)

    def _constant(self, name: str, shape: list[int], value: float) -> tf.Variable:
        return self.add_weight(name=name, shape=shape, initializer=tf.keras.initializers.Constant(value))

    def table(self, vectors: tf.Tensor, subset: RowSubset = ALL_ROWS) -> ItemFactors:
        """Returns the factors of the movies `subset`, of the shapes [u, K] and [u].

        The candidate tower's `vectors` are float32 [u, dimension]; the rating loss does not move them.
        """
        precision = tf.exp(-self.log_noise)
        means = subset.of(self.features.means)
        constant = tf.fill([tf.shape(means)[0], 1], 1.0) * self.user_deviation
        return ItemFactors(
            features=tf.concat([means, constant], axis=1) * precision,
            variances=tf.pad(self.features.variances(subset) * tf.square(precision), [[0, 0], [0, 1]]),
            prior=tf.matmul(tf.stop_gradient(vectors), self.implicit),
            biases=subset.of(self.biases.means)[:, 0],
            bias_variances=self.biases.variances(subset)[:, 0],
            noise=tf.exp(self.log_noise),
        )

    def posterior(self, history: ChunkedRatings, movies: ItemFactors) -> UserPosterior:
        """Returns each user's posterior given the visible ratings of `history`, whose movies are `movies`."""
        features = movies.features * history.visible[..., tf.newaxis]
        uncertainty = history.sum_weighted(movies.variances, history.visible)
        information = history.sum_by_user(tf.matmul(features, features, transpose_a=True))
        residuals = movies.residuals(history.ratings)[:, tf.newaxis]
        return UserPosterior(
            covariance=tf.linalg.inv(tf.linalg.diag(1.0 + uncertainty) + information),
            evidence=history.sum_by_user(tf.squeeze(tf.matmul(residuals, features), axis=1)),
            prior=history.sum_weighted(movies.prior, history.visible),
            counts=history.counts,
        )

    def predict(self, posterior: UserPosterior, asked: ChunkedRatings, movies: ItemFactors) -> tf.Tensor:
        """Returns predicted ratings of the pairs `asked`, float32 [c, L], centred and scaled.

        Args:
          posterior: of the same users.
          asked: pairs by user. `visible` is 1 where `posterior` is given the pair's rating; then it is taken
            out again, and `ratings` must hold it.
          movies: those of `asked`.
        """
        row = asked.chunks.row
        gain = tf.matmul(movies.features, tf.gather(posterior.covariance, row))
        leverage = asked.visible * _dots(gain, movies.features)
        known = tf.stack([posterior.evidence, posterior.prior], axis=-1)
        from_evidence, from_prior = tf.unstack(tf.matmul(gain, tf.gather(known, row)), axis=-1)
        from_evidence -= leverage * movies.residuals(asked.ratings)
        from_prior -= asked.visible * _dots(gain, movies.prior)
        left = tf.gather(posterior.counts, row)[:, tf.newaxis] - asked.visible
        explained = (from_evidence + from_prior * tf.math.rsqrt(left + 1.0)) / (1.0 - leverage)
        return movies.biases + movies.noise * explained

    def predictive_variance(
        self, posterior: UserPosterior, asked: ChunkedRatings, movies: ItemFactors
    ) -> tf.Tensor:
        """Returns the part of each prediction's variance that biases and features bring, float32 [c, L]."""
        squares = tf.gather(tf.square(posterior.user_factors()), asked.chunks.row)
        variances = tf.squeeze(tf.matmul(movies.variances, squares[..., tf.newaxis]), axis=-1)
        return movies.bias_variances + tf.square(movies.noise) * variances

    def predict_unknown(self, posterior: UserPosterior) -> tf.Tensor:
        """Returns each user's rating of a movie without ratings, float32 [n], centred and scaled."""
        return tf.reduce_mean(self.biases.means) + self.user_deviation * posterior.user_factors()[:, -1]

    def kl_divergence(self, subset: RowSubset = ALL_ROWS) -> tf.Tensor:
        """Returns the KL divergence of features and biases, summed over movies, float32 []."""
        return self.features.kl_divergence(subset) + self.biases.kl_divergence(subset)


class NoRatings:
    """In the place of a rating head, of feedback without stars: users have one factor, and all is 0."""

    def __init__(self, movies: int) -> None:
        self._movies = movies

    def predict(self, history: ChunkedRatings, asked: ChunkedRatings) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns zeros in the place of what a rating head predicts."""
        return tf.zeros_like(asked.ratings), tf.zeros_like(history.counts)

    def taste(self, read: ChunkedRatings, total: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Returns zeros, float32 [n, 1]."""
        return tf.zeros_like(read.counts)[:, tf.newaxis]

    def table(self) -> tuple[Any, Any]:
        """Returns zeros: vectors [movies + 1, 1] and biases [movies + 1]."""
        return np.zeros((self._movies + 1, 1), np.float32), np.zeros(self._movies + 1, np.float32)


def _dots(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(one * other, axis=-1)
