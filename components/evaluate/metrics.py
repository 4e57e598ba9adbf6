"""Metrics of the held-out pairs and their sums per user; docs/metrics.md has formulas and sources."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import HeldOut
from components.evaluate.names import (
    ACCURACY,
    ACCURACY_UNSEEN,
    LIST_K,
    MAE,
    MRR,
    NDCG,
    OVER_USERS,
    RECALL,
    RMSE,
    TOP_K,
)
from components.evaluate.ranking import MISS
from components.evaluate.scoring import Scored

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class UserSums:
    """What each user adds to every metric, and so all that a metric of these or of fewer users is made of.

    A metric is sum(column) / sum(rows), or the mean of the column over users where it is in `OVER_USERS`;
    `rmse` is the square root of that.

    Attributes:
      rows: int64 [n], held-out pairs of each user.
      columns: metric -> float64 [n]; only the metrics that the scorer has.
    """

    rows: Array
    columns: dict[str, Array]

    def metrics(self) -> dict[str, float]:
        """The metrics over all users; NaN if a prediction was."""
        return {
            name: float(values[0]) for name, values in self.weighted(np.ones((1, len(self.rows)))).items()
        }

    def weighted(self, weights: Array) -> dict[str, Array]:
        """The metrics [r] under r weightings of the users, `weights` float [r, n]."""
        if not self.columns:
            return {}
        totals = {False: weights @ self.rows.astype(weights.dtype), True: weights.sum(axis=1)}
        sums = weights @ np.column_stack(list(self.columns.values())).astype(weights.dtype)
        return {
            name: _value(name, sums[:, place] / totals[name in OVER_USERS])
            for place, name in enumerate(self.columns)
        }


def _value(name: str, mean: Array) -> Array:
    return np.sqrt(mean) if name == RMSE else mean


def user_sums(scored: Scored, held_out: HeldOut) -> UserSums:
    """Adds up what `scored` says about each user's pairs."""
    columns: dict[str, Array] = {}
    for name, ranks in ((ACCURACY_UNSEEN, scored.unseen_ranks), (ACCURACY, scored.ranks)):
        if ranks is not None:
            columns |= {name.format(k): by_user(ranks < k, held_out) for k in TOP_K}
    if scored.unseen_ranks is not None:
        columns |= _list_metrics(scored.unseen_ranks, held_out)
    if scored.ratings is not None:
        errors = scored.ratings.astype(np.float64) - held_out.pairs.ratings
        columns[RMSE] = by_user(np.square(errors), held_out)
        columns[MAE] = by_user(np.abs(errors), held_out)
    return UserSums(held_out.pairs.counts, columns)


def _list_metrics(ranks: Array, held_out: HeldOut) -> dict[str, Array]:
    """Recall, NDCG and reciprocal rank of each user's list."""
    counts = held_out.pairs.counts
    columns: dict[str, Array] = {}
    for k in LIST_K:
        columns[RECALL.format(k)] = by_user(ranks < k, held_out) / counts
        gains = np.where(ranks < k, 1 / np.log2(ranks + 2.0), 0)
        ideal = np.cumsum(1 / np.log2(np.arange(k) + 2.0))  # of 1 to k movies, all of them at the top
        columns[NDCG.format(k)] = by_user(gains, held_out) / ideal[np.minimum(counts, k) - 1]
    reciprocal = np.where(ranks == MISS, 0, 1 / (ranks + 1.0))
    columns[MRR] = np.maximum.reduceat(reciprocal, held_out.pairs.offsets[:-1])
    return columns


def by_user(values: Array, held_out: HeldOut) -> Array:
    """Sums of `values` [p] over each user's pairs, float64 [n]."""
    return np.bincount(held_out.user_of_pair, weights=values, minlength=len(held_out.users))


USERS_FILE = "users.parquet"


def write_user_sums(directory: Path, user_ids: npt.NDArray[Any], sums: Mapping[str, UserSums]) -> None:
    """Writes users.parquet: user_id, rows, and a column `scorer.metric` (float64) for every sum."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"user_id": pa.array(user_ids, pa.string())}
    for scorer, of_scorer in sums.items():
        columns["rows"] = of_scorer.rows
        columns |= {f"{scorer}.{metric}": column for metric, column in of_scorer.columns.items()}
    pq.write_table(pa.table(columns), directory / USERS_FILE, compression="zstd")
