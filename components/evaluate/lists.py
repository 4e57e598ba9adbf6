"""What would be recommended: the best unseen movies of some users, and how diverse such lists are."""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import History

Array = npt.NDArray[Any]

LENGTH = 10


def best_unseen(scores: Array, history: History, rows: Array, k: int = LENGTH) -> Array:
    """The k best movies that a user has not rated, best first.

    Args:
      scores: float32 [n, M].
      history: what is known of the n users.
      rows: int [s], the users asked about.

    Returns:
      int32 [s, k], movie indices; -1 where there are no more candidates.
    """
    best = np.full((len(rows), k), -1, np.int32)
    for place, row in enumerate(rows):
        candidates = np.where(np.isnan(scores[row]), -np.inf, scores[row])
        candidates[history.movies[history.row_splits[row] : history.row_splits[row + 1]]] = -np.inf
        count = min(k, int(np.count_nonzero(candidates > -np.inf)))
        if count:
            top = np.argpartition(-candidates, count - 1)[:count]
            best[place, :count] = top[np.argsort(-candidates[top], kind="stable")]
    return best


def diversity(lists: Array, known_counts: Array, users: int) -> dict[str, float]:
    """How much of the catalogue the lists show, and how popular it is. docs/metrics.md has the formulas.

    Args:
      lists: int32 [s, k], movie indices, -1 for none.
      known_counts: int64 [M], known ratings of each movie.
      users: how many users the ratings are of.

    Returns:
      coverage, gini, novelty and popularity; empty if nothing was recommended.
    """
    shown = lists[lists >= 0]
    if len(shown) == 0:
        return {}
    times = np.sort(np.bincount(shown, minlength=len(known_counts)))
    places = np.arange(1, len(times) + 1)
    share = np.maximum(known_counts[shown], 1) / max(users, 1)
    less_popular = np.searchsorted(np.sort(known_counts), known_counts[shown])
    return {
        "coverage": float(np.count_nonzero(times) / len(times)),
        "gini": float(np.sum((2 * places - len(times) - 1) * times) / (len(times) * times.sum())),
        "novelty": float(np.mean(-np.log2(share))),
        "popularity": float(np.mean(less_popular) / len(known_counts)),
    }
