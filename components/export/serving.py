"""The SavedModel of the published index: its signatures, its movie table, and its assembly."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.export.histories import (
    ALL,
    Histories,
    History,
    Reader,
    Reading,
    means_all,
    pack,
    stored_reader,
)
from components.export.manifest import Inputs, signature_table
from components.export.search import Chosen, Questions, choose
from components.export.top_k import LOWEST_SCORE, BiasedBruteForce
from components.export.warmup import Request, write_warmup


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


# `k` of the signature that takes nothing but users.
DEFAULT_K = 100
# The two values of the input `order`.
BY_SCORE, BY_RATING = "score", "rating"

Outputs = dict[str, tf.Tensor]

_STRINGS = tf.TensorSpec([None], tf.string)
_STRING = tf.TensorSpec([], tf.string)
_INT = tf.TensorSpec([], tf.int32)


class ServingIndex(tf.Module):  # type: ignore[misc]
    """Answers by ids and strings what the scoring SavedModel answers by rows and numbers.

    The scoring model is kept as it was loaded and called through its own signatures; nothing is fitted or
    computed anew but the layout of its candidates.
    """

    def __init__(
        self, scoring: Any, catalogue: Catalogue, histories: Histories, search: Chosen, rated: np.ndarray
    ) -> None:
        """Wraps `scoring`, the loaded scoring SavedModel, whose candidates are the rows of `catalogue`.

        `search` finds the best of them. `rated`, bool [M], says which movies have known ratings; the vectors
        of the others mean nothing.
        """
        super().__init__(name="serving_index")
        self._scoring, self._catalogue, self._histories = scoring, catalogue, histories
        self._reader, self._stored = Reader(scoring), stored_reader(scoring, histories)
        vectors = scoring.signatures["candidates"]()["vector"].numpy()
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        by_likeness = BiasedBruteForce().index_with_bias(
            vectors / lengths, np.where(rated, 0.0, LOWEST_SCORE).astype(np.float32)
        )
        self._best_by_score, self._best_by_likeness = search.best, by_likeness.best
        self._unit_vectors = tf.Variable(vectors / lengths, trainable=False, name="unit_vectors")
        self._rated = tf.Variable(rated, trainable=False, name="rated")
        # The layers' variables alone: kept whole, each layer would be saved once more, as a Keras model.
        self._candidates = [*search.parts, *by_likeness.variables]

    def signatures(self) -> dict[str, Any]:
        """The concrete functions by the names that they are served under."""
        inputs_of: dict[Callable[..., Outputs], dict[str, tf.TensorSpec]] = {
            self.recommend: {"user_id": _STRINGS, "k": _INT, "ratings": _STRING},
            self.rank: {"user_id": _STRINGS, "k": _INT, "ratings": _STRING},
            self.recommend_filtered: {
                "user_id": _STRINGS,
                "k": _INT,
                "ratings": _STRING,
                "include_rated": tf.TensorSpec([], tf.bool),
                "exclude": _STRINGS,
                "only": _STRINGS,
                "order": _STRING,
                "pool": _INT,
            },
            self.recommend_from_history: {
                "movie_id": _STRINGS,
                "rating": tf.TensorSpec([None], tf.float32),
                "row_splits": tf.TensorSpec([None], tf.int64),
                "k": _INT,
            },
            self.rate: {"user_id": _STRINGS, "movie_id": _STRINGS, "ratings": _STRING},
            self.similar: {"movie_id": _STRINGS, "k": _INT},
            self.history: {"user_id": _STRINGS},
            self.catalogue: {},
            self.users: {},
            self.serving_default: {"user_id": _STRINGS},
        }
        return {method.__name__: _concrete(method, inputs) for method, inputs in inputs_of.items()}

    def recommend(self, user_id: tf.Tensor, k: tf.Tensor, ratings: tf.Tensor) -> Outputs:
        """The k best movies that each user has not rated; popularity's order for an unknown user."""
        ranked = self.rank(user_id, k, ratings)
        return {**self._catalogue.describe(ranked.pop("row")), **ranked}

    def rank(self, user_id: tf.Tensor, k: tf.Tensor, ratings: tf.Tensor) -> Outputs:
        """`recommend` for bulk work, with movies as rows of `catalogue`, M where there is none."""
        users, everything = self._histories.users(user_id), means_all(ratings)
        seen = self._histories.read(users, everything)
        reading = self._stored.read(user_id, users, everything)
        return {**self._rank(reading, seen, k), "known_user": users >= 0}

    def recommend_filtered(
        self,
        user_id: tf.Tensor,
        k: tf.Tensor,
        ratings: tf.Tensor,
        include_rated: tf.Tensor,
        exclude: tf.Tensor,
        only: tf.Tensor,
        order: tf.Tensor,
        pool: tf.Tensor,
    ) -> Outputs:
        """`recommend` among the movies `only` (none: all) without `exclude`; unknown ids are counted.

        With the order "rating" the first `pool` movies by score are ordered by predicted rating.
        """
        users = self._histories.users(user_id)
        history = self._histories.read(users, means_all(ratings))
        by_rating = _means_by_rating(order)
        allowed = tf.logical_or(tf.equal(tf.size(only), 0), self._catalogue.among(only))
        allowed = tf.logical_and(allowed, tf.logical_not(self._catalogue.among(exclude)))
        wanted = tf.where(by_rating, tf.maximum(k, pool), k)
        # Movies that are in the history may be rated, so the short way will not do.
        reading = self._reader.read(user_id, history)
        answer = self._rank(reading, history.unless(include_rated), wanted, allowed)
        stars = tf.where(answer["score"] > LOWEST_SCORE, answer["rating"], LOWEST_SCORE)
        keys = tf.where(by_rating, stars, answer["score"])
        _, places = tf.math.top_k(keys, tf.clip_by_value(k, 0, tf.shape(keys)[1]))
        ordered = {name: tf.gather(values, places, batch_dims=1) for name, values in answer.items()}
        movies = self._catalogue.describe(ordered.pop("row"))
        unknown = self._catalogue.unknown(exclude) + self._catalogue.unknown(only)
        return {
            **movies,
            **ordered,
            "known_user": users >= 0,
            "ignored": tf.fill(tf.shape(users), unknown),
        }

    def serving_default(self, user_id: tf.Tensor) -> Outputs:
        """`recommend` with k = 100 and all ratings: the signature for servers that batch requests."""
        return self.recommend(user_id, tf.constant(DEFAULT_K), tf.constant(ALL))

    def recommend_from_history(
        self, movie_id: tf.Tensor, rating: tf.Tensor, row_splits: tf.Tensor, k: tf.Tensor
    ) -> Outputs:
        """`recommend` for ratings that come with the request; unknown movies are left out and counted."""
        rows = self._catalogue.rows(movie_id)
        known = rows < self._catalogue.nothing
        kept = tf.concat([[0], tf.cumsum(tf.cast(known, tf.int64))], axis=0)
        history = History(
            movies=tf.boolean_mask(rows, known),
            ratings=tf.boolean_mask(rating, known),
            row_splits=tf.gather(kept, row_splits),
            held_out=tf.zeros([0], tf.bool),
        )
        nobody = tf.fill([tf.size(row_splits) - 1], "")
        lengths = row_splits[1:] - row_splits[:-1]
        kept_lengths = history.row_splits[1:] - history.row_splits[:-1]
        ignored = tf.cast(lengths - kept_lengths, tf.int32)
        ranked = self._rank(self._reader.read(nobody, history), history, k)
        return {**self._catalogue.describe(ranked.pop("row")), **ranked, "ignored": ignored}

    def rate(self, user_id: tf.Tensor, movie_id: tf.Tensor, ratings: tf.Tensor) -> Outputs:
        """Stars for pairs of a user and a movie. Each user's history is read once, however many the pairs."""
        distinct, pair_row = tf.unique(user_id)
        history = self._histories.read(self._histories.users(distinct), means_all(ratings))
        movies = self._catalogue.rows(movie_id)
        return {"rating": self._reader.rate(distinct, history, pair_row, movies)}

    def similar(self, movie_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """The k rated movies whose vectors make the smallest angle with each movie's.

        None for an unknown id, and none for a movie that nobody has rated.
        """
        rows = self._catalogue.rows(movie_id)
        known = rows < self._catalogue.nothing
        row = tf.minimum(rows, self._catalogue.nothing - 1)
        queries = tf.gather(self._unit_vectors, row)
        likeness, found = self._best_by_likeness(queries, k, tf.range(tf.size(row, tf.int64)), row)
        meant = tf.logical_and(known, tf.gather(self._rated, row))
        found = tf.where(meant[:, tf.newaxis], found, self._catalogue.nothing)
        likeness = tf.where(found < self._catalogue.nothing, likeness, 0.0)
        return {**self._catalogue.describe(found), "similarity": likeness, "known_movie": known}

    def history(self, user_id: tf.Tensor) -> Outputs:
        """All ratings of the users, flat; user i's are row_splits[i]:row_splits[i + 1]."""
        users = self._histories.users(user_id)
        history = self._histories.read(users, True)
        return {
            **self._catalogue.describe(history.movies),
            "rating": history.ratings,
            "held_out": history.held_out,
            "row_splits": history.row_splits,
            "known_user": users >= 0,
        }

    def catalogue(self) -> Outputs:
        """The movie table."""
        return self._catalogue.all()

    def users(self) -> Outputs:
        """The ids of all known users."""
        return {"user_id": self._histories.user_ids()}

    def _rank(
        self, reading: Reading, seen: History, k: tf.Tensor, allowed: tf.Tensor | None = None
    ) -> Outputs:
        score, rows = self._best_by_score(reading.query, k, seen.rows(), seen.movies, allowed)
        rating = tf.where(rows < self._catalogue.nothing, reading.stars(rows), 0.0)
        return {"row": rows, "score": score, "rating": rating}


def _concrete(method: Callable[..., Outputs], inputs: dict[str, tf.TensorSpec]) -> Any:
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()]
    return tf.function(method, input_signature=specs, autograph=False).get_concrete_function()


