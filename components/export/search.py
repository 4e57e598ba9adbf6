"""Chooses the search of an index, exact or approximate, and measures what ScaNN finds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import UserError
from components.export.manifest import AUTO, BRUTE_FORCE, NOT_MEASURED, SCANN, SearchMeasurement, scann_ops
from components.export.top_k import FEWEST_MOVIES, BiasedBruteForce, ScannSearch, Scores
from components.progress import log
from components.vocabulary.interactions import UserRatings

# The least average share of the best 100 movies that ScaNN must find.
LEAST_RECALL = 0.99

_K = 100
_QUERIES = 200
# Tried in turn until the recall is reached: how many candidates are scored exactly for each requested one,
# with all leaves; and then the shares of the leaves to search. ScaNN's hashes tell movies apart the worse the
# more there are: of a million, the best 500 by hash held 90% of the best 100.
_REORDERED = (5, 20, 80)
_SHARES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class SampleQueries:
    """Queries of real users, each with the movies to exclude."""

    queries: npt.NDArray[np.float32]  # float32 [n, d]
    history: UserRatings  # the known ratings of these users

    @classmethod
    def of(cls, scoring: Any, known: UserRatings) -> "SampleQueries":
        """Draws up to 200 users at random from those with known ratings."""
        users = np.flatnonzero(known.counts)
        drawn = np.random.default_rng(0).choice(users, min(_QUERIES, len(users)), replace=False)
        history = known.select(drawn)
        return cls(scoring.query([""] * len(drawn), history), history)

    def each(self) -> list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        """Returns for each user a query, and the rows and movies that it excludes."""
        each = []
        for row in range(self.history.users):
            query, movies = self.queries[row : row + 1], self.history[row : row + 1].movies
            each.append((tf.constant(query), tf.zeros(len(movies), tf.int64), tf.constant(movies)))
        return each


@dataclass(frozen=True)
class Chosen:
    """The search of an index."""

    kind: Literal["brute-force", "scann"]
    best: Callable[..., Scores]  # finds the best movies, as `BiasedBruteForce.best`
    score: Callable[..., tf.Tensor]  # scores given movies, as `BiasedBruteForce.score`
    parts: list[Any]  # the objects that hold the variables of the search
    why: str  # the reason for the choice, a sentence
    measured: SearchMeasurement = NOT_MEASURED


def choose(
    asked: str, vectors: np.ndarray, biases: np.ndarray, sample: Callable[[], SampleQueries]
) -> Chosen:
    """Returns the search of the kind `asked`; for "auto", ScaNN where it is faster and finds 99%.

    `vectors` is float32 [M, d], `biases` float32 [M]. `sample` draws the queries to measure with; it is not
    called if nothing is measured. Raises `UserError` if ScaNN is asked for and cannot be used.
    """
    exact = BiasedBruteForce().index_with_bias(vectors, biases)

    def exactly(why: str, measured: SearchMeasurement = NOT_MEASURED) -> Chosen:
        return Chosen("brute-force", exact.best, exact.score, exact.variables, why, measured)

    if asked == BRUTE_FORCE:
        return exactly("asked for")
    if hindrance := _hindrance(asked, len(vectors)):
        log(f"the index is of the kind brute-force: {hindrance}")
        return exactly(hindrance)
    log("partitioning the movies for ScaNN")
    approximate = ScannSearch(exact, vectors, biases)
    measured = _measure(exact, approximate, sample())
    log(
        f"ScaNN finds {measured.recall_at_100:.2%} in {measured.scann_p50_ms:.2f} ms, "
        f"brute force all in {measured.brute_force_p50_ms:.2f} ms"
    )
    if asked == AUTO and (objection := _objection(measured)):
        return exactly(objection, measured)
    why = "asked for" if asked == SCANN else "measured faster, and finds nearly all"
    return Chosen("scann", approximate.best, exact.score, [*exact.variables, approximate], why, measured)


def _hindrance(asked: str, movies: int) -> str:
    """Names the reason why ScaNN cannot be used, "" if it can; raises `UserError` if only ScaNN will do."""
    if movies < FEWEST_MOVIES:
        why = f"ScaNN wants {FEWEST_MOVIES:,} movies or more, and there are {movies:,}"
        if asked == SCANN:
            raise UserError(f"{why}; take --index-kind brute-force")
        return why
    try:
        scann_ops()
    except UserError:
        if asked == SCANN:
            raise
        return "ScaNN is not installed"
    return ""


def _objection(measured: SearchMeasurement) -> str:
    if measured.recall_at_100 < LEAST_RECALL:
        return f"ScaNN finds less than {LEAST_RECALL:.0%} of the best {_K} movies"
    if measured.scann_p50_ms >= measured.brute_force_p50_ms:
        return "ScaNN is not faster on this catalogue"
    return ""


def _measure(exact: BiasedBruteForce, approximate: Any, sample: SampleQueries) -> SearchMeasurement:
    """Finds the least search that reaches the recall, and measures both searches one query at a time."""
    queries = sample.each()
    slow, fast = _function(exact.best), _function(approximate.best)
    truth = [slow(*one)[1].numpy() for one in queries]

    def recall_of(share: float, reordered: int) -> float:
        approximate.search(share, reordered)
        found = [fast(*one)[1].numpy() for one in queries]
        return float(np.mean([np.isin(*both).mean() for both in zip(truth, found, strict=True)]))

    reaching = (reordered for reordered in _REORDERED if recall_of(1.0, reordered) >= LEAST_RECALL)
    reordered = next(reaching, _REORDERED[-1])
    recall, share = 0.0, 0.0
    for share in _SHARES:
        recall = recall_of(share, reordered)
        if recall >= LEAST_RECALL:
            break
    times = np.array([[_milliseconds(function, one) for function in (slow, fast)] for one in queries])
    slow_ms, fast_ms = np.median(times, axis=0)
    return SearchMeasurement(
        queries=len(queries),
        recall_at_100=recall,
        leaves=approximate.leaves,
        leaves_searched_share=share,
        reordered=reordered,
        brute_force_p50_ms=round(float(slow_ms), 4),
        scann_p50_ms=round(float(fast_ms), 4),
    )


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
