"""The ratings of every user, packed into the index, and the encoding of users from them."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from components.export.arrays import GIVEN, PackedRatings
from components.export.manifest import ALL, TRAIN
from components.export.new_movies import NewMovieRatings
from components.progress import Progress
from components.train.chunks import owners
from components.train.scoring import RATINGS_AT_ONCE, ScoringModel
from components.vocabulary.interactions import user_chunks


class History(NamedTuple):
    """Ratings of a batch of n users, ragged: user i's are row_splits[i]:row_splits[i + 1]."""

    movies: tf.Tensor  # int32 [h], rows of the movie table
    ratings: tf.Tensor  # float32 [h]
    row_splits: tf.Tensor  # int64 [n + 1]
    held_out: tf.Tensor  # bool [h], true for a rating of the test split

    def rows(self) -> tf.Tensor:
        """The row of the batch that each rating belongs to, int64 [h]."""
        return tf.cast(owners(self.row_splits), tf.int64)

    def distinct(self, movies: int) -> "History":
        """Returns the last rating that each user gave each of the first `movies` of the movie table."""
        keys = self.rows() * movies + tf.cast(self.movies, tf.int64)
        places = tf.range(tf.size(keys))
        _, group = tf.unique(keys)
        last = tf.math.unsorted_segment_max(places, group, tf.size(keys))
        kept = tf.equal(tf.gather(last, group), places) & (self.movies < movies)
        counts = tf.concat([[0], tf.cumsum(tf.cast(kept, tf.int64))], axis=0)
        return History(
            movies=tf.boolean_mask(self.movies, kept),
            ratings=tf.boolean_mask(self.ratings, kept),
            row_splits=tf.gather(counts, self.row_splits),
            held_out=tf.zeros([0], tf.bool),
        )

    def unless(self, condition: tf.Tensor) -> "History":
        """Returns this history, emptied for the same users if `condition` (bool scalar) holds."""
        kept = tf.where(condition, tf.zeros_like(self.row_splits), self.row_splits)
        count = tf.where(condition, 0, tf.size(self.movies))
        return History(self.movies[:count], self.ratings[:count], kept, self.held_out[:count])


class Histories(tf.Module):  # type: ignore[misc]
    """Lookup of users and of their ratings."""

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

    def user_ids(self) -> tf.Tensor:
        """Every user of the index, string [users]."""
        return tf.identity(self._user_ids)

    def read(self, users: tf.Tensor, everything: tf.Tensor | bool) -> History:
        """Reads the ratings of `users` (int64 [n]); an unknown user, -1, has none.

        All ratings, or without `everything` those of the training and validation splits.
        """
        user = tf.maximum(users, 0)
        starts = tf.gather(self._offsets, user)
        held_out_starts = starts + tf.cast(tf.gather(self._known_counts, user), tf.int64)
        ends = tf.where(everything, tf.gather(self._offsets, user + 1), held_out_starts)
        ends = tf.where(users >= 0, ends, starts)
        positions = tf.ragged.range(starts, ends)
        levels = tf.cast(tf.gather(self._level_of, positions.values), tf.int32)
        return History(
            movies=tf.cast(tf.gather(self._movies, positions.values), tf.int32),
            ratings=tf.gather(self._levels, levels),
            row_splits=positions.row_splits,
            held_out=positions.values >= tf.gather(held_out_starts, positions.value_rowids()),
        )


