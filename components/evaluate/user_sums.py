"""Computes sums per user of every metric from the answers per pair; docs/metrics.md has the formulas."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import UserSums
from components.evaluate.held_out import HeldOut
from components.evaluate.ranking import MISS, Answers
from components.metrics import ACCURACY, ACCURACY_UNSEEN, MAE, METRICS, MRR, NDCG, RECALL, RMSE

Array = npt.NDArray[Any]

USERS_FILE = "users.parquet"


def user_sums(answers: Answers, held_out: HeldOut, pairs: Array | None = None) -> UserSums:
    """Adds up the metrics over each user's pairs; with `pairs`, bool [p], the gate's over those alone."""
    columns: dict[str, Array] = {}
    for metric in METRICS.values():
        source, function = FUNCTIONS.get(metric.family, ("", None))
        values = getattr(answers, source, None)
        if function is None or values is None or (pairs is not None and not metric.rule):
            continue
        column = function(values, held_out, metric.k)
        if metric.over == "rows":
            column = sum_by_user(column if pairs is None else np.where(pairs, column, 0), held_out)
        columns[metric.name] = column
    rows = held_out.pairs.counts if pairs is None else sum_by_user(pairs, held_out).astype(np.int64)
    return UserSums(rows, columns)


def sum_by_user(values: Array, held_out: HeldOut) -> Array:
    """Sums `values` [p] over each user's pairs, float64 [n]."""
    return np.bincount(held_out.user_of_pair, weights=values, minlength=len(held_out.users))


# Of a column of the answers and k: a value for each pair [p] if the metric is a mean over rows, else one for
# each user [n].
_Function = Callable[[Array, HeldOut, int], Array]
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
def _accuracy(ranks: Array, held_out: HeldOut, k: int) -> Array:
    return ranks < k


@_metric(RECALL, of="unseen_ranks")
def _recall(ranks: Array, held_out: HeldOut, k: int) -> Array:
    return sum_by_user(ranks < k, held_out) / held_out.pairs.counts


@_metric(NDCG, of="unseen_ranks")
def _ndcg(ranks: Array, held_out: HeldOut, k: int) -> Array:
    gains = np.where(ranks < k, 1 / np.log2(ranks + 2.0), 0)
    ideal = np.cumsum(1 / np.log2(np.arange(k) + 2.0))  # of 1 to k movies, all of them at the top
    ndcg: Array = sum_by_user(gains, held_out) / ideal[np.minimum(held_out.pairs.counts, k) - 1]
    return ndcg


@_metric(MRR, of="unseen_ranks")
def _reciprocal_rank(ranks: Array, held_out: HeldOut, k: int) -> Array:
    reciprocal = np.where(ranks == MISS, 0, 1 / (ranks + 1.0))
    best: Array = np.maximum.reduceat(reciprocal, held_out.pairs.offsets[:-1])
    return best


@_metric(RMSE, of="ratings")
def _squared_error(stars: Array, held_out: HeldOut, k: int) -> Array:
    return np.square(stars.astype(np.float64) - held_out.pairs.ratings)


@_metric(MAE, of="ratings")
def _absolute_error(stars: Array, held_out: HeldOut, k: int) -> Array:
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
