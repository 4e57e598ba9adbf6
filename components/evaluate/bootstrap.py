"""Confidence intervals: a bootstrap over users, and a grouped jackknife for what is no sum over users."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.metrics import UserSums

Array = npt.NDArray[Any]

RESAMPLES = 1000
CONFIDENCE = 0.95
_CHUNK_BYTES = 64 << 20

Interval = tuple[float, float]


@dataclass(frozen=True)
class Resampled:
    """Metrics under the same random weightings of the users: scorer -> metric -> float32 [resamples]."""

    draws: dict[str, dict[str, Array]]

    def interval(self, scorer: str, metric: str) -> Interval | None:
        """The 95% interval of a metric; None if the scorer lacks it or it is not finite."""
        draws = self.draws.get(scorer, {}).get(metric)
        return None if draws is None else _percentiles(draws)

    def difference(self, scorer: str, other: str, metric: str) -> Interval | None:
        """The 95% interval of `scorer`'s metric minus `other`'s."""
        mine, theirs = self.draws.get(scorer, {}).get(metric), self.draws.get(other, {}).get(metric)
        return None if mine is None or theirs is None else _percentiles(mine - theirs)


def resample(sums: Mapping[str, UserSums], seed: int, resamples: int = RESAMPLES) -> Resampled:
    """Computes every metric of every scorer under random weightings of the users.

    The weights are exponential (the Bayesian bootstrap, Rubin 1981), not counts of draws: it has the same
    limit, and a sum of weights is never 0 however few the users are.

    Args:
      sums: scorer -> its sums, all over the same users.
      seed: decides the weights.
    """
    return resample_parts({"": sums}, seed, resamples)[""]


def resample_parts(
    parts: Mapping[str, Mapping[str, UserSums]], seed: int, resamples: int = RESAMPLES
) -> dict[str, Resampled]:
    """`resample` for several parts of the same users' rows, all under the same weights."""
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
    return {part: Resampled(_concatenated(draws[part])) for part in parts}


def _concatenated(draws: Mapping[str, Mapping[str, list[Array]]]) -> dict[str, dict[str, Array]]:
    return {
        scorer: {metric: np.concatenate(values) for metric, values in of_scorer.items()}
        for scorer, of_scorer in draws.items()
    }


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
    """The group that each user is left out with, int64 [users]."""
    return np.arange(users) % GROUPS


def jackknife(figures: Callable[[Array], dict[str, float]], users: int) -> dict[str, Interval]:
    """95% intervals of figures by the jackknife with a group deleted at a time (Shao & Tu 1995, 2.3).

    Args:
      figures: the figures of those users for which its argument, bool [users], is true.
      users: with fewer than a few to a group there are no intervals.
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
