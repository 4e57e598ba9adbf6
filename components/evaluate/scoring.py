"""What a scorer (a model or a baseline) says about the held-out pairs."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import Batch, HeldOut
from components.evaluate.ranking import ranks, unseen_ranks
from components.progress import Progress

Array = npt.NDArray[Any]

# The scores of one batch: users times movies float32 values.
_BATCH_BYTES = 128 << 20
_BATCH_USERS = 1024


class Predictions(NamedTuple):
    """A scorer's answers for a batch of n users with p pairs; None where it has no such answer.

    retrieval: float32 [n, M], the greater the rather to be recommended; -inf for a movie that it cannot
    recommend. ratings: float32 [p], in stars.
    """

    retrieval: Array | None
    ratings: Array | None


class Scorer(Protocol):
    """A model or a baseline."""

    def predict(self, batch: Batch) -> Predictions: ...


@dataclass(frozen=True)
class Scored:
    """What came of a scorer's answers for all held-out pairs.

    Attributes:
      ranks: int32 [p], every movie a candidate; None if the scorer does not rank.
      unseen_ranks: int32 [p], the user's known movies left out.
      ratings: float32 [p], predicted stars, clipped to the scale; None if the scorer does not rate.
      non_finite_users: how many users have an answer that is no finite number.
    """

    ranks: Array | None
    unseen_ranks: Array | None
    ratings: Array | None
    non_finite_users: int


def score(scorer: Scorer, held_out: HeldOut, title: str) -> Scored:
    """Asks `scorer` about every held-out pair, in batches of users that fit into memory."""
    parts, non_finite = [], 0
    size = max(1, min(_BATCH_USERS, _BATCH_BYTES // (4 * max(len(held_out.movie_ids), 1))))
    with Progress(f"score {title}", total=len(held_out.users), unit="users") as progress:
        for batch in held_out.batches(size):
            predictions = scorer.predict(batch)
            parts.append(_judge(predictions, batch))
            non_finite += int(np.count_nonzero(_has_non_finite(predictions, batch)))
            progress.advance(len(batch.users))
    if not parts:
        return Scored(None, None, None, 0)
    all_ranks, unseen, ratings = (_joined(list(column)) for column in zip(*parts, strict=True))
    if ratings is not None:
        ratings = np.clip(ratings, *held_out.rating_scale)
    return Scored(all_ranks, unseen, ratings, non_finite)


def _judge(predictions: Predictions, batch: Batch) -> tuple[Array | None, Array | None, Array | None]:
    scores, ratings = predictions
    if scores is None:
        return None, None, ratings
    all_ranks = ranks(scores, batch.movies, batch.row_splits)
    return all_ranks, unseen_ranks(all_ranks, scores, batch.movies, batch.row_splits, batch.history), ratings


def _has_non_finite(predictions: Predictions, batch: Batch) -> Array:
    """Which users of the batch have an answer that is no finite number, bool [n]."""
    bad = np.zeros(len(batch.users), np.bool_)
    if predictions.retrieval is not None:
        # The maximum is NaN if one score is; -inf stands for "not to be recommended".
        best = predictions.retrieval.max(axis=1)
        bad |= np.isnan(best) | np.isposinf(best)
    if predictions.ratings is not None:
        bad[batch.pair_rows[~np.isfinite(predictions.ratings)]] = True
    return bad


def _joined(column: list[Array | None]) -> Array | None:
    arrays = [part for part in column if part is not None]
    return np.concatenate(arrays) if arrays else None
