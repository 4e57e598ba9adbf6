"""Content features: a movie that nobody has rated gets its vectors from its title, year and genres."""

from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.scoring import Outputs
from components.vocabulary.interactions import Interactions, UserRatings, chunks
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

# Features that fewer movies have say nothing of others; of more than so many, the most frequent are taken.
_LEAST_MOVIES, _MOST_FEATURES = 2, 1000
# The best known movies are enough to fit the regression to.
_MOST_MOVIES = 5_000
# Movies that are placed at once.
_AT_ONCE = 20_000
# Ratings after which a movie counts half as much as one of which everything is known.
_HALF_KNOWN = 10
# With fewer rated movies there is no regression.
_FEWEST_MOVIES = 50
# Users, drawn at random, by whose scores the strength of the regression is chosen.
_ASKED = 100
_RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

# Places at the top that are shared out; of few movies, a quarter of them.
_PLACES = 100
# Unrated movies of the catalogue: the places that each gets, in those of a new movie, and the share of the
# places that all of them hold at most, times the share of the movies that are rated. Chosen on validation
# rows (docs/model.md).
_UNRATED_PLACES = 0.03
_UNRATED_SHARE = 0.03
# So many, times the rated ones, come nearest to the best and get vectors; the others are alike, so that a
# catalogue most of which nobody has rated is scored in the time of the rated ones.
_UNRATED_MOST = 0.5


class Descriptions(NamedTuple):
    """Titles, years and genres of M movies."""

    titles: Array  # str objects [M]; "" where unknown
    years: Array  # int32 [M]; 0 where unknown
    genres: Array  # str objects [M], separated by "|"; "" where unknown

    @classmethod
    def of(cls, names: Vocabulary) -> Self:
        """Reads a vocabulary, in which a movie without a title has its id for one."""
        titles = np.where(names.titles == names.movie_ids, "", names.titles)
        genres = np.full(len(titles), "", object) if names.genres is None else names.genres
        return cls(titles, names.years, genres)

    def select(self, movies: Array | slice) -> "Descriptions":
        """Returns the descriptions of `movies`, int [n] or a slice."""
        return Descriptions(*(part[movies] for part in self))

    def inputs(self) -> tuple[tf.Tensor, ...]:
        """Returns the inputs `FEATURE_INPUTS`."""
        texts = (tf.constant(part.tolist(), tf.string, [len(part)]) for part in (self.titles, self.genres))
        title, genres = texts
        return title, tf.constant(self.years, tf.int32), genres


