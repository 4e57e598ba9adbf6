"""Gibbs sampling of a matrix factorisation: draws of the movies' factors given all ratings."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.sampled_head import Draw
from components.train.svd_init import singular_vectors, user_movie_matrix
from components.vocabulary.interactions import UserRatings, user_chunks

Array = npt.NDArray[Any]

# Directions of who rated what, which the prior means of users and movies are regressions on.
_DIRECTIONS = 64
# Strength of the prior that all users are equally exact: v, in ratings.
_NOISE_STRENGTH = 10.0
# The greatest precision of a usual user's ratings, whose variance is 1: regressions on ratings without any
# noise cannot be solved in single precision.
_GREATEST_PRECISION = 400.0
# Ratings, and rows, of a block: what is held at once.
_BLOCK_SLOTS, _BLOCK_ROWS = 1 << 18, 1 << 13
_SHORTEST, _LONGEST = 4, 64


class Sampler:
    """Markov chain over the parameters of users and movies, given ratings that are centred and scaled.

    r_um = p_u . q_m + b_u + c_m + e_um,   e_um ~ N(0, 1 / (precision a_u)),   a_u ~ Gamma(v / 2, v / 2)

    Given one side, each row of the other is a Bayesian linear regression: so a sweep draws all users, then
    all movies, each from its exact conditional distribution (Salakhutdinov & Mnih 2008). a_u is how exact
    the user's ratings are. The prior means of users and movies are linear in which movies a user rated, and
    which users rated a movie, whatever the stars (Koren 2008, SVD++; Rendle, Zhang & Koren 2019), through the
    leading directions of the user-movie matrix.

    Every draw depends on the seed and the number of the sweep alone: a resumed chain repeats it.
    """

    def __init__(self, ratings: UserRatings, movies: int, factors: int, seed: int) -> None:
        """Args: `ratings`: centred and scaled, over `movies` rows; `factors`: K, the bias among them."""
        random = np.random.default_rng([seed, 0])
        matrix = user_movie_matrix(ratings, movies)
        values, right = singular_vectors(matrix, _DIRECTIONS, random)
        self._seed, self.sweeps = seed, 0
        self._of_users, self._of_movies = _unit_length(matrix @ right), _unit_length(right * values)
        self._set_ratings(ratings, movies)
        for side, spread in ((self._users, 0.1), (self._movies, 0.3)):
            side.begin(factors, spread, random)
        self._noise = np.ones(ratings.users, np.float32)  # a_u
        self._precision = 1.0 / 0.6

    def _set_ratings(self, ratings: UserRatings, movies: int) -> None:
        by_movie = UserRatings.group(ratings.movies, ratings.owners, ratings.ratings, movies)
        self._users = _Side(ratings, _pooled(ratings, self._of_movies))
        self._movies = _Side(by_movie, _pooled(by_movie, self._of_users))

    def go_on_with(self, ratings: UserRatings) -> None:
        """Gives the chain other ratings of the same users and movies; what it has learned it starts from."""
        state = self.state()
        self._set_ratings(ratings, len(self._of_movies))
        self.restore(state)

    def sweep(self) -> None:
        """Draws everything once."""
        random = np.random.default_rng([self._seed, self.sweeps + 1])
        users, movies = self._users, self._movies
        if self.sweeps:
            users.draw_prior(random)
            self._draw_noise(random)
        users.parameters = self._users_given_movies(random.normal)
        if self.sweeps:
            movies.draw_prior(random)
        movies.parameters = self._movies_given_users(random.normal)
        self.sweeps += 1

    def _users_given_movies(self, noise: Callable[..., Array]) -> Array:
        ones = np.ones(len(self._of_movies), np.float32)
        return self._users.regress(self._movies.parameters, ones, self._noise, self._precision, noise)

    def _movies_given_users(self, noise: Callable[..., Array]) -> Array:
        ones = np.ones(len(self._of_movies), np.float32)
        return self._movies.regress(self._users.parameters, self._noise, ones, self._precision, noise)

    def _draw_noise(self, random: np.random.Generator) -> None:
        """Draws a_u, then the precision."""
        squares, counts = self._users.squared_errors(self._movies.parameters), self._users.counts
        rate = _NOISE_STRENGTH + self._precision * squares
        self._noise = _single(random.gamma((_NOISE_STRENGTH + counts) / 2) / (rate / 2))
        drawn = random.gamma(1 + counts.sum() / 2) / (1 + float(self._noise @ squares) / 2)
        self._precision = min(drawn, _GREATEST_PRECISION)

    def draw(self) -> Draw:
        """Returns the present draw of the movies' parameters, and their mean given the users."""
        users = self._users
        # In the coordinates L'w, with L L' = precision, the users' prior is N(., I).
        root = np.linalg.cholesky(users.precision)
        turn, scale = np.linalg.inv(root).T, self._precision**0.5
        means, unrated = (
            self._movies_given_users(lambda size: np.zeros(size, np.float32)),
            self._movies.link[-1:],
        )
        values = np.concatenate([means, unrated])
        pooled, start = users.link[:-1] @ root, users.link[-1] @ root
        return Draw(
            keys=_single(scale * _offered(self._movies.parameters) @ turn),
            key_biases=self._movies.parameters[:, -1],
            values=_single(_offered(values) @ turn),
            value_biases=_single(values[:, -1]),
            prior=_single(self._of_movies @ pooled),
            start=_single(start),
            precision=np.asarray(self._precision, np.float32),
        )

    def squared_error(self) -> float:
        """Returns the mean squared error of the ratings."""
        squares = self._users.squared_errors(self._movies.parameters)
        return float(squares.sum() / self._users.counts.sum())

    def state(self) -> dict[str, Array]:
        """Returns all that the chain moves, for `restore`."""
        sides = {"users": self._users, "movies": self._movies}
        own = {"noise": self._noise, "precision": np.array(self._precision), "sweeps": np.array(self.sweeps)}
        return own | {
            f"{name}_{key}": value for name, side in sides.items() for key, value in side.state().items()
        }

    def restore(self, state: dict[str, Array]) -> None:
        """Puts a chain over the same ratings where it was when `state` was taken."""
        for name, side in (("users", self._users), ("movies", self._movies)):
            side.restore({key: state[f"{name}_{key}"] for key in side.state()})
        self._noise = state["noise"]
        self._precision, self.sweeps = float(state["precision"]), int(state["sweeps"])


