"""The SavedModel of the published index: its signatures, its movie table, and how it is assembled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.export.attributes import AttributeTable
from components.export.histories import (
    EncodedUsers,
    GivenHistories,
    Histories,
    History,
    HistoryEncoder,
    PrecomputedEncoder,
    is_all,
)
from components.export.inputs import Inputs
from components.export.manifest import (
    ALL,
    BY_RATING,
    BY_SCORE,
    DEFAULT_K,
    INSIDE,
    LOWEST_SCORE,
    Signature,
)
from components.export.movie_table import MovieTable
from components.export.new_movies import NewMovieRatings
from components.export.reasons import Explanation, LeaveOneOut
from components.export.reranking import (
    Shift,
    reorder,
    score_covariance,
    score_spread,
    standard_popularity,
)
from components.export.search import Chosen, SampleQueries, choose
from components.export.top_k import BiasedBruteForce
from components.export.warmup import Request, write_warmup
from components.saved_models import SAVED_MODEL
from components.vocabulary.attributes import Attributes

Outputs = dict[str, tf.Tensor]

_STRINGS = tf.TensorSpec([None], tf.string)
_STRING = tf.TensorSpec([], tf.string)
_INT = tf.TensorSpec([], tf.int32)
_SHARE = tf.TensorSpec([], tf.float32)


class ServingIndex(tf.Module):  # type: ignore[misc]
    """Serving module: the signatures of the scoring SavedModel, with ids and strings in place of rows.

    The scoring model is kept as it was loaded and called through its own signatures. Only the layout of its
    candidates is new; nothing is refitted.
    """

    def __init__(
        self,
        scoring: Any,
        movies: MovieTable,
        histories: Histories | GivenHistories,
        search: Chosen,
        attributes: Attributes,
        counts: np.ndarray,
        vectors: np.ndarray,
        biases: np.ndarray,
        new: NewMovieRatings | None = None,
        profiles: np.ndarray | None = None,
    ) -> None:
        """Wraps the loaded scoring SavedModel.

        Args:
          scoring: the SavedModel.
          movies: its candidates, in their order.
          histories: the ratings of all users, or the inputs that bring those of the users of a request.
          search: finds the best candidates.
          attributes: of the movies.
          counts: int64 [M], the known ratings of each movie; the vectors of those without are not trained.
          vectors: float32 [M, d], the candidates'.
          biases: float32 [M], the candidates'.
          new: rates movies that came after training, which are the last ones.
          profiles: the model's encoding of all users; None encodes each when asked.
        """
        super().__init__(name="serving_index")
        # Evaluation finds the scoring model of an index under this name.
        self._scoring = scoring
        self._movies, self._histories = movies, histories
        self._attributes = AttributeTable(attributes)
        self._new = new
        rated = counts > 0
        self._encoder = HistoryEncoder(scoring, new)
        has_serving_encoder = "profile" in scoring.signatures
        self._precomputed = (
            PrecomputedEncoder(scoring, histories, new, profiles) if has_serving_encoder else None
        )
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        by_cosine = BiasedBruteForce().index_with_bias(
            vectors / lengths, np.where(rated, 0.0, LOWEST_SCORE).astype(np.float32)
        )
        self._best_by_score, self._best_by_cosine = search.best, by_cosine.best
        self._unit_vectors = tf.Variable(vectors / lengths, trainable=False, name="unit_vectors")
        self._rated = tf.Variable(rated, trainable=False, name="rated")
        self._reasons = LeaveOneOut(self._encoder.query, search.score, self._unit_vectors)
        covariance, popularity = score_covariance(vectors, biases, counts), standard_popularity(counts)
        self._covariance = tf.Variable(covariance, trainable=False, name="score_covariance")
        self._popularity = tf.Variable(popularity, trainable=False, name="popularity")
        # Only the variables of the layers: a layer would be saved a second time, as a Keras model.
        self._candidates = [*search.parts, *by_cosine.variables]

    def signatures(self) -> dict[str, Any]:
        """Returns the concrete functions by signature name."""
        ranking = {"user_id": _STRINGS, "k": _INT, "ratings": _STRING}
        filters = {"include_rated": tf.TensorSpec([], tf.bool), "exclude": _STRINGS, "only": _STRINGS}
        filters |= {"order": _STRING, "pool": _INT}
        rules = {"where": _STRINGS, "boost": _STRINGS, "diversity": _SHARE, "popularity_discount": _SHARE}
        history = {
            "movie_id": _STRINGS,
            "rating": tf.TensorSpec([None], tf.float32),
            "row_splits": tf.TensorSpec([None], tf.int64),
        }
        inputs_of: dict[Callable[..., Outputs], dict[str, tf.TensorSpec]] = {
            self.recommend: ranking,
            self.rank: ranking,
            self.recommend_filtered: {**ranking, **filters},
            self.recommend_where: {**ranking, **filters, **rules},
            self.recommend_from_history: {**history, "k": _INT},
            self.explain: {"user_id": _STRING, "recommended": _STRINGS, "ratings": _STRING},
            self.explain_from_history: {
                **{name: history[name] for name in ("movie_id", "rating")},
                "recommended": _STRINGS,
            },
            self.rate: {"user_id": _STRINGS, "movie_id": _STRINGS, "ratings": _STRING},
            self.similar: {"movie_id": _STRINGS, "k": _INT},
            self.history: {"user_id": _STRINGS},
            self.catalogue: {},
            self.attributes: {},
            self.users: {},
            self.serving_default: {"user_id": _STRINGS},
        }
        return {
            method.__name__: self._with_histories(method, inputs)
            for method, inputs in inputs_of.items()
            if isinstance(self._histories, Histories) or method not in (self.history, self.users)
        }

    def _with_histories(self, method: Callable[..., Outputs], inputs: dict[str, tf.TensorSpec]) -> Any:
        """Traces a signature; where the index holds no histories, one about users takes them as inputs."""
        histories = self._histories
        if isinstance(histories, Histories) or "user_id" not in inputs:
            return _concrete(method, inputs)
        given = len(histories.specs)

        def read_given(*values: tf.Tensor) -> Outputs:
            histories.take(values[:given])
            return method(*values[given:])

        return _concrete(read_given, {**histories.specs, **inputs})

    def recommend(self, user_id: tf.Tensor, k: tf.Tensor, ratings: tf.Tensor) -> Outputs:
        """Finds the k best movies that each user has not rated; for an unknown user, the most popular."""
        ranked = self.rank(user_id, k, ratings)
        return {**self._movies.describe(ranked.pop("row")), **ranked}

    def rank(self, user_id: tf.Tensor, k: tf.Tensor, ratings: tf.Tensor) -> Outputs:
        """Does `recommend` for bulk work, with movies as rows of the movie table; M stands for no movie."""
        users, everything = self._histories.users(user_id), is_all(ratings)
        seen = self._histories.read(users, everything)
        if self._precomputed is not None:
            encoded = self._precomputed.encode(users, everything)
        else:
            encoded = self._encoder.encode(user_id, seen)
        return {**self._rank(encoded, seen, k), "known_user": users >= 0}

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
        """Does `recommend` among the movies `only` (none: all) without `exclude`; counts unknown ids.

        With the order "rating" the first `pool` movies by score are ordered by predicted rating.
        """
        none, off = tf.zeros([0], tf.string), tf.constant(0.0)
        asked = (user_id, k, ratings, include_rated, exclude, only, order, pool)
        answer = self.recommend_where(*asked, where=none, boost=none, diversity=off, popularity_discount=off)
        return {name: values for name, values in answer.items() if name != "left"}

    def recommend_where(
        self,
        user_id: tf.Tensor,
        k: tf.Tensor,
        ratings: tf.Tensor,
        include_rated: tf.Tensor,
        exclude: tf.Tensor,
        only: tf.Tensor,
        order: tf.Tensor,
        pool: tf.Tensor,
        where: tf.Tensor,
        boost: tf.Tensor,
        diversity: tf.Tensor,
        popularity_discount: tf.Tensor,
    ) -> Outputs:
        """Does `recommend_filtered` by conditions on attributes too; says how many movies they leave.

        `boost` and `popularity_discount` change the scores, in standard deviations of the user's scores. With
        a `diversity` over 0 the first `pool` movies by score are reordered by maximal marginal relevance.
        """
        for name, share in (("diversity", diversity), ("popularity_discount", popularity_discount)):
            fits = tf.logical_and(share >= 0.0, share <= 1.0)
            tf.debugging.Assert(fits, [f'the input "{name}" must be from 0 to 1, not', share])
        allowed = tf.logical_and(self._movies.choose(only, exclude), self._attributes.fulfilled(where))
        units = self._attributes.boosted(boost) - popularity_discount * self._popularity
        users = self._histories.users(user_id)
        history = self._histories.read(users, is_all(ratings))
        by_rating = _means_by_rating(order)
        wanted = tf.where(by_rating | (diversity > 0.0), tf.maximum(k, pool), k)
        # The precomputed encoder may not rate movies that are in the history.
        encoded = self._encoder.encode(user_id, history)
        shift = Shift(score_spread(encoded.query, self._covariance), units)
        answer = self._rank(encoded, history.unless(include_rated), wanted, allowed, shift)
        valid = answer["score"] > LOWEST_SCORE
        keys = tf.where(by_rating, tf.where(valid, answer["rating"], LOWEST_SCORE), answer["score"])
        vectors = tf.gather(self._unit_vectors, tf.minimum(answer["row"], self._movies.nothing - 1))
        k = tf.clip_by_value(k, 0, tf.shape(keys)[1])
        positions = reorder(keys, valid, vectors, diversity, k)
        ordered = {name: tf.gather(values, positions, batch_dims=1) for name, values in answer.items()}
        unknown = self._movies.count_unknown(exclude) + self._movies.count_unknown(only)
        left = tf.math.count_nonzero(allowed, dtype=tf.int32)
        return {
            **self._movies.describe(ordered.pop("row")),
            **ordered,
            "known_user": users >= 0,
            "ignored": tf.fill(tf.shape(users), unknown),
            "left": tf.fill(tf.shape(users), left),
        }

    def serving_default(self, user_id: tf.Tensor) -> Outputs:
        """Does `recommend` with k = 100 and all ratings: the signature for servers that batch requests."""
        return self.recommend(user_id, tf.constant(DEFAULT_K), tf.constant(ALL))

    def recommend_from_history(
        self, movie_id: tf.Tensor, rating: tf.Tensor, row_splits: tf.Tensor, k: tf.Tensor
    ) -> Outputs:
        """Does `recommend` for ratings in the request; unknown movies are left out and counted."""
        rows = self._movies.rows(movie_id)
        known = rows < self._movies.nothing
        kept = tf.concat([[0], tf.cumsum(tf.cast(known, tf.int64))], axis=0)
        history = History(
            movies=tf.boolean_mask(rows, known),
            ratings=tf.boolean_mask(rating, known),
            row_splits=tf.gather(kept, row_splits),
            held_out=tf.zeros([0], tf.bool),
        )
        no_ids = tf.fill([tf.size(row_splits) - 1], "")
        lengths = row_splits[1:] - row_splits[:-1]
        kept_lengths = history.row_splits[1:] - history.row_splits[:-1]
        ignored = tf.cast(lengths - kept_lengths, tf.int32)
        ranked = self._rank(self._encoder.encode(no_ids, history), history, k)
        return {**self._movies.describe(ranked.pop("row")), **ranked, "ignored": ignored}

    def explain(self, user_id: tf.Tensor, recommended: tf.Tensor, ratings: tf.Tensor) -> Outputs:
        """Finds the movies of a user's history without which the scores of recommended movies fall most."""
        history = self._histories.read(self._histories.users(user_id[tf.newaxis]), is_all(ratings))
        return self._describe_reasons(self._reasons.explain(user_id, history, self._movies.rows(recommended)))

    def explain_from_history(self, movie_id: tf.Tensor, rating: tf.Tensor, recommended: tf.Tensor) -> Outputs:
        """Does `explain` for ratings in the request; unknown movies are left out."""
        rows = self._movies.rows(movie_id)
        row_splits = tf.cast([0, tf.size(rows)], tf.int64)
        history = History(rows, rating, row_splits, tf.zeros([0], tf.bool))
        explained = self._reasons.explain(tf.constant(""), history, self._movies.rows(recommended))
        return self._describe_reasons(explained)

    def _describe_reasons(self, explained: Explanation) -> Outputs:
        reasons = explained._asdict()
        return {**self._movies.describe(reasons.pop("row")), **reasons}

    def rate(self, user_id: tf.Tensor, movie_id: tf.Tensor, ratings: tf.Tensor) -> Outputs:
        """Predicts the ratings of pairs of a user and a movie; reads the history of each user once."""
        distinct, pair_row = tf.unique(user_id)
        history = self._histories.read(self._histories.users(distinct), is_all(ratings))
        movies = self._movies.rows(movie_id)
        return {"rating": self._encoder.rate(distinct, history, pair_row, movies)}

    def similar(self, movie_id: tf.Tensor, k: tf.Tensor) -> Outputs:
        """Finds the k rated movies with the greatest cosine similarity to each movie.

        Finds none for an unknown id or a movie without known ratings.
        """
        rows = self._movies.rows(movie_id)
        known = rows < self._movies.nothing
        row = tf.minimum(rows, self._movies.nothing - 1)
        queries = tf.gather(self._unit_vectors, row)
        similarity, found = self._best_by_cosine(queries, k, tf.range(tf.size(row, tf.int64)), row)
        trained = tf.logical_and(known, tf.gather(self._rated, row))
        found = tf.where(trained[:, tf.newaxis], found, self._movies.nothing)
        similarity = tf.where(found < self._movies.nothing, similarity, 0.0)
        return {**self._movies.describe(found), "similarity": similarity, "known_movie": known}

    def history(self, user_id: tf.Tensor) -> Outputs:
        """Returns all ratings of the users, flat; user i's are row_splits[i]:row_splits[i + 1]."""
        users = self._histories.users(user_id)
        history = self._histories.read(users, True)
        return {
            **self._movies.describe(history.movies),
            "rating": history.ratings,
            "held_out": history.held_out,
            "row_splits": history.row_splits,
            "known_user": users >= 0,
        }

    def catalogue(self) -> Outputs:
        """Returns the movie table in the order of its rows: movie_id, title, year, each [M]."""
        return self._movies.describe(tf.range(self._movies.nothing))

    def attributes(self) -> Outputs:
        """Returns the values of the attributes: column, value, and their movies, flat: row, row_splits."""
        return self._attributes.describe()

    def users(self) -> Outputs:
        """Returns the ids of all known users."""
        assert isinstance(self._histories, Histories)
        return {"user_id": self._histories.user_ids()}

    def _rank(
        self,
        encoded: EncodedUsers,
        seen: History,
        k: tf.Tensor,
        allowed: tf.Tensor | None = None,
        shift: Shift | None = None,
    ) -> Outputs:
        score, rows = self._best_by_score(encoded.query, k, seen.rows(), seen.movies, allowed, shift)
        rating = tf.where(rows < self._movies.nothing, encoded.rate(rows), 0.0)
        return {"row": rows, "score": score, "rating": rating}


