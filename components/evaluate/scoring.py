"""What a scorer (a model or a baseline) says about the held-out pairs."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.evaluate.blas import one_thread
from components.evaluate.held_out import Batch, HeldOut
from components.evaluate.lists import best_unseen
from components.evaluate.ranking import Columns, ranks
from components.progress import Progress

Array = npt.NDArray[Any]

# The scores of one batch, users times movies float32 values: small enough to stay in a processor's cache.
_BATCH_BYTES = 16 << 20
_BATCH_USERS = 1024
# Batches are scored in threads; numpy and TensorFlow let go of the interpreter meanwhile.
_WORKERS = len(os.sched_getaffinity(0))


class Predictions(NamedTuple):
    """A scorer's answers for a batch of n users with p pairs; None where it has no such answer.

    retrieval: float32 [n, C], the greater the rather to be recommended; -inf for a movie that it cannot
    recommend. ratings: float32 [p], in stars. columns: the column of each movie; None if each has its own.
    """

    retrieval: Array | None
    ratings: Array | None
    columns: Columns | None = None


class Scorer(Protocol):
    """A model or a baseline."""

    def predict(self, batch: Batch) -> Predictions:
        """Answers for a batch; called from several threads at once."""


@dataclass(frozen=True)
class Scored:
    """What came of a scorer's answers for all held-out pairs.

    Attributes:
      ranks: int32 [p], every movie a candidate; None if the scorer does not rank.
      unseen_ranks: int32 [p], the user's known movies left out.
      ratings: float32 [p], predicted stars, clipped to the scale; None if the scorer does not rate.
      lists: int32 [s, k], the best unseen movies of the users `HeldOut.listed`, -1 for none.
      non_finite_users: how many users have an answer that is no finite number.
    """

    ranks: Array | None
    unseen_ranks: Array | None
    ratings: Array | None
    lists: Array | None
    non_finite_users: int


def score(scorer: Scorer, held_out: HeldOut, title: str) -> Scored:
    """Asks `scorer` about every held-out pair, in batches of users that fit into memory."""
    judged: list[Future[_Judged]] = []
    size = max(1, min(_BATCH_USERS, _BATCH_BYTES // (4 * max(len(held_out.movie_ids), 1))))
    with (
        one_thread(),
        ThreadPoolExecutor(_WORKERS) as pool,
        Progress(f"score {title}", total=len(held_out.users), unit="users") as progress,
    ):
        for batch in held_out.batches(size):
            judged.append(pool.submit(_answered, scorer, batch))
            if len(judged) > _WORKERS:
                judged[-_WORKERS - 1].result()  # one batch waits while the workers are at work
            progress.advance(len(batch.users))
    return _joined([future.result() for future in judged], held_out)


class _Judged(NamedTuple):
    ranks: Array | None
    unseen_ranks: Array | None
    ratings: Array | None
    lists: Array | None
    non_finite_users: int


def _answered(scorer: Scorer, batch: Batch) -> _Judged:
    return _judge(scorer.predict(batch), batch)


def _judge(predictions: Predictions, batch: Batch) -> _Judged:
    scores, ratings, columns = predictions
    non_finite = int(np.count_nonzero(_has_non_finite(predictions, batch)))
    if scores is None:
        return _Judged(None, None, ratings, None, non_finite)
    all_ranks, unseen = ranks(scores, batch.movies, batch.row_splits, batch.history, columns)
    lists = best_unseen(scores, batch.history, batch.listed, columns)
    return _Judged(all_ranks, unseen, ratings, lists, non_finite)


def _has_non_finite(predictions: Predictions, batch: Batch) -> Array:
    """Which users of the batch have an answer that is no finite number, bool [n]."""
    bad = np.zeros(len(batch.users), np.bool_)
    if predictions.retrieval is not None:
        # The maximum is NaN if one score is; -inf stands for "not to be recommended".
        shared = predictions.retrieval.strides[0] == 0
        best = predictions.retrieval[: 1 if shared else None].max(axis=1)
        bad |= np.isnan(best) | np.isposinf(best)
    if predictions.ratings is not None:
        bad[batch.pair_rows[~np.isfinite(predictions.ratings)]] = True
    return bad


def _joined(parts: list[_Judged], held_out: HeldOut) -> Scored:
    ratings = _concatenated([part.ratings for part in parts])
    return Scored(
        ranks=_concatenated([part.ranks for part in parts]),
        unseen_ranks=_concatenated([part.unseen_ranks for part in parts]),
        ratings=None if ratings is None else np.clip(ratings, *held_out.rating_scale),
        lists=_concatenated([part.lists for part in parts]),
        non_finite_users=sum(part.non_finite_users for part in parts),
    )


def _concatenated(parts: list[Array | None]) -> Array | None:
    arrays = [part for part in parts if part is not None]
    return np.concatenate(arrays) if arrays else None
