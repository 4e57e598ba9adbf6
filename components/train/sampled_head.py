"""Rating head made of draws from the posterior of the movies' parameters."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.towers import ChunkedRatings, chunk_ratings, gather

Array = npt.NDArray[Any]


class Draw(NamedTuple):
    """One draw of the movies' parameters, in units in which a user's K factors have the prior N(prior, I).

    The last of K factors is the user's bias in the sampler's own coordinates; here they are turned, and all
    are alike. A user is read by `keys`, the draw itself. Ratings are predicted by `values`, the mean of the
    movies' parameters given the users drawn from `keys`: so the noise of the draw is averaged out of half of
    each product (Gelfand & Smith 1990, Rao-Blackwellisation).
    """

    keys: Array  # float32 [movies, K], over the standard deviation of the noise
    key_biases: Array  # float32 [movies], centred and scaled as the ratings are
    values: Array  # float32 [movies + 1, K]; the last is of a movie without ratings
    value_biases: Array  # float32 [movies + 1]
    prior: Array  # float32 [movies, K], what having rated the movie, whatever the stars, adds to the prior
    start: Array  # float32 [K], prior of a user without ratings
    precision: Array  # float32 [], one over the variance of a usual user's noise


class SampledPosterior(NamedTuple):
    """Posterior of each user's factors given the visible ratings, one Gaussian for each of S draws."""

    covariance: tf.Tensor  # float32 [n, S, K, K]
    evidence: tf.Tensor  # float32 [n, S, K], the sum of the visible movies' keys times their ratings
    prior: tf.Tensor  # float32 [n, S, K], the sum of the visible movies' prior vectors
    start: tf.Tensor  # float32 [S, K], prior without ratings
    counts: tf.Tensor  # float32 [n], the number of visible ratings

    def user_factors(self) -> tf.Tensor:
        """Returns the mean of the factors given all visible ratings, float32 [n, S, K]."""
        prior = self.start + self.prior * tf.math.rsqrt(self.counts + 1.0)[:, tf.newaxis, tf.newaxis]
        return tf.linalg.matvec(self.covariance, self.evidence + prior)


