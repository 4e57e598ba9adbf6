"""Metrics of the held-out pairs, and how sure one can be of them. docs/metrics.md has each formula."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import HeldOut
from components.evaluate.names import ACCURACY, ACCURACY_UNSEEN, RMSE, TOP_K
from components.evaluate.scoring import Scored

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class UserSums:
    """Sums over each user's pairs: all that a metric of the whole, or of other users, is made of.

    A metric is sum(column) / sum(rows) over the users, `rmse` the square root of that.

    Attributes:
      rows: int64 [n], held-out pairs of each user.
      columns: metric -> float64 [n], hits or squared errors; only the metrics that the scorer has.
    """

    rows: Array
    columns: dict[str, Array]

    def metrics(self) -> dict[str, float]:
        """The metrics over all users; NaN if a prediction was."""
        total = self.rows.sum()
        return {name: _value(name, column.sum() / total) for name, column in self.columns.items()}

    def resampled(self, weights: Array) -> dict[str, Array]:
        """The metrics [r] under r weightings of the users, `weights` float32 [r, n]."""
        if not self.columns:
            return {}
        sums = weights @ np.column_stack([self.rows, *self.columns.values()]).astype(np.float32)
        means = sums[:, 1:] / sums[:, :1]
        return {name: _value(name, means[:, i]) for i, name in enumerate(self.columns)}


def _value(name: str, mean: Any) -> Any:
    if name != RMSE:
        return mean
    return np.sqrt(mean) if isinstance(mean, np.ndarray) else math.sqrt(mean)


def user_sums(scored: Scored, held_out: HeldOut) -> UserSums:
    """Adds up what `scored` says about each user's pairs."""
    columns: dict[str, Array] = {}
    for name, ranks in ((ACCURACY, scored.ranks), (ACCURACY_UNSEEN, scored.unseen_ranks)):
        if ranks is not None:
            columns |= {name.format(k): _by_user(ranks < k, held_out) for k in TOP_K}
    if scored.ratings is not None:
        errors = scored.ratings.astype(np.float64) - held_out.ratings
        columns[RMSE] = _by_user(np.square(errors), held_out)
    return UserSums(np.diff(held_out.row_splits), columns)


def _by_user(values: Array, held_out: HeldOut) -> Array:
    return np.bincount(held_out.user_of_pair, weights=values, minlength=len(held_out.users))