class _Block(NamedTuple):
    """Ratings of consecutive rows of one side, in chunks of equal length (see `towers.Chunks`)."""

    rows: slice  # of the side
    owners: tf.Tensor  # int32 [c], the row of each chunk, from 0 on
    others: tf.Tensor  # int32 [c, L], rows of the other side; 0 in empty slots
    ratings: tf.Tensor  # float32 [c, L]; 0 in empty slots
    present: tf.Tensor  # float32 [c, L], 1 where a slot holds a rating


class _Side:
    """Users, or movies: their parameters, the prior of these, and their ratings.

    The parameters of a row are its factors and, last, its bias. Their prior is N(B' features, precision^-1)
    with B ~ N(0, (strength precision)^-1), under vague hyper-priors: so how far rows are apart, in which
    directions, and how much the features say about them, is drawn from what the data say (Salakhutdinov &
    Mnih 2008, BPMF; Simm et al. 2017, Macau).
    """

    def __init__(self, ratings: UserRatings, features: Array) -> None:
        """Args: `features`: float32 [rows, p], the last of which is 1."""
        self.counts, self.features = ratings.counts, features
        self.parameters: Array = np.zeros((ratings.users, 0), np.float32)  # [rows, K]
        self.link: Array = np.zeros((features.shape[1], 0))  # B, float64 [p, K]
        self.precision: Array = np.zeros((0, 0))  # float64 [K, K]
        self.strength = 10.0
        self._eigenvalues, self._eigenvectors = np.linalg.eigh((features.T @ features).astype(np.float64))
        self._blocks = list(_blocks(ratings))

    def begin(self, size: int, spread: float, random: np.random.Generator) -> None:
        """Sets the parameters of all rows to small random numbers, and the biases to 0."""
        self.parameters = _single(random.normal(scale=spread, size=(len(self.features), size)))
        self.parameters[:, -1] = 0.0
        self.link, self.precision = np.zeros((self.features.shape[1], size)), 10.0 * np.eye(size)

    def draw_prior(self, random: np.random.Generator) -> None:
        """Draws precision, link and strength given the parameters."""
        rows, size = self.parameters.shape
        residuals = (self.parameters - self._prior_means()).astype(np.float64)
        scatter = np.eye(size) + residuals.T @ residuals + self.strength * self.link.T @ self.link
        self.precision = _wishart(rows + len(self.link) + size, scatter, random)
        # The link's posterior is that of a ridge regression, whose covariance is diagonal in the coordinates
        # of the features' own principal directions.
        shrunk = (self._eigenvalues + self.strength)[:, np.newaxis]
        moments = self._eigenvectors.T @ (self.features.T @ self.parameters).astype(np.float64)
        noise = random.normal(size=moments.shape) @ np.linalg.inv(np.linalg.cholesky(self.precision))
        self.link = self._eigenvectors @ (moments / shrunk + noise / np.sqrt(shrunk))
        squares = float(np.sum(self.link @ self.precision * self.link))
        self.strength = random.gamma((1 + self.link.size) / 2) / ((1 + squares) / 2)

    def regress(
        self,
        others: Array,
        other_weights: Array,
        weights: Array,
        precision: float,
        noise: Callable[..., Array],
    ) -> Array:
        """Returns the rows' parameters given those of the other side, float32 [rows, K].

        Args:
          others: float32 [others, K], factors and bias of the other side.
          other_weights: float32 [others].
          weights: float32 [rows]; a rating's precision is `precision` times both weights.
          precision: above 0.
          noise: gives standard normal numbers of a size, or zeros for the mean of the distribution.
        """
        means, offered = self._prior_means(), tf.constant(_offered(others))
        fixed = [
            tf.constant(others[:, -1]),
            tf.constant(_single(precision * other_weights)),
            tf.constant(_single(self.precision)),
        ]
        parts = [
            _regress(
                offered,
                *fixed,
                means[block.rows],
                weights[block.rows],
                _single(noise(size=means[block.rows].shape)),
                *block[1:],
            )
            for block in self._blocks
        ]
        return np.concatenate(parts)

    def squared_errors(self, others: Array) -> Array:
        """Returns the sum of each row's squared errors, float32 [rows]."""
        offered, biases = tf.constant(_offered(others)), tf.constant(others[:, -1])
        parts = [_squares(offered, biases, self.parameters[block.rows], *block[1:]) for block in self._blocks]
        return np.concatenate(parts)

    def state(self) -> dict[str, Array]:
        """Returns all that the chain moves, for `restore`."""
        own = {name: getattr(self, name) for name in ("parameters", "link", "precision")}
        return own | {"strength": np.array(self.strength)}

    def restore(self, state: dict[str, Array]) -> None:
        """Puts back what `state` returned."""
        self.parameters, self.link, self.precision = state["parameters"], state["link"], state["precision"]
        self.strength = float(state["strength"])

    def _prior_means(self) -> Array:
        return np.asarray(self.features @ _single(self.link))


