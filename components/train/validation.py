"""Validation: metrics of a model in training on held-out rows of a sample of users."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.metrics import gate_k
from components.train.artifact import ValidationMetrics
from components.train.replicas import sum_over_workers, this_worker
from components.train.scoring import RATINGS_AT_ONCE
from components.vocabulary.interactions import UserRatings, user_chunks

Array = npt.NDArray[Any]

_LIST_K = 10
# Users times movies whose scores are held at once.
_SCORES_AT_ONCE = 1 << 26


class Predictor(NamedTuple):
    """Predictions of a model in training, over the rows of its own tables."""

    # (users int64 [n], history) -> retrieval scores, float32 [n, movies].
    scores: Callable[[Array, UserRatings], Any]
    # (users, history, asked) -> predictions of `asked`, none of which is in `history`, float32 [p], in the
    # model's scale; None of feedback without stars.
    ratings: Callable[[Array, UserRatings, UserRatings], Any] | None


@dataclass(frozen=True)
class ValidationSample:
    """Validation ratings of a sample of users, and the ratings of these users that may be read."""

    known: UserRatings  # training ratings of these n users, in the model's rows and scale
    held_out: UserRatings  # their validation ratings, likewise
    users: Array  # int64 [n], their indices
    movies: int  # rows of the model's tables
    scale: float  # stars per unit of the model's ratings
    bounds: tuple[float, float]  # the rating scale in the model's units
    rated: int = 0  # the movies that have ratings; 0 for all

    def measure(self, model: Predictor) -> ValidationMetrics:
        """Measures `model` on every validation rating of the users.

        Each worker measures a share of the users, and the sums are added up over all: that takes a worker's
        share of the time, and all of them decide by the same figures, to the last bit.
        """
        if not len(self.users):
            return ValidationMetrics(None, None)
        k = gate_k(self.rated or self.movies)  # as the gate
        none, sums = np.empty(0), np.zeros(6)  # squared errors, hits, recalls, NDCGs, ratings, users
        for users, history, asked in self.parts():
            errors = self._errors(model.ratings(users, history, asked), asked) if model.ratings else none
            ranks = _ranks(model.scores(users, history), history, asked, max(k, _LIST_K))
            squares, hits = float(np.square(errors, dtype=np.float64).sum()), float(np.sum(ranks < k))
            sums += np.array([squares, hits, *_list_sums(ranks, asked), len(ranks), len(users)])
        squares, hits, recalls, ndcgs, total, of_users = sum_over_workers(sums).tolist()
        rmse = (squares / total) ** 0.5 * self.scale if model.ratings else None
        return ValidationMetrics(rmse, hits / total, recalls / of_users, ndcgs / of_users)

    def parts(self) -> Iterator[tuple[Array, UserRatings, UserRatings]]:
        """Yields some users of this worker's share at a time, with what is known of them and held out."""
        number, workers = this_worker()
        own = np.arange(number, len(self.users), workers)
        most = max(1, min(256, _SCORES_AT_ONCE // self.movies))
        for part in user_chunks(self.known.counts[own], most, RATINGS_AT_ONCE):
            yield self.users[own[part]], self.known.select(own[part]), self.held_out.select(own[part])

    def _errors(self, predicted: Any, asked: UserRatings) -> Array:
        errors: Array = np.clip(np.asarray(predicted), *self.bounds) - np.clip(asked.ratings, *self.bounds)
        return errors


def _ranks(scores: Array, history: UserRatings, asked: UserRatings, most: int) -> Array:
    """Ranks the movies `asked` among those not in the history, int64 [p]; a tie counts against the model.

    The best has rank 0; what is not among the `most` best has rank `most`.
    """
    # Counted for each pair, and no copy made: where movies are many, to sort out the best of a row takes as
    # long as to count for dozens of pairs.
    scores = np.asarray(scores)
    own, seen = scores[asked.owners, asked.movies], scores[history.owners, history.movies]
    starts = history.offsets.tolist()
    ranks = [
        np.count_nonzero(scores[user] >= score)
        - np.count_nonzero(seen[slice(*starts[user : user + 2])] >= score)
        for user, score in zip(asked.owners.tolist(), own, strict=True)
    ]
    # The movie itself is one of those that were counted.
    return np.where(np.isfinite(own), np.minimum(np.array(ranks, np.int64) - 1, most), most)


def _list_sums(ranks: Array, asked: UserRatings) -> tuple[float, float]:
    """Sums recall and NDCG of the best `_LIST_K` over the users; each of them has a movie `asked`."""
    found = ranks < _LIST_K
    ideal = np.cumsum(1 / np.log2(np.arange(_LIST_K) + 2.0))[np.minimum(asked.counts, _LIST_K) - 1]
    recalls, gains = (
        np.bincount(asked.owners, weights=values, minlength=asked.users)
        for values in (found, found / np.log2(ranks + 2.0))
    )
    return float(np.sum(recalls / asked.counts)), float(np.sum(gains / ideal))


def draw_validation_users(counts: Array, ratings: int, seed: int, eligible: Array | None = None) -> Array:
    """Draws the users whose validation rows decide which weights are kept, bool [users].

    `counts` are each user's validation rows, int64 [users]. Those drawn have about `ratings` rows together,
    or half of all rows if that is less; of those `eligible`, bool [users], if there are as many.
    """
    drawn_from = counts if eligible is None else counts * eligible
    order = np.random.default_rng(seed).permutation(np.flatnonzero(drawn_from))
    enough = min(ratings, -(-int(counts.sum()) // 2))
    taken = np.cumsum(counts[order]) - counts[order] < enough
    validating = np.zeros(len(counts), np.bool_)
    validating[order[taken]] = True
    return validating