class GivenHistories:
    """The ratings of users that each request brings by the inputs `GIVEN`, where the index holds none.

    A user without any counts as unknown.
    """

    specs: ClassVar[dict[str, tf.TensorSpec]] = {
        name: tf.TensorSpec([None], dtype)
        for name, dtype in zip(GIVEN, (tf.int32, tf.float32, tf.int64), strict=True)
    }

    def __init__(self) -> None:
        self._given: Sequence[tf.Tensor] = ()

    def take(self, given: Sequence[tf.Tensor]) -> None:
        """Sets the inputs, in the order of `specs`, of the signature that is being traced."""
        self._given = given

    def users(self, user_id: tf.Tensor) -> tf.Tensor:
        """Does what `Histories.users` does, for all users of the request, or each of them once."""
        places = tf.cast(tf.unique(user_id).idx, tf.int64)
        row_splits = self._given[2]
        return tf.where(tf.gather(row_splits, places + 1) > tf.gather(row_splits, places), places, -1)

    def read(self, users: tf.Tensor, everything: tf.Tensor | bool) -> History:
        """Does what `Histories.read` does; the request brings all ratings, or those of training."""
        movies, ratings, row_splits = self._given
        user = tf.maximum(users, 0)
        starts = tf.gather(row_splits, user)
        places = tf.ragged.range(starts, tf.where(users >= 0, tf.gather(row_splits, user + 1), starts))
        return History(
            movies=tf.gather(movies, places.values),
            ratings=tf.gather(ratings, places.values),
            row_splits=places.row_splits,
            held_out=tf.zeros_like(places.values, tf.bool),
        )


def is_all(ratings: tf.Tensor) -> tf.Tensor:
    """Returns bool [], true for "all" and false for "train"; else raises InvalidArgumentError."""
    everything = tf.equal(ratings, ALL)
    known = tf.logical_or(everything, tf.equal(ratings, TRAIN))
    tf.debugging.Assert(known, [f'the input "ratings" must be "{ALL}" or "{TRAIN}", not', ratings])
    return everything


class EncodedUsers(NamedTuple):
    """The model's encoding of n users' histories."""

    query: tf.Tensor  # float32 [n, d]
    # Predicts the ratings, float32 [n, k], of the movies int32 [n, k] of each user; M stands for no movie.
    rate: Callable[[tf.Tensor], tf.Tensor]


class HistoryEncoder:
    """Encodes any history, by the signatures that every loaded scoring SavedModel has."""

    def __init__(self, scoring: Any, new: NewMovieRatings | None = None) -> None:
        """Args: `new`: rates movies that came after training."""
        self._scoring, self._new = scoring, new

    def encode(self, user_id: tf.Tensor, history: History) -> EncodedUsers:
        """Encodes the histories of the users `user_id` (string [n])."""

        def rate(movies: tf.Tensor) -> tf.Tensor:
            shape = tf.shape(movies)
            pair_row = tf.repeat(tf.range(shape[0]), shape[1])
            rating = self.rate(user_id, history, pair_row, tf.reshape(movies, [-1]))
            return tf.reshape(rating, shape)

        return EncodedUsers(self.query(user_id, history), rate)

    def query(self, user_id: tf.Tensor, history: History) -> tf.Tensor:
        """Returns the queries of the users `user_id`, float32 [n, d]."""
        query: tf.Tensor = self._scoring.signatures["query"](user_id=user_id, **_model_inputs(history))[
            "query"
        ]
        return query

    def rate(
        self, user_id: tf.Tensor, history: History, pair_row: tf.Tensor, pair_movie: tf.Tensor
    ) -> tf.Tensor:
        """Predicts ratings, float32 [p], of pairs of a row of the batch and a movie; ignores their own."""
        rate = self._scoring.signatures["rate"]
        pairs = {"pair_row": pair_row, "pair_movie": pair_movie}
        ratings = rate(user_id=user_id, **_model_inputs(history), **pairs)["rating"]
        if self._new is None:
            return ratings
        read = _model_inputs(history.distinct(self._new.first))
        profile = self._scoring.signatures["profile"](user_id=user_id, **read)
        return self._new.rate(tf.gather(profile["taste"], pair_row), pair_movie, ratings)


