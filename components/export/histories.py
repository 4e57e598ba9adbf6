"""Every user's ratings inside the index, packed, and how the index encodes a batch of users from them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.progress import Progress
from components.train.serving_encoder import owners
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


# Profiles are kept if they hold no more numbers than this: a quarter of a gigabyte.
_MOST_NUMBERS = 1 << 26

# Users that are read at once when the profiles are worked out.
_BATCH = 256


class Reading(NamedTuple):
    """What the model makes of n users' histories.

    Attributes:
      query: float32 [n, d].
      stars: of the movies int32 [n, k] of each user, M where there is none: float32 [n, k].
    """

    query: tf.Tensor
    stars: Callable[[tf.Tensor], tf.Tensor]


class Reader:
    """Reads any history, by the signatures that every scoring model has."""

    def __init__(self, scoring: Any) -> None:
        """Args: `scoring`: the loaded scoring SavedModel."""
        self._scoring = scoring

    def read(self, user_id: tf.Tensor, history: History) -> Reading:
        """Reads the histories of the users `user_id` (string [n])."""
        query = self._scoring.signatures["query"](user_id=user_id, **_read_by_the_model(history))["query"]

        def stars(movies: tf.Tensor) -> tf.Tensor:
            shape = tf.shape(movies)
            pair_row = tf.repeat(tf.range(shape[0]), shape[1])
            rating = self.rate(user_id, history, pair_row, tf.reshape(movies, [-1]))
            return tf.reshape(rating, shape)

        return Reading(query, stars)

    def rate(
        self, user_id: tf.Tensor, history: History, pair_row: tf.Tensor, pair_movie: tf.Tensor
    ) -> tf.Tensor:
        """Stars, float32 [p], of pairs of a row of the batch and a movie, whose own rating is not read."""
        rate = self._scoring.signatures["rate"]
        pairs = {"pair_row": pair_row, "pair_movie": pair_movie}
        return rate(user_id=user_id, **_read_by_the_model(history), **pairs)["rating"]


class StoredReader:
    """Reads the histories that the index holds, by the signatures that every scoring model has."""

    def __init__(self, scoring: Any, histories: Histories) -> None:
        """Args: `scoring`: the loaded scoring SavedModel."""
        self._reader, self._histories = Reader(scoring), histories

    def read(self, user_id: tf.Tensor, users: tf.Tensor, everything: tf.Tensor) -> Reading:
        """Reads what `Histories.read` gives for `users` (int64 [n]), whose ids are `user_id` (string [n])."""
        return self._reader.read(user_id, self._histories.read(users, everything))


class ProfileReader(tf.Module):  # type: ignore[misc]
    """Reads the same by the signature `profile`, in fewer operations, and keeps what it makes of all ratings.

    A profile is worked out once for each user, unless they are too many. Only movies that are not in the
    history may be rated.
    """

    def __init__(self, scoring: Any, histories: Histories) -> None:
        """Args: `scoring`: the loaded scoring SavedModel, with the signatures `OPTIONAL_SIGNATURES`."""
        super().__init__(name="profile_reader")
        self._scoring, self._histories = scoring, histories
        self._profiles: tf.Variable | None = None
        self._table = scoring.signatures["rating_candidates"]
        outputs = scoring.signatures["profile"].structured_outputs
        self._widths = [outputs[name].shape[1] for name in ("query", "taste")]
        if (histories.count + 1) * sum(self._widths) <= _MOST_NUMBERS:
            self._profiles = tf.Variable(self._every_profile(), trainable=False, name="profiles")

    def read(self, user_id: tf.Tensor, users: tf.Tensor, everything: tf.Tensor) -> Reading:
        """As `StoredReader.read`."""
        if self._profiles is None:
            profiles = self._profiles_of(users, everything)
        else:
            profiles = _if(everything, lambda: self._kept(users), lambda: self._profiles_of(users, False))
        query, taste = tf.split(profiles, self._widths, axis=1)

        def stars(movies: tf.Tensor) -> tf.Tensor:
            table = self._table()
            rows = tf.minimum(movies, tf.shape(table["bias"])[0] - 1)
            likings = tf.matmul(tf.gather(table["vector"], rows), taste[..., tf.newaxis])
            rating = likings[..., 0] + tf.gather(table["bias"], rows)
            return tf.clip_by_value(rating, *tf.unstack(table["bounds"]))

        return Reading(query, stars)

    def _kept(self, users: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._profiles, tf.where(users >= 0, users, self._histories.count))

    def _profiles_of(self, users: tf.Tensor, everything: tf.Tensor | bool) -> tf.Tensor:
        """Query and taste, side by side."""
        history = self._histories.read(users, everything)
        nameless = tf.fill(tf.shape(users), "")
        answer = self._scoring.signatures["profile"](user_id=nameless, **_read_by_the_model(history))
        return tf.concat([answer["query"], answer["taste"]], axis=1)

    def _every_profile(self) -> np.ndarray:
        """The profile of each user by all ratings, and at the end that of a stranger."""
        users = np.append(np.arange(self._histories.count), -1)
        read = tf.function(
            lambda some: self._profiles_of(some, True),
            input_signature=[tf.TensorSpec([None], tf.int64)],
            autograph=False,
        )
        with Progress("profiles", total=len(users), unit="users") as progress:
            profiles = np.empty((len(users), sum(self._widths)), np.float32)
            for start in range(0, len(users), _BATCH):
                some = users[start : start + _BATCH]
                profiles[start : start + _BATCH] = read(some)
                progress.advance(len(some))
        return profiles


def stored_reader(scoring: Any, histories: Histories) -> StoredReader | ProfileReader:
    """The faster one of those that the scoring model can answer."""
    kind = ProfileReader if "profile" in scoring.signatures else StoredReader
    return kind(scoring, histories)


def _if(condition: tf.Tensor, true: Callable[[], tf.Tensor], false: Callable[[], tf.Tensor]) -> tf.Tensor:
    """`tf.cond`, without a branch that is never taken."""
    known = tf.get_static_value(condition)
    if known is None:
        return tf.cond(condition, true, false)
    return true() if known else false()


def _read_by_the_model(history: History) -> dict[str, tf.Tensor]:
    return {
        "history_movie": history.movies,
        "history_rating": history.ratings,
        "history_row_splits": history.row_splits,
    }
