"""Rating head made of draws from the posterior of the movies' parameters."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.biases import fit_biases
from components.train.chunks import RAGGED, ChunkedRatings, chunk_ratings
from components.vocabulary.interactions import UserRatings

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

    @classmethod
    def of_biases(cls, ratings: UserRatings, like: "Draw") -> Self:
        """Fits biases of users and movies, and nothing else, to `ratings`; has the shapes of `like`.

        A user's bias is then the first factor.
        """
        movies, factors = like.keys.shape
        fitted = fit_biases(ratings, movies)
        biases = np.float32(fitted.mean) + fitted.movies
        values = np.zeros_like(like.values)
        values[:, 0] = fitted.user_variance**0.5
        return cls(
            keys=values[:-1] / np.float32(fitted.noise**0.5),
            key_biases=biases,
            values=values,
            value_biases=np.append(biases, np.float32(fitted.mean)),
            prior=np.zeros((movies, factors), np.float32),
            start=np.zeros(factors, np.float32),
            precision=np.asarray(1.0 / fitted.noise, np.float32),
        )


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
    dot product. One of the draws may be of biases alone, with a share of its own. (To read from the history
    how noisy the user's ratings are changes no error by .0005.)
    """

    def __init__(
        self, draws: Sequence[Draw], saved: bool = False, biases: tuple[float, Draw] | None = None
    ) -> None:
        """Combines `draws`.

        Args:
          draws: with equal shares.
          saved: whether a SavedModel is to hold the tables, as variables.
          biases: the share of one draw more in the prediction, from 0 to 1, and this draw.
        """
        super().__init__(name="sampled_head")
        shares = [np.float32(1 / len(draws))] * len(draws)
        if biases:
            shares = [np.float32((1 - biases[0]) / len(draws))] * len(draws) + [np.float32(biases[0])]
            draws = [*draws, biases[1]]
        self._draws, self._factors = len(draws), tf.shape(draws[0].start)[0]
        if tf.executing_eagerly():
            self._factors = int(self._factors)

        def kept(name: str, table: tf.Tensor) -> tf.Tensor | tf.Variable:
            return tf.Variable(table, trainable=False, name=name) if saved else table

        def side_by_side(name: str, tables: Sequence[Array]) -> tf.Tensor | tf.Variable:
            """Joins the draws' tables, with one row more, of zeros, which stands for no movie."""
            return kept(name, tf.pad(tf.concat(tables, axis=1), [[0, 1], [0, 0]]))

        self._keys = side_by_side("keys", [draw.keys for draw in draws])
        self._key_biases = side_by_side("key_biases", [draw.key_biases[:, tf.newaxis] for draw in draws])
        self._prior = side_by_side("rating_prior", [draw.prior for draw in draws])
        # Predictions of one draw are added up over the draws: so their mean is a sum. The last row is that of
        # an unrated movie.
        weighted = list(zip(shares, draws, strict=True))
        self._values = kept("values", tf.concat([share * draw.values for share, draw in weighted], axis=1))
        self._value_biases = kept(
            "value_biases", tf.add_n([share * draw.value_biases for share, draw in weighted])
        )
        self._start = tf.stack([draw.start for draw in draws])
        self._roots = tf.sqrt(tf.stack([draw.precision for draw in draws]))

    def posterior(self, history: ChunkedRatings) -> SampledPosterior:
        """Returns each user's posterior given the visible ratings of `history`."""
        keys, residuals = self._visible(history)
        information = history.sum_by_user(tf.matmul(keys, keys, transpose_a=True))
        evidence = history.sum_by_user(tf.squeeze(tf.matmul(residuals[:, :, tf.newaxis], keys), axis=2))
        prior = history.sum_by_user(
            tf.matmul(history.visible[:, tf.newaxis], tf.gather(self._prior, history.movies))
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
        values = self._by_draw(tf.gather(self._values, asked.movies))
        prior = self._by_draw(tf.gather(self._prior, asked.movies)) * own[:, tf.newaxis, :, tf.newaxis]
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
        keys = self._by_draw(tf.gather(self._keys, history.movies))
        biases = tf.gather(self._key_biases, history.movies)
        residuals = tf.transpose((history.ratings[..., tf.newaxis] - biases) * self._roots, [0, 2, 1])
        visible = history.visible[:, tf.newaxis]
        return keys * visible[..., tf.newaxis], residuals * visible

    def _by_draw(self, side_by_side: tf.Tensor) -> tf.Tensor:
        """Turns [c, L, S K] into [c, S, L, K]."""
        shape = tf.shape(side_by_side)
        apart = tf.reshape(side_by_side, [shape[0], shape[1], self._draws, self._factors])
        return tf.transpose(apart, [0, 2, 1, 3])


_VECTOR, _MATRIX = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, None], tf.float32)
_DRAW = Draw(_MATRIX, _VECTOR, _MATRIX, _VECTOR, _MATRIX, _VECTOR, tf.TensorSpec([], tf.float32))