class SampledHead(tf.Module):  # type: ignore[misc]
    """Predicts ratings as the mean over S draws of the movies' parameters (see `gibbs.Draw`).

    Given a draw, a user is a linear regression on the movies' keys, with the closed form of `RatingHead`; the
    rating is predicted by the movie's value. A user has no parameters, and the mean of S dot products is one
    dot product. (To read from the history how noisy the user's ratings are changes no error by .0005.)
    """

    def __init__(self, draws: Sequence[Draw], saved: bool = False) -> None:
        """Args: `saved`: whether a SavedModel is to hold the tables, as variables."""
        super().__init__(name="sampled_head")
        self._draws, self._factors = len(draws), len(draws[0].start)

        def kept(name: str, table: Array) -> tf.Tensor | tf.Variable:
            return tf.Variable(table, trainable=False, name=name) if saved else tf.constant(table)

        def side_by_side(name: str, tables: Sequence[Array]) -> tf.Tensor | tf.Variable:
            """Joins the draws' tables, with one row more, of zeros, which stands for no movie."""
            joined = np.stack(tables, axis=1).reshape(len(tables[0]), -1)
            return kept(name, np.pad(joined, [(0, 1), (0, 0)]))

        self._keys = side_by_side("keys", [draw.keys for draw in draws])
        self._key_biases = side_by_side("key_biases", [draw.key_biases for draw in draws])
        self._prior = side_by_side("rating_prior", [draw.prior for draw in draws])
        # Predictions of one draw are added up over the draws: so their mean is a sum. The last row is that of
        # an unrated movie.
        share = np.float32(1 / len(draws))
        values = np.concatenate([share * draw.values for draw in draws], axis=1)
        biases = np.mean([draw.value_biases for draw in draws], axis=0)
        self._values = kept("values", values)
        self._value_biases = kept("value_biases", biases)
        self._start = tf.constant(np.stack([draw.start for draw in draws]))
        self._roots = tf.constant(np.sqrt([draw.precision for draw in draws]), tf.float32)

    def posterior(self, history: ChunkedRatings) -> SampledPosterior:
        """Returns each user's posterior given the visible ratings of `history`."""
        keys, residuals = self._visible(history)
        information = history.sum_by_user(tf.matmul(keys, keys, transpose_a=True))
        evidence = history.sum_by_user(tf.squeeze(tf.matmul(residuals[:, :, tf.newaxis], keys), axis=2))
        prior = history.sum_by_user(
            tf.matmul(history.visible[:, tf.newaxis], gather(self._prior, history.movies))
        )
        return SampledPosterior(
            covariance=tf.linalg.inv(information + tf.eye(self._factors)),
            evidence=evidence,
            prior=tf.reshape(prior, tf.shape(evidence)),
            start=self._start,
            counts=history.counts,
        )

    def predict(self, history: ChunkedRatings, asked: ChunkedRatings) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts ratings, centred and scaled, from the visible ratings of `history`.

        Args:
          history: ratings by user.
          asked: pairs of the same users. `visible` is 1 where `history` has the pair's rating; then it is
            left out for the pair, and `ratings` must hold it.

        Returns:
          The ratings of the pairs, float32 [c, L], and each user's of a movie without ratings, float32 [n].
        """
        posterior = self.posterior(history)
        row, own = asked.chunks.row, asked.visible
        keys, residuals = self._visible(asked)  # zeros for pairs that the posterior does not know
        values = self._by_draw(gather(self._values, asked.movies))
        prior = self._by_draw(gather(self._prior, asked.movies)) * own[:, tf.newaxis, :, tf.newaxis]
        left = (tf.gather(posterior.counts, row)[:, tf.newaxis] - own)[:, tf.newaxis, :, tf.newaxis]
        evidence = tf.gather(posterior.evidence, row)[:, :, tf.newaxis] - residuals[..., tf.newaxis] * keys
        others = tf.gather(posterior.prior, row)[:, :, tf.newaxis] - prior
        evidence += self._start[:, tf.newaxis] + others * tf.math.rsqrt(left + 1.0)
        covariance = tf.gather(posterior.covariance, row)
        of_values, of_keys = tf.matmul(values, covariance), tf.matmul(keys, covariance)
        # The rank-one correction of the inverse, for one rating less.
        removed = _dots(of_values, keys) * _dots(of_keys, evidence) / (1.0 - _dots(of_keys, keys))
        explained = tf.reduce_sum(_dots(of_values, evidence) + removed, axis=1)
        return tf.gather(self._value_biases, asked.movies) + explained, self._unrated(posterior)

    def ratings(self, history: tuple[tf.Tensor, ...], asked: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """Returns predictions for the pairs `asked`, none of which is in `history`: float32 [t], scaled.

        Both are movies int32 [t], ratings float32 [t], centred and scaled, and row splits int64 [n + 1].
        """
        pairs = chunk_ratings(*asked)
        pairs = pairs.with_visible(tf.zeros_like(pairs.visible))
        return pairs.chunks.collect(self.predict(chunk_ratings(*history), pairs)[0])

    def taste(self, read: ChunkedRatings, total: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Returns the users' factors given all ratings, float32 [n, S K]."""
        return tf.reshape(self.posterior(read).user_factors(), [-1, self._draws * self._factors])

    def table(self) -> tuple[Array, Array]:
        """Returns vectors [movies + 1, S K] and biases [movies + 1]; the last are of an unrated movie."""
        return self._values.numpy(), self._value_biases.numpy()

    def _unrated(self, posterior: SampledPosterior) -> tf.Tensor:
        factors = tf.reshape(posterior.user_factors(), [-1, self._draws * self._factors])
        return tf.linalg.matvec(factors, self._values[-1]) + self._value_biases[-1]

    def _visible(self, history: ChunkedRatings) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns keys [c, S, L, K] and residuals [c, S, L] of the visible ratings; zeros for all others."""
        keys = self._by_draw(gather(self._keys, history.movies))
        biases = gather(self._key_biases, history.movies)
        residuals = tf.transpose((history.ratings[..., tf.newaxis] - biases) * self._roots, [0, 2, 1])
        visible = history.visible[:, tf.newaxis]
        return keys * visible[..., tf.newaxis], residuals * visible

    def _by_draw(self, side_by_side: tf.Tensor) -> tf.Tensor:
        """Turns [c, L, S K] into [c, S, L, K]."""
        shape = tf.shape(side_by_side)
        apart = tf.reshape(side_by_side, [shape[0], shape[1], self._draws, self._factors])
        return tf.transpose(apart, [0, 2, 1, 3])


def _dots(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(one * other, axis=-1)
