"""What is read of a user who is asked about movies that the user has not rated: the short way of a server.

`query` and `rate` take histories in any state, and leave a pair's own rating out. A server's histories are in
order, and it recommends what is not in them. Then all that the towers and the rating head read are sums over
a user's movies, and a rating is the product of two vectors: half of the operations, and half of the time.
"""

from typing import NamedTuple

import tensorflow as tf

from components.train.chunks import LENGTH
from components.train.frozen import FrozenTowers
from components.train.ragged import owners
from components.train.rating_head import Movies, RatingQuery
from components.train.tables import gather


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
