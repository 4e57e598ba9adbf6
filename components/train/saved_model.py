"""Scoring SavedModel of the default model: its signatures, and the tables that they read."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from components.train.chunks import ChunkedRatings, chunk_ratings, chunk_visible, cut_into_chunks, owners
from components.train.content import Descriptions, SampleUsers, place_unrated
from components.train.item_item import ItemItem
from components.train.rating_head import ItemFactors, NoRatings, RatingHead, UserPosterior
from components.train.sampled_head import SampledHead
from components.train.scoring import FEATURE_INPUTS, HISTORY_INPUTS, PAIR_INPUTS, Outputs
from components.train.tables import gather, sum_rows
from components.train.towers import Candidates, CandidateTower, QueryTower, mean, pool_history, pool_visible
from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import UserRatings


class ScoringModule(tf.Module):  # type: ignore[misc]
    """Signatures of the default model. Movies are rows of the catalogue, ratings are stars."""

    def __init__(
        self,
        towers: Sequence[tuple[QueryTower, CandidateTower]],
        rating_head: RatingHead | SampledHead | None,
        catalogue: RatedCatalogue,
        movie_ids: Any,
        rating_scale: tuple[float, float],
        item_item: ItemItem | None = None,
        described: Descriptions | None = None,
        sample: UserRatings | None = None,
    ) -> None:
        """Computes the tables.

        Args:
          towers: the pairs of the ensemble.
          rating_head: None of feedback without stars; then every rating is 0.
          item_item: of the rated movies; None leaves the path out.
          described: features of the movies, by which those without ratings are placed; None places none.
          sample: known ratings of some users, in stars, over the catalogue; needed with `described`.
        """
        super().__init__(name="scoring")
        table = Candidates.mean([candidates.table() for _, candidates in towers])
        self._stars: ServedRegression | SampledHead | NoRatings
        if rating_head is None:
            self._stars, rating_scale = NoRatings(table.vectors.shape[0]), (0.0, 0.0)
        elif isinstance(rating_head, RatingHead):
            self._stars = ServedRegression(rating_head, table.vectors)
        else:
            self._stars = rating_head
        if item_item:  # far shorter than the towers' vectors, whose cosines say which movies are alike
            squares = tf.reduce_mean(tf.reduce_sum(tf.square(table.vectors), axis=1))
            item_item = item_item.of_length(0.01 * float(squares))
        self._encoder = ServingEncoder(towers, self._stars, item_item)
        self._mean, self._scale, self._bounds = catalogue.mean, catalogue.scale, rating_scale
        self._tables = int(catalogue.rows.max()) + 1
        # A constant, so that TensorFlow reads a history once when `query` and `rate` are asked together.
        self._rows = tf.constant(catalogue.rows)
        self._rows_or_last = tf.constant(np.where(catalogue.rows < 0, self._tables, catalogue.rows))
        self._movie_ids = tf.Variable(list(map(str, movie_ids)), trainable=False, name="movie_ids")
        ranking, stars = ranking_table(table, catalogue, item_item), rating_table(self._stars, catalogue)
        self._content = None
        if described is not None and sample is not None:
            profile = self.profile(tf.fill([sample.users], ""), *sample.arrays)
            users = SampleUsers(profile["query"].numpy(), profile["taste"].numpy(), sample)
            self._content = place_unrated(described, catalogue.counts_of_all(), ranking, stars, users)
        self._vectors, self._biases = (
            tf.Variable(part, trainable=False, name=name)
            for part, name in zip(ranking, ("vectors", "biases"), strict=True)
        )
        self._rating_vectors, self._rating_biases = (
            tf.Variable(part, trainable=False, name=name)
            for part, name in zip(stars, ("rating_vectors", "rating_biases"), strict=True)
        )
        if self._content is not None:
            self.candidate_from_features = tf.function(
                self._content.__call__, input_signature=FEATURE_INPUTS, autograph=False
            )

    @tf.function(input_signature=HISTORY_INPUTS, autograph=False)  # type: ignore[untyped-decorator]
    def query(
        self,
        user_id: tf.Tensor,
        history_movie: tf.Tensor,
        history_rating: tf.Tensor,
        history_row_splits: tf.Tensor,
    ) -> Outputs:
        """Query vectors [n, width + 1]; zeros, hence popularity's order, for an empty history."""
        history, _ = self._history(history_movie, history_rating, history_row_splits)
        return {"query": _append_one(self._encoder.query(history), history.counts)}

    @tf.function(input_signature=[], autograph=False)  # type: ignore[untyped-decorator]
    def candidates(self) -> Outputs:
        """Every movie's id, vector [M, width + 1] and bias [M]."""
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
        history, keys = self._history(history_movie, history_rating, history_row_splits)
        order = tf.argsort(pair_row, stable=True)
        rows = tf.gather(pair_row, order)
        pair_movie = tf.gather(pair_movie, order)
        movies = self._table_rows(pair_movie)
        asked = self._asked(history, keys, rows, movies)
        predicted, unrated = self._stars.predict(history, asked)
        predicted = tf.where(movies >= 0, asked.chunks.collect(predicted), tf.gather(unrated, rows))
        stars = self._mean + self._scale * predicted
        if self._content is not None:
            inside = (pair_movie >= 0) & (pair_movie < tf.size(self._rows))
            places = tf.where((movies < 0) & inside)
            placed = [tf.gather_nd(values, places) for values in (rows, pair_movie)]
            stars = tf.tensor_scatter_nd_update(stars, places, self._rate_unrated(history, keys, *placed))
        stars = tf.clip_by_value(stars, *self._bounds)
        return {"rating": tf.scatter_nd(order[:, tf.newaxis], stars, tf.shape(pair_row))}

    def _rate_unrated(
        self, history: ChunkedRatings, keys: tf.Tensor, rows: tf.Tensor, movies: tf.Tensor
    ) -> tf.Tensor:
        """Returns stars, not clipped, for pairs of a row and a movie of the catalogue without ratings: [p].

        Only the rows in question are encoded, which are few.
        """
        users, row = tf.unique(rows)
        splits = tf.searchsorted(keys, tf.range(history.users + 1, dtype=tf.int64) * self._tables)
        entries = tf.ragged.range(tf.gather(splits, users), tf.gather(splits, users + 1))
        ratings = tf.gather(history.chunks.collect(history.ratings), entries.values)
        known = tf.cast(tf.gather(keys, entries.values) % self._tables, tf.int32)
        _, taste, _ = self._encoder.encode(known, ratings, tf.cast(entries.row_splits, tf.int64))
        # From a tensor: once rows were gathered from a variable itself, TensorFlow copies all of it whenever
        # it is read (copy on read), as `rating_candidates` does; of a million movies that takes 11 ms.
        vectors, biases = self._rating_vectors.read_value(), self._rating_biases.read_value()
        products = tf.gather(vectors, movies) * tf.gather(taste, row)
        return tf.reduce_sum(products, axis=1) + tf.gather(biases, movies)

    @tf.function(input_signature=HISTORY_INPUTS, autograph=False)  # type: ignore[untyped-decorator]
    def profile(
        self,
        user_id: tf.Tensor,
        history_movie: tf.Tensor,
        history_rating: tf.Tensor,
        history_row_splits: tf.Tensor,
    ) -> Outputs:
        """The query of `query`, and the user factors [n, K] for `rating_candidates`, by name "taste".

        Only of histories that name no movie twice, and none outside the catalogue.
        """
        queries, factors, counts = self._encoder.encode(
            tf.gather(self._rows_or_last, history_movie),
            (history_rating - self._mean) / self._scale,
            history_row_splits,
        )
        return {"query": _append_one(queries, counts), "taste": factors}

    @tf.function(input_signature=[], autograph=False)  # type: ignore[untyped-decorator]
    def rating_candidates(self) -> Outputs:
        """Every movie's vector [M, K] and bias [M] for stars, and their `bounds` [2].

        User factors . vector + bias, clipped, are what `rate` gives for a movie outside the history.
        """
        return {
            "vector": self._rating_vectors.read_value(),
            "bias": self._rating_biases.read_value(),
            "bounds": tf.constant(self._bounds, tf.float32),
        }

    def _history(
        self, movie: tf.Tensor, rating: tf.Tensor, row_splits: tf.Tensor
    ) -> tuple[ChunkedRatings, tf.Tensor]:
        """Returns the history without unknown movies, and its keys (row, movie), int64 ascending.

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
        return chunk_ratings(movies, (stars - self._mean) / self._scale, splits), keys

    def _asked(
        self, history: ChunkedRatings, keys: tf.Tensor, rows: tf.Tensor, movies: tf.Tensor
    ) -> ChunkedRatings:
        """Lays pairs, ascending by row, out in chunks; those of the history are visible, with a rating."""
        wanted = self._key(rows, movies)
        places = tf.searchsorted(keys, wanted)
        padded = tf.concat([keys, [-1]], axis=0)
        own = (tf.gather(padded, places) == wanted) & (movies >= 0)
        ratings = tf.concat([history.chunks.collect(history.ratings), [0.0]], axis=0)
        chunks = cut_into_chunks(tf.searchsorted(rows, tf.range(history.users + 1)))
        return ChunkedRatings(
            chunks=chunks,
            users=history.users,
            movies=chunks.spread(tf.maximum(movies, 0)),
            ratings=chunks.spread(tf.where(own, tf.gather(ratings, places), 0.0)),
            visible=chunks.spread(tf.cast(own, tf.float32)),
        )

    def _table_rows(self, movie: tf.Tensor) -> tf.Tensor:
        """Returns rows of the model's tables; -1 for movies outside the catalogue or without ratings."""
        size = tf.shape(self._rows)[0]
        inside = (movie >= 0) & (movie < size)
        return tf.where(inside, tf.gather(self._rows, tf.clip_by_value(movie, 0, size - 1)), -1)

    def _key(self, rows: tf.Tensor, movies: tf.Tensor) -> tf.Tensor:
        return tf.cast(rows, tf.int64) * self._tables + tf.cast(movies, tf.int64)