@tf.function(input_signature=[_DRAW, RAGGED, RAGGED], autograph=False)  # type: ignore[untyped-decorator]
def predict_by_draw(draw: Draw, history: tuple[tf.Tensor, ...], asked: tuple[tf.Tensor, ...]) -> tf.Tensor:
    """Returns what `SampledHead.ratings` of one draw gives; compiled once for all draws."""
    return SampledHead([draw]).ratings(history, asked)


class Chain(Protocol):
    """A Markov chain over the movies' parameters, as `gibbs.Sampler` is."""

    sweeps: int  # that were made

    def sweep(self) -> None: ...
    def draw(self) -> Draw: ...
    def squared_error(self) -> float: ...
    def go_on_with(self, ratings: UserRatings) -> None: ...
    def state(self) -> dict[str, Array]: ...
    def restore(self, state: dict[str, Array]) -> None: ...


class SampledRatings:
    """A chain that is moved on a part at a time, and the draws of it that are kept.

    The first sixth of its sweeps finds the posterior; the draws are spread evenly over the others.
    """

    def __init__(self, sampler: Chain, sweeps: int, draws: int) -> None:
        """Args: `sweeps`: from where `sampler` is; `draws`: at most so many are kept."""
        self._sampler, self._first, self._planned = sampler, sampler.sweeps, sweeps
        self._most_draws, self._draws = draws, list[Draw]()
        self.shorten(1.0)
        self._present = -1, list[Draw]()  # number of sweeps, and what `draw` gives after them
        self._predicted: dict[int, list[Array]] = {}  # by each draw, for each group of users
        self.biases: tuple[float, Draw] | None = None  # the share of biases alone, and their draw

    def shorten(self, share: float) -> None:
        """Ends after `share` of the sweeps, or those that are made; spreads further draws over the rest."""
        done = self._sampler.sweeps - self._first
        self._sweeps = max(round(share * self._planned), done, 1)
        number = self._most_draws - len(self._draws)
        places = np.linspace(max(self._sweeps / 6, done), self._sweeps, number + 1)[1:]
        self._kept_after = set(map(round, places))

    def go_on_with(self, ratings: UserRatings, sweeps: int, draws: int) -> "SampledRatings":
        """Returns the same chain with other ratings of the same users and movies, for more sweeps."""
        self._sampler.go_on_with(ratings)
        other = SampledRatings(self._sampler, sweeps, draws)
        if self.biases:
            other.biases = self.biases[0], Draw.of_biases(ratings, self.biases[1])
        return other

    def advance(self, share: float) -> None:
        """Sweeps until `share` of the sweeps, from 0 to 1, are done."""
        done = self._sampler.sweeps - self._first
        for number in range(done + 1, round(share * self._sweeps) + 1):
            self._sampler.sweep()
            if number in self._kept_after:
                self._draws.append(self._sampler.draw())

    @property
    def draws(self) -> list[Draw]:
        """The draws so far; the present state where none has been kept."""
        if not self._draws and self._present[0] != self._sampler.sweeps:
            self._present = self._sampler.sweeps, [self._sampler.draw()]
        return self._draws or self._present[1]

    def ratings(self, users: Array, history: UserRatings, asked: UserRatings) -> Array:
        """Returns the mean of `predict_by_draw`, for pairs that are always the same for the same users.

        Each draw is asked for them once.
        """
        known = self._predicted.setdefault(int(users[0]), []) if self._draws else []
        new = self.draws[len(known) :]
        known += [predict_by_draw(draw, history.arrays, asked.arrays).numpy() for draw in new]
        mean = np.asarray(np.mean(known, axis=0))
        if not self.biases:
            return mean
        share, biases = self.biases
        other = predict_by_draw(biases, history.arrays, asked.arrays).numpy()
        return np.asarray(mean + share * (other - mean))

    def head(self) -> SampledHead:
        """Returns the rating head to be saved."""
        return SampledHead(self.draws, saved=True, biases=self.biases)

    def error(self) -> float:
        """Returns the mean squared error of the present state on the ratings it is of, in their units."""
        return self._sampler.squared_error()

    def state(self) -> dict[str, Array]:
        """Returns all that `advance` changes, for `restore`."""
        fields = [(number, draw._asdict().items()) for number, draw in enumerate(self._draws)]
        draws = {f"draw_{number}_{name}": value for number, items in fields for name, value in items}
        return self._sampler.state() | draws

    def restore(self, state: dict[str, Array]) -> None:
        """Puts back what `state` returned."""
        self._sampler.restore(state)
        self._draws, self._predicted = [], {}
        while f"draw_{len(self._draws)}_keys" in state:
            place = f"draw_{len(self._draws)}_"
            self._draws.append(Draw(**{name: state[place + name] for name in Draw._fields}))


def _dots(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(one * other, axis=-1)
