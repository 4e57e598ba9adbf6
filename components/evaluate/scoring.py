"""Scores held-out pairs with a model or a baseline, whatever catalogue it was trained with."""

import ctypes
import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import Batch, HeldOut
from components.evaluate.ranking import Columns, best_unseen, ranks
from components.machine import available_cpus
from components.progress import Progress
from components.vocabulary.interactions import UserRatings

_MAPS = Path("/proc/self/maps")
_PREFIXES, _SUFFIXES = ("scipy_openblas", "openblas"), ("64_", "")


@contextmanager
def one_thread() -> Iterator[None]:
    """Lets every matrix product take one thread, for work that is itself done in threads.

    OpenBLAS's threads wait for each other by spinning: beside threads of ours, or other processes, they
    tripled the processor time of an evaluation. Where numpy uses another library nothing changes.
    """
    functions = _openblas()
    if functions is None:
        yield
        return
    get, put = functions
    before = get()
    put(1)
    try:
        yield
    finally:
        put(before)


def _openblas() -> tuple[Any, Any] | None:
    """The functions of the OpenBLAS that numpy has loaded: how many threads it takes, and to set that."""
    try:
        lines = _MAPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for path in sorted({line.split(maxsplit=5)[-1] for line in lines if "openblas" in line}):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                names = (f"{prefix}_{verb}_num_threads{suffix}" for verb in ("get", "set"))
                found = [getattr(library, name, None) for name in names]
                if all(found):
                    return found[0], found[1]
    return None


Array = npt.NDArray[Any]

# The scores of one batch, users times movies float32 values: small enough to stay in a processor's cache.
_BATCH_BYTES = 16 << 20
_BATCH_USERS = 1024
# Batches are scored in threads; numpy and TensorFlow let go of the interpreter meanwhile.
_WORKERS = available_cpus()


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
    all_ranks, unseen = ranks(scores, batch.pairs, batch.history, columns)
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
        bad[batch.pairs.owners[~np.isfinite(predictions.ratings)]] = True
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


class ScoringModel(Protocol):
    """What is read of a model: the signatures of the scoring SavedModel, and nothing of its code."""

    @property
    def movie_ids(self) -> Array:
        """Strings [M'], the model's own catalogue."""

    @property
    def vectors(self) -> Array:
        """float32 [M', d]."""

    @property
    def biases(self) -> Array:
        """float32 [M']."""

    def query(self, user_ids: Array, history: UserRatings) -> Array:
        """Query vectors, float32 [n, d]."""

    def rate(self, user_ids: Array, history: UserRatings, pair_row: Array, pair_movie: Array) -> Array:
        """Ratings in stars, float32 [p]."""


class ModelScorer:
    """Scores this data's catalogue with a model that may know another one; movies are matched by id.

    A movie that the model does not know scores -inf, so a pair with it is a miss, and is rated as whatever
    the model answers for an unknown movie. A movie that only the model knows is no candidate.
    """

    def __init__(self, model: ScoringModel, movie_ids: Array) -> None:
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

    @property
    def unknown_movies(self) -> int:
        """How many movies of the catalogue the model does not know."""
        return int(np.count_nonzero(self._rows < 0))

    def predict(self, batch: Batch) -> Predictions:
        history = dataclasses.replace(batch.history, movies=self._rows[batch.history.movies])
        queries = self._model.query(batch.user_ids, history)
        with np.errstate(invalid="ignore", over="ignore"):  # the gate finds what is not finite
            scores = np.column_stack([queries, np.ones_like(queries[:, :1])]) @ self._vectors.T
        stars = self._model.rate(batch.user_ids, history, batch.pairs.owners, self._rows[batch.pairs.movies])
        return Predictions(scores, stars, self._columns)
