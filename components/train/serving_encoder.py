"""Serving encoder: precomputed tables of movies, and users encoded without their history for the server."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import tensorflow as tf

from components.train.model import TwoTower
from components.train.rating_head import Movies, RatingQuery
from components.train.towers import LENGTH, History, QueryTower, gather, mean, pooled
from components.train.training_data import Catalogue


def candidates(model: TwoTower, catalogue: Catalogue) -> tuple[Any, Any]:
    """Vectors float32 [M, dimension + 1] and biases float32 [M] of the whole catalogue, for ranking.

    The last component is the learned deviation from popularity; a query's is 1, or 0 where nothing is known
    of the user. Movies without ratings have the least deviation and nothing else.
    """
    known = model.table()
    deviation, table = (known.biases - known.popularity).numpy(), known.vectors.numpy()
    rated = catalogue.rows >= 0
    vectors = np.zeros((len(rated), table.shape[1] + 1), np.float32)
    vectors[rated, :-1] = table
    vectors[rated, -1] = deviation
    vectors[~rated, -1] = min(0.0, float(deviation.min()))
    biases = np.zeros(len(rated), np.float32)
    biases[rated] = known.popularity.numpy()
    return vectors, biases


def rating_candidates(model: TwoTower, catalogue: Catalogue) -> tuple[Any, Any]:
    """Vectors float32 [M, K] and biases float32 [M] of the whole catalogue, for stars.

    What `RatingHead.predict` gives for a pair that is not visible, and `predict_unknown`.
    """
    head, rated = model.rating_head, catalogue.rows >= 0
    table = head.table(model.table().vectors)
    vectors = np.zeros((len(rated), table.features.shape[1]), np.float32)
    vectors[rated] = table.noise * table.features
    vectors[~rated, -1] = head.user_deviation
    biases = np.full(len(rated), np.mean(table.biases), np.float32)
    biases[rated] = table.biases
    return catalogue.scale * vectors, catalogue.mean + catalogue.scale * biases


@dataclass(frozen=True)
class FrozenTowers:
    """The query towers of all members, with the tables that they read side by side: one sum serves all.

    Attributes:
      vectors, opinions: float32 [rated movies + 1, members * dimension]; the last row is zeros.
    """

    towers: list[QueryTower]
    vectors: tf.Variable
    opinions: tf.Variable

    @classmethod
    def of(cls, model: TwoTower) -> Self:
        tables = [tower.table().vectors for tower in model.candidates]
        opinions = [tower.opinions for tower in model.queries]
        return cls(
            towers=list(model.queries),
            vectors=frozen(tf.concat(tables, axis=1), "rated_vectors"),
            opinions=frozen(tf.concat(opinions, axis=1), "opinions"),
        )

    def query(self, read: History) -> tf.Tensor:
        """The mean of the members' queries, float32 [n, dimension]."""
        return self.finish(pooled(read, self.vectors, self.opinions), read.counts)

    def finish(self, sums: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """The same of the sums [n, members * dimension] over `counts` [n] ratings of each user."""
        parts = tf.split(sums, len(self.towers), axis=1)
        return mean(tower.finish(part, counts) for tower, part in zip(self.towers, parts, strict=True))


def frozen(table: tf.Tensor, name: str) -> tf.Variable:
    """A table [movies, ...] with one row more, of zeros."""
    padded = tf.pad(table, [[0, 1], *([0, 0] for _ in table.shape[1:])])
    return tf.Variable(padded, trainable=False, name=name)


def frozen_movies(table: Movies) -> Movies:
    """The rating head's tables, each `frozen`."""
    noise = tf.Variable(table.noise, trainable=False, name="noise")
    parts = {name: part for name, part in table._asdict().items() if name != "noise"}
    return Movies(**{name: frozen(part, name) for name, part in parts.items()}, noise=noise)


def owners(row_splits: tf.Tensor) -> tf.Tensor:
    """The row that each entry of a ragged tensor belongs to, int32 [entries].

    Few operations, of which a small request's time is made; `tf.ragged.row_splits_to_segment_ids` has twenty.

    Args:
      row_splits: int [n + 1]; row i has the entries `row_splits[i]` to `row_splits[i + 1]`.
    """
    entries = tf.range(row_splits[-1], dtype=row_splits.dtype)
    return tf.searchsorted(row_splits[1:], entries, side="right")


class Profile(NamedTuple):
    """What is read of n users.

    Attributes:
      query: float32 [n, dimension], by which movies are ranked.
      taste: float32 [n, K], the weights of the rating head.
      counts: float32 [n], how many ratings were read.
    """

    query: tf.Tensor
    taste: tf.Tensor
    counts: tf.Tensor


def profile(
    towers: FrozenTowers,
    movies: Movies,
    rows: tf.Tensor,
    ratings: tf.Tensor,
    row_splits: tf.Tensor,
) -> Profile:
    """Reads n histories, none of which has a movie twice.

    Args:
      towers: the query towers and their tables.
      movies: the rating head's table, of as many movies. The last row of each table is zeros.
      rows: int32 [h], the movies' rows in these tables; the last one for a movie that is not to be read.
      ratings: float32 [h], centred and scaled.
      row_splits: int64 [n + 1].
    """
    owner, users, nothing = owners(row_splits), tf.size(row_splits) - 1, tf.shape(towers.vectors)[0] - 1

    def total(table: tf.Tensor) -> tf.Tensor:
        """Sums of the rows of `table` [movies, K], of each user: [n, K]."""
        return tf.raw_ops.SparseSegmentSumWithNumSegments(
            data=table, indices=rows, segment_ids=owner, num_segments=users
        )

    read = _in_chunks(rows, ratings, row_splits, nothing)
    counts = read.sum_by_user(tf.reduce_sum(read.visible, axis=1))
    means = tf.math.divide_no_nan(read.sum_by_user(tf.reduce_sum(read.ratings, axis=1)), counts)
    above_mean = (read.ratings - tf.gather(means, read.row)[:, tf.newaxis]) * read.visible
    opinions = gather(towers.opinions, read.rows)
    features = gather(movies.features, read.rows)
    residuals = (read.ratings - tf.gather(movies.biases, read.rows)) / movies.noise
    information = read.sum_by_user(tf.matmul(features, features, transpose_a=True))
    known = RatingQuery(
        covariance=tf.linalg.inv(tf.linalg.diag(1.0 + total(movies.variances)) + information),
        evidence=read.sum_weighted(features, residuals),
        prior=total(movies.prior),
        counts=counts,
    )
    sums = total(towers.vectors) + read.sum_weighted(opinions, above_mean)
    return Profile(towers.finish(sums, counts), known.taste(), counts)


class _Chunked(NamedTuple):
    """Ratings of `users` users in chunks of `LENGTH`, as in `History`, which takes more operations to make.

    Attributes:
      row: int32 [c], the user that each chunk belongs to.
      rows: int32 [c, LENGTH]; the row of zeros in empty slots.
      ratings: float32 [c, LENGTH]; 0 in empty slots and of movies that are not to be read.
      visible: float32 [c, LENGTH], 1 for the others.
    """

    users: tf.Tensor
    row: tf.Tensor
    rows: tf.Tensor
    ratings: tf.Tensor
    visible: tf.Tensor

    def sum_by_user(self, values: tf.Tensor) -> tf.Tensor:
        """Adds up the values [c, ...] of each user's chunks: [n, ...]."""
        return tf.math.unsorted_segment_sum(values, self.row, self.users)

    def sum_weighted(self, values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Adds up values [c, LENGTH, K] times weights [c, LENGTH] of each user: [n, K]."""
        return self.sum_by_user(tf.squeeze(tf.matmul(weights[:, tf.newaxis], values), axis=1))


def _in_chunks(rows: tf.Tensor, ratings: tf.Tensor, row_splits: tf.Tensor, nothing: tf.Tensor) -> _Chunked:
    starts = tf.ragged.range(row_splits[:-1], row_splits[1:], LENGTH)
    splits = tf.concat([starts.values, row_splits[-1:]], axis=0)

    def spread(values: tf.Tensor, empty: tf.Tensor | float) -> tf.Tensor:
        ragged = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        return ragged.to_tensor(empty, shape=[None, LENGTH])

    in_chunks = spread(rows, nothing)
    visible = tf.cast(in_chunks < nothing, tf.float32)
    return _Chunked(
        users=tf.size(row_splits) - 1,
        row=owners(starts.row_splits),
        rows=in_chunks,
        ratings=spread(ratings, 0.0) * visible,
        visible=visible,
    )