class PrecomputedEncoder(tf.Module):  # type: ignore[misc]
    """Encodes histories of the index by the signature of the serving encoder, and stores the encodings.

    It takes fewer operations than `HistoryEncoder` and gives the same values. Only movies that are not in the
    history may be rated.
    """

    def __init__(
        self,
        scoring: Any,
        histories: Histories | GivenHistories,
        new: NewMovieRatings | None = None,
        profiles: np.ndarray | None = None,
    ) -> None:
        """Keeps the encodings.

        Args:
          scoring: the loaded scoring SavedModel, with the signatures `profile` and `rating_candidates`.
          histories: those that are encoded.
          new: rates movies that came after training.
          profiles: what `encode_all` returns for stored histories; None computes each when asked.
        """
        super().__init__(name="precomputed_encoder")
        self._scoring, self._histories, self._new = scoring, histories, new
        self._stored: tf.Variable | None = None
        self._table = scoring.signatures["rating_candidates"]
        outputs = scoring.signatures["profile"].structured_outputs
        self._widths = [outputs[name].shape[1] for name in ("query", "taste")]
        if profiles is not None:
            self._stored = tf.Variable(profiles, trainable=False, name="profiles")

    def encode(self, users: tf.Tensor, everything: tf.Tensor) -> EncodedUsers:
        """Encodes what `Histories.read` returns for `users` (int64 [n])."""
        if self._stored is None:
            encodings = self._compute(users, everything)
        else:
            encodings = _if(everything, lambda: self._look_up(users), lambda: self._compute(users, False))
        query, user_factors = tf.split(encodings, self._widths, axis=1)

        def rate(movies: tf.Tensor) -> tf.Tensor:
            table = self._table()
            rows = tf.minimum(movies, tf.shape(table["bias"])[0] - 1)
            products = tf.matmul(tf.gather(table["vector"], rows), user_factors[..., tf.newaxis])
            rating = products[..., 0] + tf.gather(table["bias"], rows)
            rating = tf.clip_by_value(rating, *tf.unstack(table["bounds"]))
            return (
                rating if self._new is None else self._new.rate(user_factors[:, tf.newaxis], movies, rating)
            )

        return EncodedUsers(query, rate)

    def _look_up(self, users: tf.Tensor) -> tf.Tensor:
        assert self._stored is not None
        return tf.gather(self._stored, tf.where(users >= 0, users, self._stored.shape[0] - 1))

    def _compute(self, users: tf.Tensor, everything: tf.Tensor | bool) -> tf.Tensor:
        """The query and the user factors, side by side."""
        history = self._histories.read(users, everything)
        no_ids = tf.fill(tf.shape(users), "")
        answer = self._scoring.signatures["profile"](user_id=no_ids, **_model_inputs(history))
        return tf.concat([answer["query"], answer["taste"]], axis=1)


# The encodings of all users are stored if they hold no more numbers than this: a quarter of a gigabyte.
_MAX_STORED_NUMBERS = 1 << 26

# Users to a call when the encodings are computed.
_BATCH = 256


def encode_all(scoring: ScoringModel, packed: PackedRatings) -> np.ndarray | None:
    """Returns the query and the user factors of each user, by all ratings, float32 [users + 1, d + K].

    The last row is that of an unknown user. None if there would be too many numbers, or the model lacks the
    signatures `profile` and `rating_candidates`.
    """
    profile = scoring.signature("profile")
    if profile is None:
        return None
    widths = [profile.structured_outputs[name].shape[1] for name in ("query", "taste")]
    users = np.append(np.arange(len(packed.known_counts)), -1)
    if len(users) * sum(widths) > _MAX_STORED_NUMBERS:
        return None
    encodings = np.empty((len(users), sum(widths)), np.float32)
    counts = np.append(np.diff(packed.offsets), 0)
    with Progress("serving encoder", total=len(users), unit="users") as progress:
        for part in user_chunks(counts, _BATCH, RATINGS_AT_ONCE):
            history = packed.read(users[part], everything=True)
            inputs = _model_inputs(History(*map(tf.constant, history)))
            answer = profile(user_id=tf.fill([len(users[part])], ""), **inputs)
            encodings[part] = np.concatenate([answer["query"], answer["taste"]], axis=1)
            progress.advance(len(users[part]))
    return encodings


def _if(condition: tf.Tensor, true: Callable[[], tf.Tensor], false: Callable[[], tf.Tensor]) -> tf.Tensor:
    """`tf.cond` without the other branch where `condition` is constant."""
    known = tf.get_static_value(condition)
    if known is None:
        return tf.cond(condition, true, false)
    return true() if known else false()


def _model_inputs(history: History) -> dict[str, tf.Tensor]:
    return {
        "history_movie": history.movies,
        "history_rating": history.ratings,
        "history_row_splits": history.row_splits,
    }
