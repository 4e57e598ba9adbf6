"""Diversity of lists of recommendations."""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import jackknife
from components.evaluate.verdict import Interval
from components.metrics import COVERAGE, GINI, NOVELTY, POPULARITY_RANK, SIMILARITY
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]

# Likeness of movies is taken from the ratings of so many users at most, evenly spread.
_RATERS = 8192


class Diversity:
    """Measures catalogue coverage, popularity and novelty of lists, and the similarity within them.

    docs/metrics.md has the formulas.
    """

    def __init__(self, known: UserRatings, movies: int) -> None:
        """Prepares for lists of a catalogue of `movies`, of which `known` are the known ratings."""
        self._counts = known.movie_counts(movies)
        self._users = int(np.count_nonzero(known.counts))
        ascending = np.sort(self._counts)
        self._more_popular = movies - np.searchsorted(ascending, self._counts, side="right")
        self._raters = _raters(known, movies)
        self._sampled_counts = np.bitwise_count(self._raters).sum(axis=1, dtype=np.int64)

    def measure(self, lists: Array) -> tuple[dict[str, float], dict[str, Interval]]:
        """Returns the metrics of `lists`, and their 95% intervals over users; none if those are too few."""
        similarities = self.similarities(lists)
        intervals = jackknife(lambda kept: self.metrics(lists[kept], similarities[kept]), len(lists))
        return self.metrics(lists, similarities), intervals

    def similarities(self, lists: Array) -> Array:
        """The mean cosine similarity of two movies of each list, float64 [s]; NaN for under two movies.

        The vector of a movie says which users rated it.
        """
        first, second = np.triu_indices(lists.shape[1], 1)
        sums, pairs = np.zeros(len(lists)), np.zeros(len(lists), np.int64)
        for one, other in zip(lists[:, first].T, lists[:, second].T, strict=True):
            both = (one >= 0) & (other >= 0)
            sums[both] += self._cosines(one[both], other[both])
            pairs += both
        means: Array = np.divide(sums, pairs, out=np.full(len(lists), np.nan), where=pairs > 0)
        return means

    def _cosines(self, one: Array, other: Array) -> Array:
        common = np.bitwise_count(self._raters[one] & self._raters[other]).sum(axis=1, dtype=np.int64)
        lengths = np.sqrt(self._sampled_counts[one] * self._sampled_counts[other])
        cosines: Array = np.divide(common, lengths, out=np.zeros(len(one)), where=lengths > 0)
        return cosines

    def metrics(self, lists: Array, similarities: Array) -> dict[str, float]:
        """Metric -> value for `lists`, int32 [s, k], -1 for none; empty if nothing is recommended."""
        shown = lists[lists >= 0]
        if len(shown) == 0:
            return {}
        times = np.sort(np.bincount(shown, minlength=len(self._counts)))
        places = np.arange(1, len(times) + 1)
        share = np.maximum(self._counts[shown], 1) / max(self._users, 1)
        alike = similarities[~np.isnan(similarities)]
        metrics = {
            COVERAGE: np.count_nonzero(times) / len(times),
            GINI: np.sum((2 * places - len(times) - 1) * times) / (len(times) * times.sum()),
            POPULARITY_RANK: np.mean(self._more_popular[shown]) + 1,
            NOVELTY: np.mean(-np.log2(share)),
        }
        if len(alike):
            metrics[SIMILARITY] = np.mean(alike)
        return {name: float(value) for name, value in metrics.items()}


def _raters(known: UserRatings, movies: int) -> Array:
    """Sets a bit for each of some users, evenly spread, who rated a movie: uint64 [M, ceil(users / 64)]."""
    users = np.flatnonzero(known.counts)
    if len(users) > _RATERS:
        users = users[np.linspace(0, len(users) - 1, _RATERS).astype(np.int64)]
    rated = known.select(users)
    owners = rated.owners
    bits = np.zeros((movies, max(-(-len(users) // 64), 1)), np.uint64)
    np.bitwise_or.at(bits, (rated.movies, owners // 64), np.uint64(1) << (owners % 64).astype(np.uint64))
    return bits