def _means_by_rating(order: tf.Tensor) -> tf.Tensor:
    by_rating = tf.equal(order, BY_RATING)
    known = tf.logical_or(by_rating, tf.equal(order, BY_SCORE))
    tf.debugging.Assert(known, [f'the input "order" must be "{BY_SCORE}" or "{BY_RATING}", not', order])
    return by_rating


def choose_search(inputs: Inputs, kind: str) -> Chosen:
    """The search over the movies of `inputs`; raises `UserError` if there can be none of that kind."""
    scoring = inputs.scoring
    return choose(kind, scoring.vectors, scoring.biases, lambda: Questions.of(scoring, inputs.known))


def assemble(inputs: Inputs, search: Chosen) -> ServingIndex:
    """The serving module over the scoring SavedModel of `inputs`."""
    names = inputs.names
    packed = pack(inputs.known, inputs.held_out, len(names.movie_ids))
    return ServingIndex(
        scoring=tf.saved_model.load(str(inputs.model / "saved_model")),
        catalogue=Catalogue(list(names.movie_ids), list(names.titles), names.years),
        histories=Histories(list(names.user_ids), packed),
        search=search,
        rated=np.bincount(inputs.known.movies, minlength=len(names.movie_ids)) > 0,
    )


def save(index: ServingIndex, directory: Path, requests: list[Request]) -> dict[str, Any]:
    """Writes `index` and its warm-up requests into `directory`; returns the table of its signatures."""
    signatures = index.signatures()
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(index, str(directory), signatures=signatures, options=options)
    write_warmup(directory, requests, signatures)
    assets = directory / "assets"
    if not any(assets.iterdir()):
        assets.rmdir()  # object stores know no empty directories: this index is the same after a copy
    return signature_table(signatures)
