"""Whether a prediction of 4 stars is 4 stars on average."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import Interval
from components.evaluate.held_out import HeldOut
from components.evaluate.jackknife import GROUPS, group_of, interval

Array = npt.NDArray[Any]

BUCKETS = 10


class Calibration(NamedTuple):
    """Buckets of about equally many predictions, and how far they are off.

    Attributes:
      buckets: rows, predicted and given (means, in stars), and `interval`, the 95% interval of `given`, or
        None if there are too few users.
      error: the mean over rows of |predicted - given| of their bucket, in stars; NaN without predictions.
      interval: the 95% interval of `error`, or None.
    """

    buckets: list[dict[str, Any]]
    error: float
    interval: Interval | None


def calibration(stars: Array, held_out: HeldOut) -> Calibration:
    """Compares predictions `stars`, float32 [p], with the ratings; those that are no numbers are left out."""
    finite = np.flatnonzero(np.isfinite(stars))
    if len(finite) == 0:
        return Calibration([], float("nan"), None)
    edges = np.unique(np.quantile(stars[finite], np.arange(1, BUCKETS) / BUCKETS))
    bucket = np.searchsorted(edges, stars[finite], side="left")
    groups = group_of(len(held_out.users))[held_out.user_of_pair[finite]]
    cells, size = bucket * GROUPS + groups, (len(edges) + 1) * GROUPS
    # By bucket and group of users: rows, sum of predictions, sum of ratings.
    sums = np.stack(
        [
            np.bincount(cells, weights, size).reshape(-1, GROUPS)
            for weights in (None, stars[finite], held_out.ratings[finite])
        ]
    )
    sums = sums[:, sums[0].sum(axis=1) > 0]
    enough = len(held_out.users) >= 2 * GROUPS
    whole = sums.sum(axis=2)
    without = whole[:, :, np.newaxis] - sums
    errors = np.array([_error(without[:, :, group]) for group in range(GROUPS)])
    return Calibration(
        buckets=[_bucket(whole[:, place], without[:, place], enough) for place in range(whole.shape[1])],
        error=_error(whole),
        interval=interval(_error(whole), errors) if enough else None,
    )


def _error(sums: Array) -> float:
    """The mean absolute difference, of rows, predictions and ratings added up by bucket [3, buckets]."""
    rows, predicted, given = sums
    return float(np.sum(np.abs(predicted - given)) / np.sum(rows)) if np.any(rows) else float("nan")


def _bucket(whole: Array, without: Array, enough: bool) -> dict[str, Any]:
    rows, predicted, given = whole
    sure = enough and np.all(without[0] > 0)
    return {
        "rows": int(rows),
        "predicted": float(predicted / rows),
        "given": float(given / rows),
        "interval": list(interval(float(given / rows), without[2] / without[0])) if sure else None,
    }
