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
from components.vocabulary.interactions import chunks

if TYPE_CHECKING:
    from components.train.scoring import ScoringModel

Array = npt.NDArray[Any]

# The scores of one batch, users times movies float32 values: small enough to stay in a processor's cache.
_BATCH_BYTES = 16 << 20
# Users of a batch: at most, and at least, since each batch reads the vectors of all movies.
_BATCH_USERS, _LEAST_BATCH_USERS = 1024, 32
# Users, spread evenly, who are asked for stars of the whole catalogue, and the most stars of all of them.
_STARRED_USERS = 1000
_MOST_STARS = 20_000_000
_PAIRS_AT_ONCE = 1 << 16
# Batches are scored in threads; numpy and TensorFlow let go of the interpreter meanwhile.
_WORKERS = available_cpus()


class Scorer(Protocol):
    """A model or a baseline."""

    def predict(self, batch: Batch) -> Predictions:
        """Answers for a batch; called from several threads at once."""


def score(scorer: Scorer, held_out: HeldOut, title: str) -> Answers:
    """Asks `scorer` about every held-out pair, in batches of users that fit into memory."""
    batches: list[Future[Answers]] = []
    size = _BATCH_BYTES // (4 * max(len(held_out.movie_ids), 1))
    size = int(np.clip(size, _LEAST_BATCH_USERS, _BATCH_USERS))
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
    answers = Answers(non_finite=_find_non_finite(predictions, batch))
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
    for name in Answers.__dataclass_fields__:
        if arrays := [array for one in batches if (array := getattr(one, name)) is not None]:
            columns[name] = np.concatenate(arrays)
    return Answers(**columns)


def _find_non_finite(predictions: Predictions, batch: Batch) -> Array:
    """Marks the users of the batch with an answer that is no finite number, bool [n]."""
    bad = np.zeros(len(batch.users), np.bool_)
    if predictions.retrieval is not None:
        # The maximum is NaN if one score is; -inf stands for "not to be recommended".
        shared = predictions.retrieval.strides[0] == 0
        best = predictions.retrieval[: 1 if shared else None].max(axis=1)
        bad |= np.isnan(best) | np.isposinf(best)
    if predictions.ratings is not None:
        bad[batch.pairs.owners[~np.isfinite(predictions.ratings)]] = True
    return bad


class ModelScorer:
    """Scores this data's catalogue with a model that may know another one; movies are matched by id.

    A movie that the model does not know scores -inf, so a pair with it is a miss, and is rated as whatever
    the model answers for an unknown movie. A movie that only the model knows is no candidate.
    """

    def __init__(self, model: "ScoringModel", movie_ids: Array, rates: bool = True) -> None:
        """Prepares `model` for the catalogue `movie_ids`, strings [M].

        `rates` is false for feedback without stars: the model is then asked for none.
        """
        self._rates = rates
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
        scores[~np.isfinite(queries).all(axis=1)] = np.nan
        if not self._rates:
            return Predictions(scores, None, self._columns)
        stars = self._model.rate(batch.user_ids, history, batch.pairs.owners, self._rows[batch.pairs.movies])
        return Predictions(scores, stars, self._columns)

    def find_non_finite(self, held_out: HeldOut, user_ids: Array) -> Array:
        """Marks users, of all those of the data, whose vector or stars are not finite, bool [U].

        Those with held-out pairs are left to `score`; but for users spread evenly, stars are asked for of the
        whole catalogue. `user_ids` are strings [U].
        """
        users = held_out.known.users
        movies = np.unique(self._rows)  # those that the model does not know are one
        others = np.setdiff1d(np.arange(users), held_out.users)
        starred: Array = np.linspace(
            0, users - 1, max(1, min(users, _STARRED_USERS, _MOST_STARS // len(movies)))
        )
        starred = np.unique(starred.astype(np.int64))[: None if self._rates else 0]
        bad = np.zeros(users, np.bool_)

        def ask(part: tuple[Array, Array]) -> Array:
            of, asked = part
            ids, known = user_ids[of], held_out.known.select(of)
            history = replace(known, movies=self._rows[known.movies])
            if not len(asked):
                return np.asarray(~np.isfinite(self._model.query(ids, history)).all(axis=1))
            rows = np.repeat(np.arange(len(of)), len(asked))
            stars = self._model.rate(ids, history, rows, np.tile(asked, len(of)))
            return np.asarray(~np.isfinite(stars).reshape(len(of), -1).all(axis=1))

        at_once = max(1, _PAIRS_AT_ONCE // len(movies))
        parts = [(others[part], movies[:0]) for part in chunks(len(others), _BATCH_USERS)]
        parts += [
            (starred[part], movies[asked])
            for part in chunks(len(starred), at_once)
            for asked in chunks(len(movies), _PAIRS_AT_ONCE)
        ]
        with (
            ThreadPoolExecutor(_WORKERS) as pool,
            Progress("look for what is not finite", total=len(parts), unit="parts") as progress,
        ):
            # Several parts may be of the same users, so no thread writes what it finds.
            for (of, _), found in zip(parts, pool.map(ask, parts), strict=True):
                bad[of] |= found
                progress.advance()
        return bad


def count_non_finite_movies(model: "ScoringModel") -> int:
    """Counts the movies of a model with a vector or a bias that is not finite; a bias may be -inf."""
    biases = np.isfinite(model.biases) | np.isneginf(model.biases)
    return int(np.count_nonzero(~(np.isfinite(model.vectors).all(axis=1) & biases)))
