"""Which search an index uses, exact or approximate, and how that was decided."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import UserError
from components.export.kinds import AUTO, BRUTE_FORCE, SCANN
from components.export.top_k import FEWEST_MOVIES, BiasedBruteForce, ScannSearch, require_scann
from components.progress import log
from components.vocabulary.interactions import UserRatings

# What ScaNN must find of the best 100 movies, on average.
LEAST_RECALL = 0.99

_K = 100
_QUERIES = 200
# Shares of the leaves that are tried in turn, until enough is found.
_SHARES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)

Scores = tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True)
class Questions:
    """Queries of real users, each with the movies that must not be found.

    Attributes:
      queries: float32 [n, d].
      history: movies int32 [h], ratings float32 [h] and row_splits int64 [n + 1].
    """

    queries: npt.NDArray[np.float32]
    history: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]

    @classmethod
    def of(cls, scoring: Any, known: UserRatings) -> "Questions":
        """Of up to 200 users, drawn at random from those with known ratings."""
        users = np.flatnonzero(known.counts)
        drawn = np.random.default_rng(0).choice(users, min(_QUERIES, len(users)), replace=False)
        history = known.rows(drawn)
        return cls(scoring.query([""] * len(drawn), history), history)

    def each(self) -> list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        """A query, and the rows and movies that it excludes, for each user."""
        movies, _, splits = self.history
        parts = [movies[start:end] for start, end in itertools.pairwise(splits)]
        return [
            (
                tf.constant(self.queries[row : row + 1]),
                tf.zeros(len(own), tf.int64),
                tf.constant(own.astype(np.int32)),
            )
            for row, own in enumerate(parts)
        ]


@dataclass(frozen=True)
class Chosen:
    """The search of an index.

    Attributes:
      kind: "brute-force" or "scann".
      best: finds the best movies, as `BiasedBruteForce.best`.
      parts: what holds the search's variables.
      why: the reason, as a sentence.
      measured: recall and latencies; empty if nothing was measured.
    """

    kind: str
    best: Callable[..., Scores]
    parts: list[Any]
    why: str
    measured: dict[str, float]

    def record(self) -> dict[str, Any]:
        """What the manifest says."""
        return {"search": self.kind, "search_reason": self.why, "search_measured": self.measured}


def choose(asked: str, vectors: np.ndarray, biases: np.ndarray, questions: Callable[[], Questions]) -> Chosen:
    """The search of the kind `asked`; of "auto", ScaNN where it is faster and finds nearly all.

    Args:
      vectors: float32 [M, d], and biases: float32 [M].
      questions: gives what is measured with.

    Raises:
      UserError: if ScaNN is asked for and cannot be used.
    """
    exact = BiasedBruteForce().index_with_bias(vectors, biases)

    def exactly(why: str, measured: dict[str, float] | None = None) -> Chosen:
        return Chosen(BRUTE_FORCE, exact.best, exact.variables, why, measured or {})

    if asked == BRUTE_FORCE:
        return exactly("asked for")
    if hindrance := _hindrance(asked, len(vectors)):
        log(f"the index is of the kind brute-force: {hindrance}")
        return exactly(hindrance)
    log("partitioning the movies for ScaNN")
    approximate = ScannSearch(exact, vectors, biases)
    measured = _measure(exact, approximate, questions())
    log(
        f"ScaNN finds {measured['recall_at_100']:.2%} in {measured['scann_p50_ms']:.2f} ms, "
        f"brute force all in {measured['brute_force_p50_ms']:.2f} ms"
    )
    if asked == AUTO and (objection := _objection(measured)):
        return exactly(objection, measured)
    why = "asked for" if asked == SCANN else "measured faster, and finds nearly all"
    return Chosen(SCANN, approximate.best, [*exact.variables, approximate], why, measured)


def _hindrance(asked: str, movies: int) -> str:
    """Why ScaNN cannot be used, "" if it can; a `UserError` where nothing else will do."""
    if movies < FEWEST_MOVIES:
        why = f"ScaNN wants {FEWEST_MOVIES:,} movies or more, and there are {movies:,}"
        if asked == SCANN:
            raise UserError(f"{why}; take --index brute-force")
        return why
    try:
        require_scann()
    except UserError:
        if asked == SCANN:
            raise
        return "ScaNN is not installed"
    return ""


def _objection(measured: dict[str, float]) -> str:
    if measured["recall_at_100"] < LEAST_RECALL:
        return f"ScaNN finds less than {LEAST_RECALL:.0%} of the best {_K} movies"
    if measured["scann_p50_ms"] >= measured["brute_force_p50_ms"]:
        return "ScaNN is not faster on this catalogue"
    return ""


def _measure(exact: BiasedBruteForce, approximate: Any, questions: Questions) -> dict[str, float]:
    """Takes as few leaves as find enough, and measures both searches one query at a time, in turn."""
    asked = questions.each()
    slow, fast = _function(exact.best), _function(approximate.best)
    truth = [slow(*one)[1].numpy() for one in asked]
    recall, share = 0.0, 0.0
    for share in _SHARES:
        approximate.search_leaves(share)
        found = [fast(*one)[1].numpy() for one in asked]
        recall = float(np.mean([np.isin(*both).mean() for both in zip(truth, found, strict=True)]))
        if recall >= LEAST_RECALL:
            break
    times = np.array([[_milliseconds(function, one) for function in (slow, fast)] for one in asked])
    slow_ms, fast_ms = np.median(times, axis=0)
    return {
        "queries": len(asked),
        "recall_at_100": recall,
        "leaves": approximate.leaves,
        "leaves_searched_share": share,
        "brute_force_p50_ms": round(float(slow_ms), 4),
        "scann_p50_ms": round(float(fast_ms), 4),
    }


def _function(best: Callable[..., Scores]) -> Any:
    return tf.function(
        lambda queries, rows, movies: best(queries, tf.constant(_K), rows, movies),
        reduce_retracing=True,
        autograph=False,
    )


def _milliseconds(function: Any, one: tuple[tf.Tensor, ...]) -> float:
    started = time.perf_counter()
    function(*one)
    return (time.perf_counter() - started) * 1e3
