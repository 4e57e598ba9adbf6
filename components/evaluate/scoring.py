"""Scores held-out pairs with a model or a baseline, whatever catalogue it was trained with."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from components.evaluate.held_out import Batch, HeldOut
from components.evaluate.ranking import Answers, Columns, Predictions, best_unseen, ranks
from components.machine import available_cpus
from components.progress import Progress

if TYPE_CHECKING:
    from components.train.scoring import ScoringModel

Array = npt.NDArray[Any]

# The scores of one batch, users times movies float32 values: small enough to stay in a processor's cache.
_BATCH_BYTES = 16 << 20
_BATCH_USERS = 1024
# Batches are scored in threads; numpy and TensorFlow let go of the interpreter meanwhile.
_WORKERS = available_cpus()


class Scorer(Protocol):
    """A model or a baseline."""

    def predict(self, batch: Batch) -> Predictions:
        """Answers for a batch; called from several threads at once."""


def score(scorer: Scorer, held_out: HeldOut, title: str) -> Answers:
    """Asks `scorer` about every held-out pair, in batches of users that fit into memory."""
    batches: list[Future[Answers]] = []
    size = max(1, min(_BATCH_USERS, _BATCH_BYTES // (4 * max(len(held_out.movie_ids), 1))))
    with (
        # OpenBLAS's threads wait for each other by spinning: beside threads of ours, or other processes,
        # they tripled the processor time of an evaluation.
        threadpool_limits(limits=1, user_api="blas"),
        ThreadPoolExecutor(_WORKERS) as pool,
        Progress(f"score {title}", total=len(held_out.users), unit="users") as progress,
    ):
        for batch in held_out.batches(size):
            batches.append(pool.submit(_score_batch, scorer, batch, held_out.rating_scale))
            if len(batches) > _WORKERS:
                batches[-_WORKERS - 1].result()  # one batch waits while the workers are at work
            progress.advance(len(batch.users))
    return _concatenate([future.result() for future in batches])


def _score_batch(scorer: Scorer, batch: Batch, rating_scale: tuple[float, float]) -> Answers:
    predictions = scorer.predict(batch)
    scores, ratings, columns = predictions
    answers = Answers(non_finite_users=_count_non_finite(predictions, batch))
    if scores is not None:
        every, unseen = ranks(scores, batch.pairs, batch.history, columns)
        lists = best_unseen(scores, batch.history, batch.listed, columns)
        answers = replace(answers, ranks=every, unseen_ranks=unseen, lists=lists)
    if ratings is not None:
        answers = replace(answers, ratings=np.clip(ratings, *rating_scale))
    return answers


def _concatenate(batches: list[Answers]) -> Answers:
    """Puts the answers of consecutive batches together."""
    columns: dict[str, Any] = {}
    for name in ("ranks", "unseen_ranks", "ratings", "lists"):
        if arrays := [array for one in batches if (array := getattr(one, name)) is not None]:
            columns[name] = np.concatenate(arrays)
    return Answers(**columns, non_finite_users=sum(one.non_finite_users for one in batches))


def _count_non_finite(predictions: Predictions, batch: Batch) -> int:
    """Counts the users of the batch with an answer that is no finite number."""
    bad = np.zeros(len(batch.users), np.bool_)
    if predictions.retrieval is not None:
        # The maximum is NaN if one score is; -inf stands for "not to be recommended".
        shared = predictions.retrieval.strides[0] == 0
        best = predictions.retrieval[: 1 if shared else None].max(axis=1)
        bad |= np.isnan(best) | np.isposinf(best)
    if predictions.ratings is not None:
        bad[batch.pairs.owners[~np.isfinite(predictions.ratings)]] = True
    return int(np.count_nonzero(bad))


class ModelScorer:
    """Scores this data's catalogue with a model that may know another one; movies are matched by id.

    A movie that the model does not know scores -inf, so a pair with it is a miss, and is rated as whatever
    the model answers for an unknown movie. A movie that only the model knows is no candidate.
    """

    def __init__(self, model: "ScoringModel", movie_ids: Array) -> None:
        """Prepares `model` for the catalogue `movie_ids`, strings [M]."""
        row_of = {str(movie): row for row, movie in enumerate(model.movie_ids)}
        self._model = model
        self._rows = np.array([row_of.get(str(movie), -1) for movie in movie_ids], np.int32)
        known = self._rows >= 0
        # The bias is one component more of a movie's vector, met by a 1 in the query.
        vectors = np.zeros((len(movie_ids), model.vectors.shape[1] + 1), np.float32)
        vectors[:, -1] = -np.inf
        vectors[known, :-1] = model.vectors[self._rows[known]]
        vectors[known, -1] = model.biases[self._rows[known]]
        self._columns, representatives = Columns.alike(vectors)
        self._vectors = vectors[representatives]

    def predict(self, batch: Batch) -> Predictions:
        history = replace(batch.history, movies=self._rows[batch.history.movies])
        queries = self._model.query(batch.user_ids, history)
        with np.errstate(invalid="ignore", over="ignore"):  # the gate finds what is not finite
            scores = np.column_stack([queries, np.ones_like(queries[:, :1])]) @ self._vectors.T
        stars = self._model.rate(batch.user_ids, history, batch.pairs.owners, self._rows[batch.pairs.movies])
        return Predictions(scores, stars, self._columns)
