"""Tables for the report: where a model is good and where it is not, and the calibration of its ratings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import GROUPS, Interval, group_of, interval
from components.evaluate.held_out import HeldOut
from components.evaluate.names import BIAS, CHALLENGER, LIST_METRICS
from components.evaluate.ranking import LENGTH
from components.evaluate.scoring import Scored
from components.vocabulary.interactions import UserRatings
from components.vocabulary.vocabulary import Vocabulary

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
            for weights in (None, stars[finite], held_out.pairs.ratings[finite])
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


DETAILS_FILE = "details.json"

_CURVE = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500)
_TYPICAL_USERS = 6
_TITLES = 5


def details(
    scored: Mapping[str, Scored],
    metrics: Mapping[str, Mapping[str, float]],
    calibrations: Mapping[str, Calibration],
    held_out: HeldOut,
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    """Tables and examples as JSON values; empty where there was nothing to score.

    Args:
      scored, metrics, calibrations: by scorer, its answers and what was measured of them.

    Returns:
      top_k: ks, and by scorer the share of held-out pairs that are among the k best unseen movies.
      calibration: by scorer, buckets of about equally many predictions with mean prediction and mean rating.
      residuals: by scorer, for each rating that was given, how many there were and the mean error.
      lists: by scorer, how diverse its lists of the best 10 are.
      long_tail: by scorer, the share of its lists in each tenth of the known ratings, the most rated first.
      users: a few users with what they rated best, what the challenger recommends and what they then rated.
    """
    if not scored:
        return {}
    rating = {name: one.ratings for name, one in scored.items() if one.ratings is not None}
    listed = {name: one.lists for name, one in scored.items() if one.lists is not None}
    counts = np.bincount(held_out.known.movies, minlength=len(held_out.movie_ids))
    challenger = scored.get(CHALLENGER)
    return {
        "top_k": {
            "k": list(_CURVE),
            "accuracy": {name: curve for name, one in scored.items() if (curve := _curve(one))},
        },
        "calibration": {name: found.buckets for name, found in calibrations.items()},
        "residuals": {
            name: _residuals(rating[name], held_out.pairs.ratings)
            for name in (CHALLENGER, BIAS)
            if name in rating
        },
        "lists": {
            name: {metric: metrics[name][metric] for metric in LIST_METRICS if metric in metrics[name]}
            | _popularity(lists, counts)
            for name, lists in listed.items()
        },
        "long_tail": {name: _long_tail(lists, counts) for name, lists in listed.items()},
        "users": [] if challenger is None else _users(challenger, held_out, vocabulary),
    }


def _curve(scored: Scored) -> list[float]:
    if scored.unseen_ranks is None:
        return []
    return [float(np.mean(scored.unseen_ranks < k)) for k in _CURVE]


def _residuals(stars: Array, given: Array) -> list[dict[str, float]]:
    errors = stars.astype(np.float64) - given
    table = []
    for level in np.unique(given):
        of_level = errors[(given == level) & np.isfinite(errors)]
        if len(of_level):
            table.append(
                {"given": float(level), "rows": len(of_level), "mean_error": float(np.mean(of_level))}
            )
    return table


def _popularity(lists: Array, counts: Array) -> dict[str, float]:
    """The mean share of the catalogue that has fewer known ratings than what is recommended."""
    shown = lists[lists >= 0]
    if len(shown) == 0:
        return {}
    return {"popularity": float(np.mean(np.searchsorted(np.sort(counts), counts[shown])) / len(counts))}


def _long_tail(lists: Array, counts: Array) -> list[float]:
    shown = lists[lists >= 0]
    if len(shown) == 0 or counts.sum() == 0:
        return []
    order = np.argsort(-counts, kind="stable")
    before = np.empty(len(counts))
    before[order] = (np.cumsum(counts[order]) - counts[order]) / counts.sum()
    tenth = np.minimum((before * 10).astype(np.int64), 9)
    return [float(share) for share in np.bincount(tenth[shown], minlength=10) / len(shown)]


def _users(scored: Scored, held_out: HeldOut, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Users of every degree of activity, from the few to the many ratings, and of middling luck.

    They are the listed users at evenly spaced places when ordered by the number of their known ratings.
    """
    if scored.lists is None:
        return []
    known = held_out.known.counts[held_out.users[held_out.listed]]
    order = np.argsort(known, kind="stable")
    places = np.linspace(0.1, 0.9, _TYPICAL_USERS) * (len(order) - 1)
    return [
        _user(held_out, vocabulary, int(held_out.listed[place]), scored.lists[place])
        for place in dict.fromkeys(order[np.round(places).astype(np.int64)].tolist())
    ]


def _user(held_out: HeldOut, vocabulary: Vocabulary, place: int, recommended: Array) -> dict[str, Any]:
    then = held_out.pairs[place : place + 1]
    known = held_out.known.select([held_out.users[place]])
    return {
        "user_id": str(held_out.user_ids[place]),
        "known_ratings": len(known.movies),
        "liked": _titles(vocabulary, known),
        "recommended": [
            {**_title(vocabulary, movie), "rated_later": bool(movie in then.movies)}
            for movie in recommended[:LENGTH].tolist()
            if movie >= 0
        ],
        "then": _titles(vocabulary, then),
    }


def _titles(vocabulary: Vocabulary, ratings: UserRatings) -> list[dict[str, Any]]:
    """The best rated movies first."""
    best = np.argsort(-ratings.ratings, kind="stable")[:_TITLES]
    return [{**_title(vocabulary, int(ratings.movies[i])), "stars": float(ratings.ratings[i])} for i in best]


def _title(vocabulary: Vocabulary, movie: int) -> dict[str, Any]:
    return {"title": str(vocabulary.titles[movie]), "year": int(vocabulary.years[movie])}
