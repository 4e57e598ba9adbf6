"""Sums per user, a bootstrap over users, and a grouped jackknife for metrics that are no sums over users."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.verdict import Interval
from components.metrics import Metric, metric_of
from components.vocabulary.interactions import chunks

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
        totals = np.ones((1, len(self.rows))) @ np.column_stack(self.summands())
        return {name: float(values[0]) for name, values in self.metrics_of(totals).items()}

    def summands(self) -> list[Array]:
        """The arrays [n] that are added up over users: rows, whether there are any, and the columns."""
        return [self.rows, self.rows > 0, *self.columns.values()]

    def metrics_of(self, totals: Array) -> dict[str, Array]:
        """The metrics [r] under r weightings of the users, given the `summands`' totals, float [r, s]."""
        rows, users, *columns = totals.T
        over = {"rows": rows, "users": users}
        return {
            name: _mean(metric_of(name), sums, over) for name, sums in zip(self.columns, columns, strict=True)
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
    # Scorer -> metric -> float64 [resamples], of metrics that are sums over users; paired between scorers.
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
    scored = [(part, scorer, one) for part, sums in parts.items() for scorer, one in sums.items()]
    columns, places = _distinct([column for _, _, one in scored for column in one.summands()])
    users = len(columns[0]) if columns else 0
    generator = np.random.default_rng(seed)
    totals = np.zeros((resamples, len(columns)))
    # Some users at a time: the sums of all columns under all weightings are one product of matrices.
    for some in chunks(users, max(1, _CHUNK_BYTES // (4 * resamples))):
        weights = generator.standard_exponential((some.stop - some.start, resamples), dtype=np.float32)
        totals += weights.T @ np.column_stack([column[some].astype(np.float32) for column in columns])
    draws: dict[str, dict[str, dict[str, Array]]] = {part: {} for part in parts}
    for part, scorer, one in scored:
        own, places = np.split(places, [len(one.summands())])
        draws[part][scorer] = one.metrics_of(totals[:, own])
    return {part: _summarise(sums, draws[part]) for part, sums in parts.items()}


def _distinct(columns: Sequence[Array]) -> tuple[list[Array], Array]:
    """Returns the different ones of the `columns`, and the place of each among them.

    Two scorers with the same sums then have the same draws to the last bit: in a product of matrices a
    column's rounding depends on where it stands.
    """
    distinct: list[Array] = []
    alike: dict[float, list[int]] = {}
    places = np.empty(len(columns), np.int64)
    for number, column in enumerate(columns):
        candidates = alike.setdefault(float(column.sum()), [])
        same = next((one for one in candidates if np.array_equal(distinct[one], column)), len(distinct))
        if same == len(distinct):
            distinct.append(column)
            candidates.append(same)
        places[number] = same
    return distinct, places


def _summarise(sums: Mapping[str, UserSums], draws: Mapping[str, Mapping[str, Array]]) -> Resampled:
    rows = next((one.rows for one in sums.values()), np.array([]))
    return Resampled(
        rows=int(rows.sum()),
        users=int(np.count_nonzero(rows)),
        metrics={scorer: one.metrics() for scorer, one in sums.items()},
        draws=draws,
    )


def _percentiles(draws: Array) -> Interval | None:
    if not np.all(np.isfinite(draws)):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
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