_VECTOR, _MATRIX = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, None], tf.float32)
_BLOCK = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([None, None], tf.int32), _MATRIX, _MATRIX]


@tf.function(
    input_signature=[_MATRIX, _VECTOR, _VECTOR, _MATRIX, _MATRIX, _VECTOR, _MATRIX, *_BLOCK], autograph=False
)  # type: ignore[untyped-decorator]
def _regress(
    offered: tf.Tensor,
    biases: tf.Tensor,
    precisions: tf.Tensor,
    prior_precision: tf.Tensor,
    prior_means: tf.Tensor,
    weights: tf.Tensor,
    noise: tf.Tensor,
    owners: tf.Tensor,
    others: tf.Tensor,
    ratings: tf.Tensor,
    present: tf.Tensor,
) -> tf.Tensor:
    """Draws the parameters of a block's rows: mean and covariance of one linear regression a row."""
    rows = tf.shape(prior_means)[0]
    read = tf.gather(offered, others)
    weighted = read * (present * tf.gather(precisions, others))[..., tf.newaxis]
    residuals = (ratings - tf.gather(biases, others))[:, tf.newaxis]
    information = tf.math.unsorted_segment_sum(tf.matmul(weighted, read, transpose_a=True), owners, rows)
    evidence = tf.math.unsorted_segment_sum(tf.squeeze(tf.matmul(residuals, weighted), axis=1), owners, rows)
    root = tf.linalg.cholesky(prior_precision + weights[:, tf.newaxis, tf.newaxis] * information)
    evidence = weights[:, tf.newaxis] * evidence + tf.matmul(prior_means, prior_precision)
    half = tf.linalg.triangular_solve(root, evidence[..., tf.newaxis]) + noise[..., tf.newaxis]
    return tf.squeeze(tf.linalg.triangular_solve(root, half, adjoint=True), axis=-1)


