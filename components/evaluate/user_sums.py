"""Computes sums per user of every metric from the answers per pair; docs/metrics.md has the formulas."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import UserSums
from components.evaluate.held_out import HeldOut
from components.evaluate.ranking import MISS, Answers
from components.metrics import (
    ACCURACY,
    ACCURACY_UNSEEN,
    GATE_METRICS,
    MAE,
    MRR,
    NDCG,
    RECALL,
    RMSE,
    Metric,
    at_k,
    measured_metrics,
    metric_of,
)

Array = npt.NDArray[Any]

USERS_FILE = "users.parquet"


def user_sums(answers: Answers, held_out: HeldOut) -> UserSums:
    """Adds up the metrics over each user's pairs."""
    return _sum(answers, held_out, held_out.pairs.counts, measured_metrics(held_out.k))


def sums_of_part(
    answers: Answers, held_out: HeldOut, pairs: Array, metrics: Sequence[Metric] = GATE_METRICS
) -> UserSums:
    """Adds up `metrics`, those of retrieval at the gate's k, over each user's pairs in `pairs`, bool [p].

    Of the metrics over users, only those of NDCG can be measured on a part.
    """
    counts = sum_by_user(pairs, held_out).astype(np.int64)
    ratings, unseen = answers.ratings, answers.unseen_ranks
    part = replace(
        answers,
        ratings=None if ratings is None else np.where(pairs, ratings, held_out.pairs.ratings),
        unseen_ranks=None if unseen is None else np.where(pairs, unseen, MISS),
    )
    return _sum(part, held_out, counts, [metric_of(at_k(metric.name, held_out.k)) for metric in metrics])


def _sum(answers: Answers, held_out: HeldOut, counts: Array, metrics: Sequence[Metric]) -> UserSums:
    """Adds up `metrics` over each user's pairs, of which `counts` count, int64 [n]."""
    columns: dict[str, Array] = {}
    for metric in metrics:
        source, function = FUNCTIONS.get(metric.family, ("", None))
        values = getattr(answers, source, None)
        if function is None or values is None:
            continue
        column = function(values, held_out, metric.k, counts)
        columns[metric.name] = sum_by_user(column, held_out) if metric.over == "rows" else column
    return UserSums(counts, columns)


def sum_by_user(values: Array, held_out: HeldOut) -> Array:
    """Sums `values` [p] over each user's pairs, float64 [n]."""
    return np.bincount(held_out.user_of_pair, weights=values, minlength=len(held_out.users))


# Of a column of the answers, k and each user's number of pairs: a value for each pair [p] if the metric is a
# mean over rows, else one for each user [n].
_Function = Callable[[Array, HeldOut, int, Array], Array]
# Family of metrics -> the column of the answers that it is of, and its function.
FUNCTIONS: dict[str, tuple[str, _Function]] = {}


def _metric(family: str, of: str) -> Callable[[_Function], _Function]:
    """Registers the function below for the metrics of `family`, computed from the answers' column `of`."""

    def register(function: _Function) -> _Function:
        FUNCTIONS[family] = (of, function)
        return function

    return register


@_metric(ACCURACY, of="ranks")
@_metric(ACCURACY_UNSEEN, of="unseen_ranks")
def _accuracy(ranks: Array, held_out: HeldOut, k: int, counts: Array) -> Array:
    return ranks < k


@_metric(RECALL, of="unseen_ranks")
def _recall(ranks: Array, held_out: HeldOut, k: int, counts: Array) -> Array:
    return sum_by_user(ranks < k, held_out) / counts


@_metric(NDCG, of="unseen_ranks")
def _ndcg(ranks: Array, held_out: HeldOut, k: int, counts: Array) -> Array:
    gains = np.where(ranks < k, 1 / np.log2(ranks + 2.0), 0)
    ideal = np.cumsum(1 / np.log2(np.arange(k) + 2.0))  # of 1 to k movies, all of them at the top
    ndcg: Array = sum_by_user(gains, held_out) / ideal[np.minimum(counts, k) - 1]
    return ndcg


@_metric(MRR, of="unseen_ranks")
def _reciprocal_rank(ranks: Array, held_out: HeldOut, k: int, counts: Array) -> Array:
    reciprocal = np.where(ranks == MISS, 0, 1 / (ranks + 1.0))
    best: Array = np.maximum.reduceat(reciprocal, held_out.pairs.offsets[:-1])
    return best


@_metric(RMSE, of="ratings")
def _squared_error(stars: Array, held_out: HeldOut, k: int, counts: Array) -> Array:
    return np.square(stars.astype(np.float64) - held_out.pairs.ratings)


@_metric(MAE, of="ratings")
def _absolute_error(stars: Array, held_out: HeldOut, k: int, counts: Array) -> Array:
    return np.abs(stars.astype(np.float64) - held_out.pairs.ratings)


def write_user_sums(directory: Path, user_ids: Array, sums: Mapping[str, UserSums]) -> None:
    """Writes users.parquet: user_id, rows, and a column `scorer.metric` (float64) for every sum."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"user_id": pa.array(user_ids, pa.string())}
    for scorer, of_scorer in sums.items():
        columns["rows"] = of_scorer.rows
        columns |= {f"{scorer}.{metric}": column for metric, column in of_scorer.columns.items()}
    pq.write_table(pa.table(columns), directory / USERS_FILE, compression="zstd")