def _concrete(method: Callable[..., Outputs], inputs: dict[str, tf.TensorSpec]) -> Any:
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()]
    return tf.function(method, input_signature=specs, autograph=False).get_concrete_function()


def _means_by_rating(order: tf.Tensor) -> tf.Tensor:
    """Returns bool [], true for "rating" and false for "score"; else raises InvalidArgumentError."""
    by_rating = tf.equal(order, BY_RATING)
    known = tf.logical_or(by_rating, tf.equal(order, BY_SCORE))
    tf.debugging.Assert(known, [f'the input "order" must be "{BY_SCORE}" or "{BY_RATING}", not', order])
    return by_rating


def choose_search(inputs: Inputs, kind: str) -> Chosen:
    """Chooses the search over the movies of `inputs`; raises `UserError` if `kind` cannot be used."""
    scoring = inputs.scoring
    return choose(kind, scoring.vectors, scoring.biases, lambda: SampleQueries.of(scoring, inputs.known))


def assemble(inputs: Inputs, search: Chosen, histories: str = INSIDE) -> ServingIndex:
    """Builds the serving module over the scoring SavedModel; `histories` is one of `HISTORIES`."""
    inside = histories == INSIDE
    names = inputs.names
    return ServingIndex(
        scoring=tf.saved_model.load(str(inputs.model / SAVED_MODEL)),
        movies=MovieTable(list(names.movie_ids), list(names.titles), names.years),
        histories=Histories(list(names.user_ids), inputs.packed) if inside else GivenHistories(),
        search=search,
        attributes=inputs.attributes,
        counts=inputs.counts,
        vectors=inputs.scoring.vectors,
        biases=inputs.scoring.biases,
        new=None if inputs.new is None else NewMovieRatings(inputs.new),
        profiles=inputs.profiles if inside else None,
    )


def save(index: ServingIndex, directory: Path, requests: list[Request]) -> dict[str, Signature]:
    """Writes `index` and its warm-up requests into `directory`; returns its signatures."""
    signatures = index.signatures()
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(index, str(directory), signatures=signatures, options=options)
    write_warmup(directory, requests, signatures)
    assets = directory / "assets"
    if not any(assets.iterdir()):
        assets.rmdir()  # object stores have no empty directories: so a copy of this index is equal to it
    return {name: Signature.of(function) for name, function in signatures.items()}