def _append_one(queries: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Adds the component 1 that meets the last one of `candidates`; all zeros for an empty history."""
    extended = tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0)
    return tf.where(counts[:, tf.newaxis] > 0, extended, 0.0)


def ranking_table(known: Candidates, catalogue: RatedCatalogue, path: ItemItem | None) -> tuple[Any, Any]:
    """Returns vectors float32 [M, width + 1] and biases float32 [M] of the whole catalogue, for ranking.

    The width is the towers' dimension plus the columns of the item-item path. The last component is 0, but
    for unrated movies that have features (`place_unrated`); a query's is 1, or 0 for an empty history.
    """
    beside = [] if path is None else [path.candidates]
    vectors = np.column_stack([known.vectors, *beside, np.zeros(len(known.biases), np.float32)])
    biases = known.biases.numpy()
    return _of_all_movies(catalogue, vectors), _of_all_movies(catalogue, biases)


def rating_table(
    stars: "ServedRegression | SampledHead | NoRatings", catalogue: RatedCatalogue
) -> tuple[Any, Any]:
    """Returns vectors float32 [M, R] and biases float32 [M] of the whole catalogue, for stars.

    They give what `stars` predicts for a pair that is not visible, and for a movie without ratings.
    """
    vectors, biases = stars.table()
    # The last row is that of a movie without ratings, whose row in the catalogue is -1.
    of_all, biases = vectors[catalogue.rows], biases[catalogue.rows]
    return catalogue.scale * of_all, catalogue.mean + catalogue.scale * biases


def _of_all_movies(catalogue: RatedCatalogue, rated: Any) -> Any:
    """Returns values [M, ...] of the whole catalogue: those of the rated movies, and zeros for the others."""
    return np.concatenate([rated, np.zeros_like(rated[:1])])[catalogue.rows]


class ServedRegression:
    """A trained `RatingHead` with export tables: what depends on movies alone, computed once.

    A plain class, as `ServingEncoder` is.
    """

    def __init__(self, head: RatingHead, vectors: tf.Tensor) -> None:
        """Args: `vectors`: the candidate towers', float32 [movies, dimension]."""
        factors = head.table(vectors)
        self._head, self._noise = head, tf.Variable(factors.noise, trainable=False, name="noise")
        tables = {name: table for name, table in factors._asdict().items() if name != "noise"}
        exported = {name: _export_table(table, name) for name, table in tables.items()}
        self._factors = ItemFactors(**exported, noise=self._noise)

    def predict(self, history: ChunkedRatings, asked: ChunkedRatings) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `RatingHead.predict` and `predict_unknown` do, given all of `history`."""
        posterior = self._head.posterior(history, self._factors.gather(history.movies))
        predicted = self._head.predict(posterior, asked, self._factors.gather(asked.movies))
        return predicted, self._head.predict_unknown(posterior)

    def taste(self, read: ChunkedRatings, total: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Returns the users' factors given all ratings, float32 [n, K].

        That is what `posterior` gives, in fewer operations. `total` adds up the rows of a table of each user.
        """
        factors, noise = self._factors, self._noise
        features = gather(factors.features, read.movies)
        residuals = (read.ratings - tf.gather(factors.biases, read.movies)) / noise
        information = read.sum_by_user(tf.matmul(features, features, transpose_a=True))
        posterior = UserPosterior(
            covariance=tf.linalg.inv(tf.linalg.diag(1.0 + total(factors.variances)) + information),
            evidence=read.sum_weighted(features, residuals),
            prior=total(factors.prior),
            counts=read.counts,
        )
        return posterior.user_factors()

    def table(self) -> tuple[Any, Any]:
        """Returns vectors [movies + 1, K] and biases [movies + 1]; the last are of an unrated movie."""
        features = (self._noise * self._factors.features).numpy()
        features[-1, -1] = self._head.user_deviation.numpy()
        biases = self._factors.biases.numpy()
        biases[-1] = np.mean(biases[:-1])
        return features, biases


class ServingEncoder:
    """Query towers with export tables: what depends on movies alone, computed once.

    A plain class, so that the Keras layers in it are not saved as such: the signatures are enough.
    """

    def __init__(
        self,
        towers: Sequence[tuple[QueryTower, CandidateTower]],
        stars: "ServedRegression | SampledHead | NoRatings",
        path: ItemItem | None,
    ) -> None:
        """Makes the export tables of trained layers; `stars` has as many movies."""
        vectors = tf.concat([candidates.table().vectors for _, candidates in towers], axis=1)
        rating_embeddings = tf.concat([queries.rating_embeddings for queries, _ in towers], axis=1)
        # The ensemble's tables stand side by side: one sum serves all query towers. They are float32
        # [rated movies + 1, ensemble_size * dimension]; the last row, of zeros, stands for any other movie.
        self.towers = [queries for queries, _ in towers]
        self.vectors = _export_table(vectors, "rated_vectors")
        self.rating_embeddings = _export_table(rating_embeddings, "rating_embeddings")
        self.path = None if path is None else _export_table(path.history, "item_item")
        self.stars = stars

    def query(self, history: ChunkedRatings) -> tf.Tensor:
        """Returns the mean of the ensemble's queries, float32 [n, width]; see `ranking_table`."""
        sums = pool_history(history, self.vectors, self.rating_embeddings)
        return self._finish(sums, partial(pool_visible, history), history.counts)

    def encode(self, rows: tf.Tensor, ratings: tf.Tensor, row_splits: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Reads n histories, none of which has a movie twice.

        Gives what `query` and the rating head's posterior give, in fewer operations, of which a small
        request's time is made.

        Args:
          rows: int32 [h], the movies' rows in the tables; the last row for a movie that is not to be read.
          ratings: float32 [h], centred and scaled.
          row_splits: int64 [n + 1].

        Returns:
          The queries, float32 [n, width], by which movies are ranked; the users' factors of the rating
          head, float32 [n, K]; and the number of ratings that were read, float32 [n].
        """
        owner, users, nothing = owners(row_splits), tf.size(row_splits) - 1, tf.shape(self.vectors)[0] - 1

        def total(table: tf.Tensor) -> tf.Tensor:
            """Adds up the rows of `table` [movies, K] of each user: [n, K]."""
            return sum_rows(table, rows, owner, users)

        read = chunk_visible(rows, ratings, row_splits, nothing)
        counts = read.counts
        means = tf.math.divide_no_nan(read.sum_by_user(tf.reduce_sum(read.ratings, axis=1)), counts)
        above_mean = (read.ratings - tf.gather(means, read.chunks.row)[:, tf.newaxis]) * read.visible
        rating_embeddings = tf.gather(self.rating_embeddings, read.movies)
        sums = total(self.vectors) + read.sum_weighted(rating_embeddings, above_mean)
        return self._finish(sums, total, counts), self.stars.taste(read, total), counts

    def _finish(self, sums: tf.Tensor, pool: Callable[..., tf.Tensor], counts: tf.Tensor) -> tf.Tensor:
        """Returns the mean query, followed by that of the item-item path.

        `sums` [n, ensemble_size * dimension] are of the towers, over `counts` [n] ratings; `pool` adds up the
        rows of a table [movies, K] of each user: [n, K].
        """
        by_tower = tf.split(sums, len(self.towers), axis=1)
        query = mean(tower.finish(part, counts) for tower, part in zip(self.towers, by_tower, strict=True))
        if self.path is None:
            return query
        return tf.concat([query, pool(self.path) * tf.math.rsqrt(counts + 1.0)[:, tf.newaxis]], axis=1)


def _export_table(table: tf.Tensor, name: str) -> tf.Variable:
    """Returns a table [movies, ...] with one row more, of zeros."""
    padded = tf.pad(table, [[0, 1], *([0, 0] for _ in table.shape[1:])])
    return tf.Variable(padded, trainable=False, name=name)
