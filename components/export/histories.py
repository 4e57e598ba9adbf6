"""Every user's ratings inside the index, packed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.train.ragged import owners
from components.vocabulary.interactions import UserRatings

# The two values of the input `ratings`.
ALL, TRAIN = "all", "train"


class History(NamedTuple):
    """Ratings of a batch of n users, ragged: user i's are row_splits[i]:row_splits[i + 1]."""

    movies: tf.Tensor  # int32 [h], rows of the catalogue
    ratings: tf.Tensor  # float32 [h]
    row_splits: tf.Tensor  # int64 [n + 1]
    held_out: tf.Tensor  # bool [h], true for a rating of the test split

    def rows(self) -> tf.Tensor:
        """The row of the batch that each rating belongs to, int64 [h]."""
        return tf.cast(owners(self.row_splits), tf.int64)

    def unless(self, condition: tf.Tensor) -> "History":
        """This history, or for the same users an empty one if `condition` (bool scalar) holds."""
        kept = tf.where(condition, tf.zeros_like(self.row_splits), self.row_splits)
        count = tf.where(condition, 0, tf.size(self.movies))
        return History(self.movies[:count], self.ratings[:count], kept, self.held_out[:count])


@dataclass(frozen=True)
class PackedRatings:
    """Ratings grouped by user, each user's known ones (training and validation) before the held-out ones."""

    offsets: np.ndarray  # int64 [users + 1]
    known_counts: np.ndarray  # int32 [users]
    movies: np.ndarray  # the smallest integer that holds a row of the catalogue, [ratings]
    levels: np.ndarray  # float32, the distinct values that a rating takes
    level_of: np.ndarray  # the smallest integer that holds a position in `levels`, [ratings]


def pack(known: UserRatings, held_out: UserRatings, movies: int) -> PackedRatings:
    """Joins two sets of ratings of the same users; `movies` is the size of the catalogue.

    A rating takes three bytes where the catalogue has fewer than 65,536 movies and ratings take fewer than
    256 values: the Netflix data set's 17.3 million lie in 52 MB.
    """
    is_held_out = np.repeat(
        np.tile([False, True], len(known.counts)), np.column_stack([known.counts, held_out.counts]).ravel()
    )
    levels = np.union1d(known.ratings, held_out.ratings)
    packed_movies = np.empty(len(is_held_out), _smallest_integer(movies))
    level_of = np.empty(len(is_held_out), _smallest_integer(len(levels)))
    for places, part in ((~is_held_out, known), (is_held_out, held_out)):
        packed_movies[places] = part.movies
        level_of[places] = np.searchsorted(levels, part.ratings)
    return PackedRatings(
        offsets=known.offsets + held_out.offsets,
        known_counts=known.counts.astype(np.int32),
        movies=packed_movies,
        levels=levels,
        level_of=level_of,
    )


def _smallest_integer(count: int) -> type[np.integer]:
    if count <= 1 << 8:
        return np.uint8
    return np.uint16 if count <= 1 << 16 else np.int32


class Histories(tf.Module):  # type: ignore[misc]
    """Looks up users and their ratings."""

    def __init__(self, user_ids: Sequence[str], packed: PackedRatings) -> None:
        super().__init__(name="histories")
        self._user_ids = tf.Variable(list(user_ids), trainable=False, name="user_id", dtype=tf.string)
        self._offsets = tf.Variable(packed.offsets, trainable=False, name="offsets", dtype=tf.int64)
        self._known_counts = tf.Variable(packed.known_counts, trainable=False, name="known_counts")
        self._movies = tf.Variable(packed.movies, trainable=False, name="movies")
        self._levels = tf.Variable(packed.levels, trainable=False, name="levels")
        self._level_of = tf.Variable(packed.level_of, trainable=False, name="level_of")
        users = tf.range(len(user_ids), dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(list(user_ids), tf.string), users)
        self._users = tf.lookup.StaticHashTable(initializer, default_value=-1)

    def users(self, user_id: tf.Tensor) -> tf.Tensor:
        """Positions of the users, int64 of the shape of `user_id` (string); -1 for an unknown one."""
        return self._users.lookup(user_id)

    @property
    def count(self) -> int:
        """How many users there are."""
        return int(self._user_ids.shape[0])

    def user_ids(self) -> tf.Tensor:
        """Every user of the index, string [users]."""
        return tf.identity(self._user_ids)

    def read(self, users: tf.Tensor, everything: tf.Tensor | bool) -> History:
        """The ratings of `users` (int64 [n]); an unknown user, -1, has none.

        All of them, or without `everything` those that were known before the test split was looked at.
        """
        user = tf.maximum(users, 0)
        starts = tf.gather(self._offsets, user)
        held_out_starts = starts + tf.cast(tf.gather(self._known_counts, user), tf.int64)
        ends = tf.where(everything, tf.gather(self._offsets, user + 1), held_out_starts)
        ends = tf.where(users >= 0, ends, starts)
        places = tf.ragged.range(starts, ends)
        levels = tf.cast(tf.gather(self._level_of, places.values), tf.int32)
        return History(
            movies=tf.cast(tf.gather(self._movies, places.values), tf.int32),
            ratings=tf.gather(self._levels, levels),
            row_splits=places.row_splits,
            held_out=places.values >= tf.gather(held_out_starts, places.value_rowids()),
        )


def means_all(ratings: tf.Tensor) -> tf.Tensor:
    """Whether the input `ratings` is "all", bool []; if it is not "train" either, an InvalidArgumentError."""
    everything = tf.equal(ratings, ALL)
    known = tf.logical_or(everything, tf.equal(ratings, TRAIN))
    tf.debugging.Assert(known, [f'the input "ratings" must be "{ALL}" or "{TRAIN}", not', ratings])
    return everything
