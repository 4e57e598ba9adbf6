"""How the index asks the scoring model about a batch of users."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.export.histories import Histories, History
from components.progress import Progress

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
