"""Sums per user, a bootstrap over users, and a grouped jackknife for metrics that are no sums over users."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.verdict import Interval
from components.metrics import Metric, metric_of

Array = npt.NDArray[Any]

RESAMPLES = 1000
CONFIDENCE = 0.95
_CHUNK_BYTES = 64 << 20


@dataclass(frozen=True)
class UserSums:
    """Sums per user: what each user adds to every metric of one scorer.

    A metric is sum(column) / sum(rows), or the mean of the column over users with rows, or the square root of
    that, as its entry in `METRICS` says.
    """

    rows: Array  # int64 [n], held-out pairs of each user
    columns: dict[str, Array]  # metric -> float64 [n]; only the metrics that the scorer has

    def metrics(self) -> dict[str, float]:
        """The metrics over all users; NaN if a prediction was."""
        return {
            name: float(values[0]) for name, values in self.weighted(np.ones((1, len(self.rows)))).items()
        }

    def weighted(self, weights: Array) -> dict[str, Array]:
        """The metrics [r] under r weightings of the users, `weights` float [r, n]."""
        if not self.columns:
            return {}
        counted = {"rows": self.rows, "users": self.rows > 0}
        totals = {over: weights @ each.astype(weights.dtype) for over, each in counted.items()}
        sums = weights @ np.column_stack(list(self.columns.values())).astype(weights.dtype)
        return {
            name: _mean(metric_of(name), sums[:, place], totals) for place, name in enumerate(self.columns)
        }


def _mean(metric: Metric, sums: Array, totals: Mapping[str, Array]) -> Array:
    mean: Array = sums / totals[metric.over]
    return np.sqrt(mean) if metric.root else mean


@dataclass(frozen=True)
class Resampled:
    """Metrics on some rows: their values, and the same under random weightings of the users."""

    rows: int = 0
    users: int = 0  # the users that the rows are of
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # scorer -> metric -> value
    # Scorer -> metric -> float32 [resamples], of metrics that are sums over users; paired between scorers.
    draws: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    # Scorer -> metric -> 95% interval, of the other metrics.
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)

    def interval(self, scorer: str, metric: str) -> Interval | None:
        """The 95% interval of a metric; None if it is unknown, not finite, or there are too few users."""
        found = self.intervals.get(scorer, {}).get(metric)
        draws = self.draws.get(scorer, {}).get(metric)
        return _percentiles(draws) if found is None and draws is not None else found

    def difference(self, scorer: str, other: str, metric: str) -> Interval | None:
        """The 95% interval of `scorer`'s metric minus `other`'s."""
        mine, theirs = self.draws.get(scorer, {}).get(metric), self.draws.get(other, {}).get(metric)
        return None if mine is None or theirs is None else _percentiles(mine - theirs)


def resample_parts(
    parts: Mapping[str, Mapping[str, UserSums]], seed: int, resamples: int = RESAMPLES
) -> dict[str, Resampled]:
    """Computes every metric of every scorer, and the same under random weightings of the users.

    The weights are exponential (the Bayesian bootstrap, Rubin 1981), not counts of draws: it has the same
    limit, and a sum of weights is never 0 however few the users are. `parts` are some parts of the same
    users' rows -> scorer -> its sums; all are under the same weights.
    """
    users = next((len(one.rows) for sums in parts.values() for one in sums.values()), 0)
    generator = np.random.default_rng(seed)
    size = max(1, _CHUNK_BYTES // (4 * max(users, 1)))
    draws: dict[str, dict[str, dict[str, list[Array]]]] = defaultdict(lambda: defaultdict(dict))
    for start in range(0, resamples, size):
        shape = (min(size, resamples - start), users)
        weights = generator.standard_exponential(shape, dtype=np.float32)
        for part, sums in parts.items():
            for scorer, of_scorer in sums.items():
                for metric, values in of_scorer.weighted(weights).items():
                    draws[part][scorer].setdefault(metric, []).append(values)
    return {part: _summarise(sums, draws[part]) for part, sums in parts.items()}


def _summarise(sums: Mapping[str, UserSums], draws: Mapping[str, Mapping[str, list[Array]]]) -> Resampled:
    rows = next((one.rows for one in sums.values()), np.array([]))
    return Resampled(
        rows=int(rows.sum()),
        users=int(np.count_nonzero(rows)),
        metrics={scorer: one.metrics() for scorer, one in sums.items()},
        draws={
            scorer: {metric: np.concatenate(values) for metric, values in of_scorer.items()}
            for scorer, of_scorer in draws.items()
        },
    )


def _percentiles(draws: Array) -> Interval | None:
    if not np.all(np.isfinite(draws)):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws.astype(np.float64), [tail, 1 - tail])
    return float(low), float(high)


GROUPS = 50
# Of Student's t with 49 degrees of freedom, 97.5%.
_QUANTILE = 2.0096


def group_of(users: int) -> Array:
    """Assigns each user to a group that is left out at a time, int64 [users]."""
    return np.arange(users) % GROUPS


def jackknife(figures: Callable[[Array], dict[str, float]], users: int) -> dict[str, Interval]:
    """95% intervals of figures by the jackknife with a group deleted at a time (Shao & Tu 1995, 2.3).

    `figures` gives those of the users for which its argument, bool [users], is true. With fewer `users` than
    a few to a group there are no intervals.
    """
    if users < 2 * GROUPS:
        return {}
    groups = group_of(users)
    without = [figures(groups != group) for group in range(GROUPS)]
    return {
        name: interval(value, np.array([one.get(name, np.nan) for one in without]))
        for name, value in figures(np.ones(users, np.bool_)).items()
    }


def interval(value: float, without: Array) -> Interval:
    """The interval of a figure, given what it is `without` each of the groups, float64 [GROUPS]."""
    spread = without - without.mean()
    margin = _QUANTILE * float(np.sqrt((GROUPS - 1) / GROUPS * np.sum(np.square(spread))))
    return value - margin, value + margin
