"""Both metrics on the validation rows, read from the training rows alone."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.train.catalogue import Ragged
from components.train.replicas import add_up, this_worker

Array = npt.NDArray[Any]

TOP_K = 100
# Users times movies whose scores are held at once.
_SCORES_AT_ONCE = 1 << 24


class Predictor(Protocol):
    """A model in training, over the rows of its own tables. `users`: user indices int64 [n]."""

    def scores(self, users: Array, history: Ragged) -> Array:
        """Retrieval scores, float32 [n, movies]."""

    def ratings(self, users: Array, history: Ragged, asked: Ragged) -> Array:
        """Predictions for the pairs `asked`, none of which is in `history`; float32 [p], model's scale."""


class Ratings(Protocol):
    """Ratings by user, in the model's rows and scale."""

    @property
    def counts(self) -> Array:
        """How many each user has, int64 [users]."""

    def rows(self, users: Array) -> Ragged:
        """Those of `users`: movies int32 [t], ratings float32 [t], row_splits int64 [n + 1]."""


class Metrics(NamedTuple):
    """RMSE in stars, and top-100 accuracy among the movies that the user has no training rating of.

    None where there are no validation rows.
    """

    rmse: float | None
    top_100_accuracy_unseen: float | None


@dataclass(frozen=True)
class Validation:
    """Validation ratings of a sample of users, and what may be read of these users.

    Attributes:
      known, held_out: training and validation ratings.
      users: int64 [n], the users looked at.
      movies: rows of the model's tables.
      scale: stars per unit of the model's ratings.
      bounds: the rating scale in the model's units.
    """

    known: Ratings
    held_out: Ratings
    users: Array
    movies: int
    scale: float
    bounds: tuple[float, float]

    def measure(self, model: Predictor) -> Metrics:
        """Asks `model` about every validation rating of the users.

        Each worker asks about a share of the users, and the sums are added up over all: that takes a worker's
        share of the time, and all of them get the same figures, to the last bit, to decide by.
        """
        if not len(self.users):
            return Metrics(None, None)
        number, workers = this_worker()
        squares, hits, total = add_up(self._sums(model, self.users[number::workers])).tolist()
        return Metrics((squares / total) ** 0.5 * self.scale, hits / total)

    def _sums(self, model: Predictor, asked_about: Array) -> Array:
        """Squared errors, hits and ratings of some users, float64 [3]."""
        squares, hits, total = 0.0, 0, 0
        size = max(1, min(256, _SCORES_AT_ONCE // self.movies))
        for start in range(0, len(asked_about), size):
            users = asked_about[start : start + size]
            history, asked = self.known.rows(users), self.held_out.rows(users)
            errors = np.clip(model.ratings(users, history, asked), *self.bounds) - np.clip(
                asked[1], *self.bounds
            )
            squares += float(np.sum(np.square(errors, dtype=np.float64)))
            hits += _hits(model.scores(users, history), history, asked)
            total += len(errors)
        return np.array([squares, hits, total], np.float64)


def _hits(scores: Array, history: Ragged, asked: Ragged) -> int:
    """How many of the movies `asked` are among the user's best; a tie counts against the model."""
    scores = np.array(scores)
    owners = np.repeat(np.arange(len(scores)), np.diff(history[2]))
    scores[owners, history[0]] = -np.inf
    if scores.shape[1] <= TOP_K:
        return len(asked[0])
    # A movie is a hit if at most TOP_K scores, its own among them, reach its own.
    bounds = np.partition(scores, -TOP_K - 1, axis=1)[:, -TOP_K - 1]
    rows = np.repeat(np.arange(len(scores)), np.diff(asked[2]))
    return int(np.count_nonzero(scores[rows, asked[0]] > bounds[rows]))


def validating_users(counts: Array, ratings: int, seed: int) -> Array:
    """Draws the users whose validation rows choose the weights, bool [users].

    Args:
      counts: validation rows of each user, int64 [users].
      ratings: as many users as have about so many rows together, or half of all rows if that is less.
    """
    order = np.random.default_rng(seed).permutation(np.flatnonzero(counts))
    enough = min(ratings, -(-int(counts.sum()) // 2))
    taken = np.cumsum(counts[order]) - counts[order] < enough
    validating = np.zeros(len(counts), np.bool_)
    validating[order[taken]] = True
    return validating
