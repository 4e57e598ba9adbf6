"""The scoring SavedModel: what evaluation and serving read of a model, without its code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.train.model import TwoTower
from components.train.rating_head import Movies, RatingHead
from components.train.serving_encoder import (
    FrozenTowers,
    candidates,
    frozen_movies,
    profile,
    rating_candidates,
)
from components.train.towers import History, chunked, history
from components.train.training_data import Catalogue

HISTORY_INPUTS = [
    tf.TensorSpec([None], tf.string, "user_id"),
    tf.TensorSpec([None], tf.int32, "history_movie"),
    tf.TensorSpec([None], tf.float32, "history_rating"),
    tf.TensorSpec([None], tf.int64, "history_row_splits"),
]
PAIR_INPUTS = [tf.TensorSpec([None], tf.int32, "pair_row"), tf.TensorSpec([None], tf.int32, "pair_movie")]

# What every scoring SavedModel answers, and what it may answer beside, so that serving is faster.
SIGNATURES = ("query", "candidates", "rate")
OPTIONAL_SIGNATURES = ("profile", "rating_candidates")

Outputs = dict[str, tf.Tensor]


@dataclass(frozen=True)
class _Layers:
    """Keeps Keras layers from being saved as such: the signatures and their variables are enough.

    Attributes:
      movies: the rating head's tables of all movies, worked out once like those of the towers: a request
        gathers a few rows of them. The last row, of zeros, is that of movies nothing is known of.
    """

    towers: FrozenTowers
    rating_head: RatingHead
    movies: Movies


class ScoringModule(tf.Module):  # type: ignore[misc]
    """The signatures of the default model. Movies are rows of the catalogue, ratings are stars."""

    def __init__(
        self, model: TwoTower, catalogue: Catalogue, movie_ids: Any, rating_scale: tuple[float, float]
    ) -> None:
        super().__init__(name="scoring")
        self._layers = _Layers(
            towers=FrozenTowers.of(model),
            rating_head=model.rating_head,
            movies=frozen_movies(model.rating_head.table(model.table().vectors)),
        )
        self._mean, self._scale, self._bounds = catalogue.mean, catalogue.scale, rating_scale
        self._tables = int(catalogue.rows.max()) + 1
        # A constant, so that TensorFlow reads a history once when `query` and `rate` are asked together.
        self._rows = tf.constant(catalogue.rows)
        self._rows_or_last = tf.constant(np.where(catalogue.rows < 0, self._tables, catalogue.rows))
        self._movie_ids = tf.Variable(list(map(str, movie_ids)), trainable=False, name="movie_ids")
        vectors, biases = candidates(model, catalogue)
        self._vectors = tf.Variable(vectors, trainable=False, name="vectors")
        self._biases = tf.Variable(biases, trainable=False, name="biases")
        vectors, biases = rating_candidates(model, catalogue)
        self._rating_vectors = tf.Variable(vectors, trainable=False, name="rating_vectors")
        self._rating_biases = tf.Variable(biases, trainable=False, name="rating_biases")
        # What is not read when serving is not saved.
        self._read_when_serving = [variable for f in signatures(self).values() for variable in f.variables]

    @tf.function(input_signature=HISTORY_INPUTS, autograph=False)  # type: ignore[untyped-decorator]
    def query(
        self,
        user_id: tf.Tensor,
        history_movie: tf.Tensor,
        history_rating: tf.Tensor,
        history_row_splits: tf.Tensor,
    ) -> Outputs:
        """Query vectors [n, dimension + 1]; zeros, hence popularity's order, where nothing can be read."""
        read, _ = self._read(history_movie, history_rating, history_row_splits)
        return {"query": _extended(self._layers.towers.query(read), read.counts)}

    @tf.function(input_signature=[], autograph=False)  # type: ignore[untyped-decorator]
    def candidates(self) -> Outputs:
        """Every movie's id, vector [M, dimension + 1] and bias [M]."""
        return {
            "movie_id": self._movie_ids.read_value(),
            "vector": self._vectors.read_value(),
            "bias": self._biases.read_value(),
        }

    @tf.function(input_signature=[*HISTORY_INPUTS, *PAIR_INPUTS], autograph=False)  # type: ignore[untyped-decorator]
    def rate(
        self,
        user_id: tf.Tensor,
        history_movie: tf.Tensor,
        history_rating: tf.Tensor,
        history_row_splits: tf.Tensor,
        pair_row: tf.Tensor,
        pair_movie: tf.Tensor,
    ) -> Outputs:
        """Stars for each pair [p], its own rating left out of the history."""
        read, keys = self._read(history_movie, history_rating, history_row_splits)
        head, table = self._layers.rating_head, self._layers.movies
        query = head.read(read, table.gather(read.movies))
        order = tf.argsort(pair_row, stable=True)
        rows = tf.gather(pair_row, order)
        movies = self._table_rows(tf.gather(pair_movie, order))
        asked = self._asked(read, keys, rows, movies)
        predicted = asked.chunks.collect(head.predict(query, asked, table.gather(asked.movies)))
        unknown = tf.gather(head.predict_unknown(query), rows)
        predicted = tf.where(movies >= 0, predicted, unknown)
        stars = tf.clip_by_value(self._mean + self._scale * predicted, *self._bounds)
        return {"rating": tf.scatter_nd(order[:, tf.newaxis], stars, tf.shape(pair_row))}

    @tf.function(input_signature=HISTORY_INPUTS, autograph=False)  # type: ignore[untyped-decorator]
    def profile(
        self,
        user_id: tf.Tensor,
        history_movie: tf.Tensor,
        history_rating: tf.Tensor,
        history_row_splits: tf.Tensor,
    ) -> Outputs:
        """The query of `query`, and the taste [n, K] for `rating_candidates`.

        Only of histories that name no movie twice, and none outside the catalogue.
        """
        layers = self._layers
        read = profile(
            layers.towers,
            layers.movies,
            tf.gather(self._rows_or_last, history_movie),
            (history_rating - self._mean) / self._scale,
            history_row_splits,
        )
        return {"query": _extended(read.query, read.counts), "taste": read.taste}

    @tf.function(input_signature=[], autograph=False)  # type: ignore[untyped-decorator]
    def rating_candidates(self) -> Outputs:
        """Every movie's vector [M, K] and bias [M]: taste . vector + bias, clipped to `bounds` [2], are the
        stars that `rate` gives for a movie outside the history."""
        return {
            "vector": self._rating_vectors.read_value(),
            "bias": self._rating_biases.read_value(),
            "bounds": tf.constant(self._bounds, tf.float32),
        }

    def _read(self, movie: tf.Tensor, rating: tf.Tensor, row_splits: tf.Tensor) -> tuple[History, tf.Tensor]:
        """The history without what the model does not know, and its keys (row, movie), int64 ascending.

        Of several ratings of one movie the last one is read.
        """
        users = tf.size(row_splits) - 1
        rows = tf.repeat(tf.range(users), row_splits[1:] - row_splits[:-1])
        movies = self._table_rows(movie)
        known = movies >= 0
        keys = tf.boolean_mask(self._key(rows, movies), known)
        order = tf.argsort(keys, stable=True)
        keys = tf.gather(keys, order)
        last = tf.concat([keys[1:] != keys[:-1], tf.fill([tf.minimum(tf.size(keys), 1)], True)], axis=0)
        keys = tf.boolean_mask(keys, last)
        stars = tf.boolean_mask(tf.gather(tf.boolean_mask(rating, known), order), last)
        starts = tf.range(users + 1, dtype=tf.int64) * self._tables
        splits = tf.searchsorted(keys, starts)
        movies = tf.cast(keys % self._tables, tf.int32)
        return history(movies, (stars - self._mean) / self._scale, splits), keys

    def _asked(self, read: History, keys: tf.Tensor, rows: tf.Tensor, movies: tf.Tensor) -> History:
        """Pairs, ascending by row, as chunks; `visible` and `ratings` where the pair is in the history."""
        wanted = self._key(rows, movies)
        places = tf.searchsorted(keys, wanted)
        padded = tf.concat([keys, [-1]], axis=0)
        own = (tf.gather(padded, places) == wanted) & (movies >= 0)
        ratings = tf.concat([read.chunks.collect(read.ratings), [0.0]], axis=0)
        chunks = chunked(tf.searchsorted(rows, tf.range(read.users + 1)))
        return History(
            chunks=chunks,
            users=read.users,
            movies=chunks.spread(tf.maximum(movies, 0)),
            ratings=chunks.spread(tf.where(own, tf.gather(ratings, places), 0.0)),
            visible=chunks.spread(tf.cast(own, tf.float32)),
        )

    def _table_rows(self, movie: tf.Tensor) -> tf.Tensor:
        """Rows of the model's tables, -1 for movies outside the catalogue or without ratings."""
        size = tf.shape(self._rows)[0]
        inside = (movie >= 0) & (movie < size)
        return tf.where(inside, tf.gather(self._rows, tf.clip_by_value(movie, 0, size - 1)), -1)

    def _key(self, rows: tf.Tensor, movies: tf.Tensor) -> tf.Tensor:
        return tf.cast(rows, tf.int64) * self._tables + tf.cast(movies, tf.int64)


def _extended(queries: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Queries with the component that meets the last of `candidates`; zeros where nothing could be read."""
    extended = tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0)
    return tf.where(counts[:, tf.newaxis] > 0, extended, 0.0)


def signatures(module: tf.Module) -> dict[str, Any]:
    """The concrete functions of a module's methods `SIGNATURES`, and `OPTIONAL_SIGNATURES` if it has them."""
    optional = [name for name in OPTIONAL_SIGNATURES if hasattr(module, name)]
    return {name: getattr(module, name).get_concrete_function() for name in (*SIGNATURES, *optional)}


def save(module: tf.Module, directory: Path) -> None:
    """Writes a module with the methods of `signatures` as a SavedModel."""
    tf.saved_model.save(module, str(directory), signatures=signatures(module))
    assets = directory / "assets"
    if assets.is_dir() and not any(assets.iterdir()):
        assets.rmdir()  # object stores know no empty directories
