"""Layout of ragged ratings as chunks of one length, which the model computes with."""

from typing import NamedTuple

import tensorflow as tf

# Ratings in a chunk. A user's last chunk is half empty on average, so longer ones waste more.
CHUNK_LENGTH = 64


class Chunks(NamedTuple):
    """Places of the entries of a ragged batch whose rows are cut into chunks of `CHUNK_LENGTH`."""

    row: tf.Tensor  # int32 [c], the row of the batch that each chunk belongs to, ascending
    slot: tf.Tensor  # int32 [t], the place of each entry in a flattened [c, CHUNK_LENGTH] tensor
    present: tf.Tensor  # float32 [c, CHUNK_LENGTH], 1 where a slot holds an entry

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Lays [t] values out as [c, CHUNK_LENGTH]; empty slots hold 0."""
        size = tf.shape(self.row)[0] * CHUNK_LENGTH
        return tf.reshape(tf.scatter_nd(self.slot[:, tf.newaxis], values, [size]), [-1, CHUNK_LENGTH])

    def collect(self, values: tf.Tensor) -> tf.Tensor:
        """Inverts `spread`: [c, CHUNK_LENGTH] values to [t]."""
        return tf.gather(tf.reshape(values, [-1]), self.slot)


def cut_into_chunks(row_splits: tf.Tensor) -> Chunks:
    """Cuts rows into chunks; row i has the entries `row_splits[i]` to `row_splits[i + 1]`.

    `row_splits` is int [n + 1]. Rows may be empty: they have no chunk.
    """
    row_splits = tf.cast(row_splits, tf.int32)
    lengths = row_splits[1:] - row_splits[:-1]
    chunks = (lengths + CHUNK_LENGTH - 1) // CHUNK_LENGTH
    row = tf.repeat(tf.range(tf.size(lengths)), chunks)
    shift = tf.cumsum(chunks, exclusive=True) * CHUNK_LENGTH - row_splits[:-1]
    slot = tf.range(row_splits[-1]) + tf.repeat(shift, lengths)
    ones = tf.ones_like(slot, tf.float32)
    present = tf.scatter_nd(slot[:, tf.newaxis], ones, [tf.size(row) * CHUNK_LENGTH])
    return Chunks(row, slot, tf.reshape(present, [-1, CHUNK_LENGTH]))


class ChunkedRatings(NamedTuple):
    """Ratings of n users in chunks of L (see `Chunks`), which the model reads or is asked to predict."""

    chunks: Chunks  # the layout; c chunks
    users: tf.Tensor  # int32 [], n
    movies: tf.Tensor  # int32 [c, L], rows of the embedding tables; 0 in empty slots
    ratings: tf.Tensor  # float32 [c, L], centred and scaled (see `RatedCatalogue`); 0 in empty slots
    visible: tf.Tensor  # float32 [c, L], 1 where the rating may be read, 0 where hidden or the slot is empty

    @property
    def counts(self) -> tf.Tensor:
        """Visible ratings of each user, float32 [n]."""
        return self.sum_by_user(tf.reduce_sum(self.visible, axis=1))

    def sum_by_user(self, values: tf.Tensor) -> tf.Tensor:
        """Adds up the values [c, ...] of each user's chunks: [n, ...]."""
        return tf.math.unsorted_segment_sum(values, self.chunks.row, self.users)

    @property
    def owners(self) -> tf.Tensor:
        """The user who each slot's rating is of, int32 [c, L], ascending; `users` where none is visible."""
        return tf.where(self.visible > 0, self.chunks.row[:, tf.newaxis], self.users)

    def matrix(self, values: tf.Tensor, movies: int) -> tf.Tensor:
        """Lays the values [c, L] out as a matrix [n, movies] with 0 for movies without a value."""
        places = self.chunks.row[:, tf.newaxis] * movies + self.movies
        flat = tf.reshape(values, [-1]), tf.reshape(places, [-1])
        return tf.reshape(tf.math.unsorted_segment_sum(*flat, self.users * movies), [self.users, movies])

    def sum_weighted(self, values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Adds up values [c, L, K] times weights [c, L] of each user: [n, K]."""
        return self.sum_by_user(tf.squeeze(tf.matmul(weights[:, tf.newaxis], values), axis=1))

    def with_visible(self, visible: tf.Tensor) -> "ChunkedRatings":
        """Returns the same ratings with `visible` [c, L]."""
        return self._replace(visible=visible * self.chunks.present)


# The arguments of `chunk_ratings`.
RAGGED = tuple(tf.TensorSpec([None], kind) for kind in (tf.int32, tf.float32, tf.int64))


def chunk_ratings(movies: tf.Tensor, ratings: tf.Tensor, row_splits: tf.Tensor) -> ChunkedRatings:
    """Lays ragged ratings out in chunks, all of them visible.

    `movies` is int32 [t], `ratings` float32 [t], centred and scaled, `row_splits` int [n + 1].
    """
    chunks = cut_into_chunks(row_splits)
    return ChunkedRatings(
        chunks=chunks,
        users=tf.size(row_splits) - 1,
        movies=chunks.spread(movies),
        ratings=chunks.spread(ratings),
        visible=chunks.present,
    )


def owners(row_splits: tf.Tensor) -> tf.Tensor:
    """Returns the row that each entry of a ragged tensor belongs to, int32 [entries].

    Few operations; `tf.ragged.row_splits_to_segment_ids` has twenty. `row_splits` is int [n + 1]; row i has
    the entries `row_splits[i]` to `row_splits[i + 1]`.
    """
    entries = tf.range(row_splits[-1], dtype=row_splits.dtype)
    return tf.searchsorted(row_splits[1:], entries, side="right")


def chunk_visible(
    movies: tf.Tensor, ratings: tf.Tensor, row_splits: tf.Tensor, nothing: tf.Tensor
) -> ChunkedRatings:
    """Lays ragged ratings out in chunks, in fewer operations than `chunk_ratings`.

    Ratings of the movie `nothing` are not visible and are read as 0. It fills empty slots too. No entry can
    be spread or collected: the chunks' `slot` is left out.
    """
    starts = tf.ragged.range(row_splits[:-1], row_splits[1:], CHUNK_LENGTH)
    splits = tf.concat([starts.values, row_splits[-1:]], axis=0)

    def spread(values: tf.Tensor, empty: tf.Tensor | float) -> tf.Tensor:
        ragged = tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        return ragged.to_tensor(empty, shape=[None, CHUNK_LENGTH])

    in_chunks = spread(movies, nothing)
    visible = tf.cast(in_chunks < nothing, tf.float32)
    return ChunkedRatings(
        chunks=Chunks(owners(starts.row_splits), slot=None, present=visible),
        users=tf.size(row_splits) - 1,
        movies=in_chunks,
        ratings=spread(ratings, 0.0) * visible,
        visible=visible,
    )