@tf.function(input_signature=[_MATRIX, _VECTOR, _MATRIX, *_BLOCK], autograph=False)  # type: ignore[untyped-decorator]
def _squares(
    offered: tf.Tensor,
    biases: tf.Tensor,
    parameters: tf.Tensor,
    owners: tf.Tensor,
    others: tf.Tensor,
    ratings: tf.Tensor,
    present: tf.Tensor,
) -> tf.Tensor:
    """Returns the sum of the squared errors of each of a block's rows."""
    own = tf.gather(parameters, owners)
    predicted = tf.linalg.matvec(tf.gather(offered, others), own) + tf.gather(biases, others)
    errors = tf.reduce_sum(tf.square(ratings - predicted) * present, axis=1)
    return tf.math.unsorted_segment_sum(errors, owners, tf.shape(parameters)[0])


def _blocks(ratings: UserRatings) -> Iterator[_Block]:
    """Lays ratings out in chunks whose length suits the usual row."""
    filled = ratings.counts[ratings.counts > 0]
    length = int(np.clip(2 ** round(np.log2(max(np.median(filled) / 2, 1))), _SHORTEST, _LONGEST))
    chunks = -(-ratings.counts // length)
    for rows in user_chunks(chunks, _BLOCK_ROWS, _BLOCK_SLOTS // length):
        part, own = ratings[rows], chunks[rows]
        slots = part.places((np.cumsum(own) - own) * length)
        others, stars, present = (
            np.zeros(own.sum() * length, dtype) for dtype in (np.int32, np.float32, np.float32)
        )
        others[slots], stars[slots], present[slots] = part.movies, part.ratings, 1.0
        owners = np.repeat(np.arange(len(own), dtype=np.int32), own)
        slotted = (array.reshape(-1, length) for array in (others, stars, present))
        yield _Block(rows, *map(tf.constant, (owners, *slotted)))


def _offered(parameters: Array) -> Array:
    """Returns what the rows of one side are to the regressions of the other: factors, and 1 for its bias."""
    return np.concatenate([parameters[:, :-1], np.ones_like(parameters[:, :1])], axis=1)


def _pooled(ratings: UserRatings, vectors: Array) -> Array:
    """Returns features of rows, from the `vectors` of what they rated or were rated by; the last is 1."""
    sums = (ratings.seen(len(vectors)) @ vectors) / np.sqrt(ratings.counts + 1.0)[:, np.newaxis]
    return _single(np.column_stack([sums, np.ones(ratings.users)]))


def _unit_length(vectors: Array) -> Array:
    """Scales vectors so that their mean squared length is 1."""
    length = np.mean(np.sum(np.square(vectors), axis=1)) ** 0.5
    return _single(vectors / length if length > 0 else vectors)


def _wishart(degrees: int, scatter: Array, random: np.random.Generator) -> Array:
    """Draws from the Wishart distribution of scale `scatter`^-1 (Bartlett 1933)."""
    size = len(scatter)
    triangle = np.tril(random.normal(size=(size, size)), -1)
    triangle[np.diag_indices(size)] = np.sqrt(random.chisquare(degrees - np.arange(size)))
    factor = np.linalg.inv(np.linalg.cholesky(scatter)).T @ triangle
    return np.asarray(factor @ factor.T)


def _single(values: Array) -> Array:
    return np.asarray(values, np.float32)