def tokenize(title: tf.Tensor, year: tf.Tensor, genres: tf.Tensor) -> tf.RaggedTensor:
    """Returns the features of n movies as text, string [n, (features)]: words, year, decade and genres.

    `title` and `genres`, separated by "|", are strings [n], `year` is int32 [n], 0 where unknown.
    """
    lower = tf.strings.lower(title, encoding="utf-8")
    words = tf.strings.split(tf.strings.regex_replace(lower, r"[^\pL\pN]+", " "))
    listed = tf.strings.regex_replace(tf.strings.lower(genres, encoding="utf-8"), r"\s+", "_")
    listed = tf.strings.split(tf.strings.regex_replace(listed, r"\|", " "))
    periods = tf.stack([year, year // 10], axis=1)
    periods = tf.constant(["year ", "decade "]) + tf.strings.as_string(periods)
    periods = tf.RaggedTensor.from_tensor(periods, lengths=tf.where(year > 0, 2, 0))
    words, listed = (
        part.with_flat_values(tf.constant(name) + part.flat_values)
        for name, part in (("word ", words), ("genre ", listed))
    )
    return tf.concat([words, periods, listed], axis=1)


class Ridge(NamedTuple):
    """A fitted ridge regression from F features to D targets."""

    coefficients: Array  # float [F, D]
    intercept: Array  # float [D]
    left_out: Array  # float [n, D], the prediction of each of the n movies from the other ones


class RidgeRegression:
    """Weighted ridge regressions on the same features, each as strong as predicts movies left out best.

    The errors of the movies left out have a closed form (Allen 1974, PRESS).
    """

    def __init__(self, features: Array, weights: Array) -> None:
        """Args: `features`: float [n, F]. `weights`: float [n], of the movies."""
        self._share = (weights / weights.sum()).astype(features.dtype)
        self._roots = np.sqrt(weights / weights.mean()).astype(features.dtype)[:, np.newaxis]
        self._mean = self._share @ features
        inputs = (features - self._mean) * self._roots
        values, self._basis = np.linalg.eigh(inputs.T @ inputs)
        self._values, self._inputs = np.maximum(values, 0), inputs @ self._basis
        self._leverage = {
            ridge: np.square(self._inputs) @ (1 / (self._values + ridge)) + self._share for ridge in _RIDGES
        }

    def fit(self, targets: Array, queries: Array) -> Ridge:
        """Fits `targets`, float [n, D].

        The strength is that of the least squared errors of query . target, `queries` being float [q, D].
        """
        mean = self._share @ targets
        outputs = (targets - mean) * self._roots
        projected = self._inputs.T @ outputs
        of_scores = outputs @ queries.T, projected @ queries.T
        best = min(_RIDGES, key=lambda ridge: float(np.sum(np.square(self._errors(ridge, *of_scores)))))
        coefficients = self._basis @ (projected / (self._values + best)[:, np.newaxis])
        left_out = targets - self._errors(best, outputs, projected) / self._roots
        return Ridge(coefficients, mean - self._mean @ coefficients, left_out)

    def _errors(self, ridge: float, outputs: Array, projected: Array) -> Array:
        """Returns the weighted errors of the movies left out, [n, ...]."""
        explained = self._inputs @ (projected / (self._values + ridge)[:, np.newaxis])
        errors: Array = (outputs - explained) / (1 - self._leverage[ridge])[:, np.newaxis]
        return errors


class SampleUsers(NamedTuple):
    """Users for whom scores are compared."""

    queries: Array  # float32 [n, d]
    tastes: Array  # float32 [n, K], of the rating head
    seen: UserRatings  # their known ratings, over the movies of the catalogue

    def scores(self, movies: Array, vectors: Array) -> Array:
        """Returns the scores, float32 [n, m], of `movies`, int [m]; -inf for those that a user has seen."""
        scores: Array = self.queries @ vectors.T
        column = np.full(1 + max(movies.max(initial=0), self.seen.movies.max(initial=0)), -1)
        column[movies] = np.arange(len(movies))
        seen = column[self.seen.movies]
        scores[self.seen.owners[seen >= 0], seen[seen >= 0]] = -np.inf
        return scores

    def thresholds(self, movies: Array, vectors: Array, places: int) -> Array:
        """Returns the score of the last of each user's best unseen `movies`, float [n, 1]; inf if none."""
        last = np.partition(self.scores(movies, vectors), -places, axis=1)[:, [-places]]
        return np.where(np.isfinite(last), last, np.inf)


def shift_to(margins: Array, places: float) -> float:
    """Returns the number to add to `margins`, float [n, m], for `places` of each row to reach 0.

    In the mean over the rows.
    """
    number = min(max(round(places * len(margins)), 1), margins.size)
    return -float(np.partition(margins, -number, axis=None)[-number])


class ContentTower(tf.Module):  # type: ignore[misc]
    """Vectors of a movie from its features: sums over its words, year, decade and genres."""

    def __init__(self, features: Array, ranking: Ridge, rating: Ridge, shift: float) -> None:
        """Makes the tables.

        Args:
          features: str [F].
          ranking: from the features to the vector whose product with a query is the score.
          rating: from the features to the vector for stars, and in the last column the bias.
          shift: what is added to the scores of a movie that is new to the catalogue.
        """
        super().__init__(name="content")
        self._features = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(features.tolist(), tf.range(len(features))), len(features)
        )
        tables = np.concatenate([ranking.coefficients, rating.coefficients], axis=1)
        self._tables = tf.Variable(np.pad(tables, [(0, 1), (0, 0)]), trainable=False, dtype=tf.float32)
        self._sizes = [ranking.intercept.size, rating.intercept.size - 1, 1]
        intercept = np.concatenate([ranking.intercept, rating.intercept])
        intercept[self._sizes[0] - 1] += shift
        self._intercept = intercept.astype(np.float32)

    def __call__(self, title: tf.Tensor, year: tf.Tensor, genres: tf.Tensor) -> Outputs:
        """Returns vectors and biases of n movies for ranking and for stars, given `FEATURE_INPUTS`.

        `features` counts the features that rated movies have as well; without any, all else is 0.
        """
        tokens = tokenize(title, year, genres)
        columns = self._features.lookup(tokens.flat_values)
        rows, movies = tokens.value_rowids(), tf.size(year, tf.int64)
        inside = tf.cast(columns < self._tables.shape[0] - 1, tf.int32)
        known = tf.math.unsorted_segment_sum(inside, rows, movies)
        sums = tf.math.unsorted_segment_sum(tf.gather(self._tables, columns), rows, movies)
        values = tf.where(known[:, tf.newaxis] > 0, sums + self._intercept, 0.0)
        vector, rating_vector, rating_bias = tf.split(values, self._sizes, axis=1)
        return {
            "vector": vector,
            "bias": tf.zeros_like(known, tf.float32),
            "rating_vector": rating_vector,
            "rating_bias": rating_bias[:, 0],
            "features": known,
        }


class PlacedMovies(NamedTuple):
    """A content tower, and what it gives the unrated movies of the catalogue."""

    tower: ContentTower
    candidates: Array  # int64 [c], the unrated movies that may come among the best
    vectors: Array  # float32 [c, d], theirs
    movies: Array  # int64 [n], all unrated movies that have features
    rating_vectors: Array  # float32 [n, K]
    rating_biases: Array  # float32 [n]


def place_unrated(
    described: Descriptions,
    counts: Array,
    ranking: tuple[Array, Array],
    stars: tuple[Array, Array],
    users: SampleUsers,
) -> ContentTower | None:
    """Writes vectors and biases of unrated movies, by `fit_content`, into the tables `ranking` and `stars`.

    The last component of the users' queries is 1. Returns the content tower, if there is one.
    """
    vectors, biases = ranking
    scored = np.column_stack([vectors[:, :-1], vectors[:, -1] + biases])
    placed = fit_content(described, counts, scored, stars, users)
    if placed is None:
        return None
    vectors[placed.candidates] = placed.vectors
    stars[0][placed.movies], stars[1][placed.movies] = placed.rating_vectors, placed.rating_biases
    return placed.tower


def fit_content(
    described: Descriptions, counts: Array, vectors: Array, stars: tuple[Array, Array], users: SampleUsers
) -> PlacedMovies | None:
    """Fits a content tower to the vectors of the rated movies; None where they have no features.

    A new movie's score is shifted so that rated movies, each predicted from the others, would hold as many
    places at the top as they do. A movie of the catalogue that nobody rated is no favourite: it gets less.

    Args:
      described: the M movies of the catalogue.
      counts: int [M], known ratings of each; the vectors of movies without any are not read.
      vectors: float32 [M, d], whose products with the queries are the scores.
      stars: vectors float32 [M, K] and biases float32 [M], of the rating head.
      users: some users.
    """
    rated = np.flatnonzero(counts)
    best = rated[np.argsort(-counts[rated], kind="stable")[:_MOST_MOVIES]]
    names, features = count_features(described.select(best))
    if len(best) < _FEWEST_MOVIES or not len(names):
        return None
    weights = counts[best] / (counts[best] + _HALF_KNOWN)
    tastes = np.pad(users.tastes, [(0, 0), (0, 1)], constant_values=1.0)
    regression = RidgeRegression(features, weights)
    ranking = regression.fit(vectors[best], users.queries[:_ASKED])
    rating = regression.fit(np.column_stack(stars)[best], tastes[:_ASKED])

    places = max(1, min(_PLACES, len(best) // 4))
    thresholds = users.thresholds(rated, vectors[rated], places)
    margins = users.scores(best, ranking.left_out) - thresholds
    new = shift_to(margins, places)
    unpopular = shift_to(margins, _UNRATED_PLACES * places)
    tower = ContentTower(names, ranking, rating, new)
    unrated = np.flatnonzero(counts == 0)
    placed = _place_all(tower, described.select(unrated))
    known = placed["features"] > 0
    movies, vectors = unrated[known], placed["vector"][known]
    vectors[:, -1] -= new
    nearest = _nearest(users, movies, vectors, thresholds, max(1, round(_UNRATED_MOST * len(rated))))
    candidates, vectors = movies[nearest], vectors[nearest]
    if len(candidates):
        share = _UNRATED_SHARE * len(rated) / len(counts)
        at_most = shift_to(users.scores(candidates, vectors) - thresholds, share * places)
        vectors[:, -1] += min(unpopular, at_most)
    of_stars = placed["rating_vector"][known], placed["rating_bias"][known]
    return PlacedMovies(tower, candidates, vectors, movies, *of_stars)


def _place_all(tower: ContentTower, described: Descriptions) -> dict[str, Array]:
    """Returns what `tower` gives any number of movies."""
    pieces = [*chunks(len(described.years), _AT_ONCE)] or [slice(0)]
    parts = [tower(*described.select(piece).inputs()) for piece in pieces]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _nearest(users: SampleUsers, movies: Array, vectors: Array, thresholds: Array, most: int) -> Array:
    """Returns the places of the `most` of `movies` that come nearest to the best of any user."""
    reach = [
        np.max(users.scores(movies[part], vectors[part]) - thresholds, axis=0)
        for part in chunks(len(movies), _AT_ONCE)
    ]
    return np.argsort(-np.concatenate([*reach, []]), kind="stable")[:most]


def count_features(described: Descriptions) -> tuple[Array, Array]:
    """Returns the F features that several movies have, str [F], and how often each has them, [n, F]."""
    tokens = tokenize(*described.inputs())
    names, columns, counts = np.unique(tokens.flat_values.numpy(), return_inverse=True, return_counts=True)
    frequent = np.sort(np.argsort(-counts, kind="stable")[:_MOST_FEATURES])
    frequent = frequent[counts[frequent] >= _LEAST_MOVIES]
    place = np.full(len(names), -1)
    place[frequent] = np.arange(len(frequent))
    kept = place[columns] >= 0
    features = np.zeros((len(described.titles), len(frequent)), np.float32)
    np.add.at(features, (tokens.value_rowids().numpy()[kept], place[columns][kept]), 1.0)
    return names[frequent], features


# Users for whom scores are compared, and the scores that are held at once.
_USERS, _SCORES = 500, 1 << 26


def draw_sample(interactions: Interactions, seed: int) -> UserRatings:
    """Draws users with known ratings: their ratings, over the movies of the catalogue."""
    parts = [interactions.split("train"), interactions.split("validation")]
    users = np.flatnonzero(np.sum([part.counts for part in parts], axis=0))
    number = min(len(users), max(16, min(_USERS, _SCORES // interactions.movies)))
    drawn = np.random.default_rng(seed).choice(users, number, replace=False)
    return UserRatings.join([part.select(drawn) for part in parts])
