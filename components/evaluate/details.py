"""The document details.json: tables, calibration and examples for the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from components.documents import Document, read_document
from components.evaluate.bootstrap import GROUPS, group_of, interval
from components.evaluate.held_out import HeldOut, share_of_more_popular
from components.evaluate.ranking import LENGTH, Answers
from components.evaluate.verdict import Interval
from components.ingest.settings import STARS, Feedback
from components.metrics import CHALLENGER, LIST_METRICS, RMSE, STAND_INS
from components.vocabulary.interactions import UserRatings
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

BUCKETS = 10


class CalibrationBucket(Document):
    """About a tenth of the predictions: means in stars, and the 95% interval of `given` or None."""

    rows: int
    predicted: float
    given: float
    interval: Interval | None


class Residual(Document):
    """The mean error of the predictions for rows of one rating, in stars."""

    given: float
    rows: int
    mean_error: float


class TopKCurve(Document):
    """By scorer, the share of held-out pairs that are among the k best unseen movies."""

    k: list[int] = msgspec.field(default_factory=list)
    accuracy: dict[str, list[float]] = msgspec.field(default_factory=dict)


class RatedMovie(Document):
    """A movie with a rating, None without stars; year is 0 where it is not known."""

    title: str
    year: int
    stars: float | None


class RecommendedMovie(Document):
    """A recommended movie."""

    title: str
    year: int
    rated_later: bool


class ExampleUser(Document):
    """A user with the best rated movies, what the challenger recommends, and what was rated afterwards."""

    user_id: str
    known_ratings: int
    liked: list[RatedMovie]
    recommended: list[RecommendedMovie]
    then: list[RatedMovie]


class Details(Document, omit_defaults=True):
    """Tables and examples for the report: the document details.json."""

    _written_by = "twotower evaluate"

    top_k: TopKCurve = msgspec.field(default_factory=TopKCurve)  # accuracy by the length of the list
    # By scorer, buckets of about equally many predictions.
    calibration: dict[str, list[CalibrationBucket]] = msgspec.field(default_factory=dict)
    # By scorer, the errors for each rating.
    residuals: dict[str, list[Residual]] = msgspec.field(default_factory=dict)
    # By scorer, metrics of its lists of the best 10.
    lists: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    # By scorer, the share of its lists in each tenth of the known ratings, the most rated first.
    long_tail: dict[str, list[float]] = msgspec.field(default_factory=dict)
    users: list[ExampleUser] = msgspec.field(default_factory=list)  # from the least to the most active


DETAILS_FILE = "details.json"


def load_details(evaluation_dir: str | Path) -> Details:
    """Reads the details in an Evaluation directory, if it has any. Raises `UserError` if they are broken."""
    file = Path(evaluation_dir) / DETAILS_FILE
    return read_document(file, Details) if file.exists() else Details()


class Calibration(NamedTuple):
    """Calibration of a scorer's ratings."""

    buckets: list[CalibrationBucket]  # of about equally many predictions
    error: float  # mean over rows of |predicted - given| of their bucket, in stars; NaN without predictions
    interval: Interval | None  # the 95% interval of `error`, or None


def calibration(stars: Array, held_out: HeldOut) -> Calibration:
    """Compares predictions `stars`, float32 [p], with the ratings; those that are not finite are left out."""
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
    """Computes the mean absolute difference from sums by bucket, [3, buckets]: rows, predictions, ratings."""
    rows, predicted, given = sums
    return float(np.sum(np.abs(predicted - given)) / np.sum(rows)) if np.any(rows) else float("nan")


def _bucket(whole: Array, without: Array, enough: bool) -> CalibrationBucket:
    rows, predicted, given = whole
    sure = enough and np.all(without[0] > 0)
    return CalibrationBucket(
        rows=int(rows),
        predicted=float(predicted / rows),
        given=float(given / rows),
        interval=interval(float(given / rows), without[2] / without[0]) if sure else None,
    )


_CURVE = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500)
_TYPICAL_USERS = 6
_TITLES = 5


def details(
    answers: Mapping[str, Answers],
    metrics: Mapping[str, Mapping[str, float]],
    calibrations: Mapping[str, Calibration],
    held_out: HeldOut,
    vocabulary: Vocabulary,
) -> Details:
    """Collects tables and examples from what is known by scorer; empty where there was nothing to score."""
    if not answers:
        return Details()
    ratings = {name: one.ratings for name, one in answers.items() if one.ratings is not None}
    lists = {name: one.lists for name, one in answers.items() if one.lists is not None}
    curves = {
        name: [float(np.mean(one.unseen_ranks < k)) for k in _CURVE]
        for name, one in answers.items()
        if one.unseen_ranks is not None
    }
    counts = held_out.known.movie_counts(len(held_out.movie_ids))
    challenger = answers.get(CHALLENGER)
    return Details(
        top_k=TopKCurve(k=list(_CURVE), accuracy=curves),
        calibration={name: found.buckets for name, found in calibrations.items()},
        residuals={
            name: _residuals(ratings[name], held_out.pairs.ratings)
            for name in (CHALLENGER, STAND_INS[RMSE])
            if name in ratings
        },
        lists={
            name: {one.name: metrics[name][one.name] for one in LIST_METRICS if one.name in metrics[name]}
            | _popularity(of_scorer, counts)
            for name, of_scorer in lists.items()
        },
        long_tail={name: _long_tail(of_scorer, counts) for name, of_scorer in lists.items()},
        users=[] if challenger is None else _users(challenger, held_out, vocabulary),
    )


def _residuals(stars: Array, given: Array) -> list[Residual]:
    errors = stars.astype(np.float64) - given
    table = []
    for level in np.unique(given):
        of_level = errors[(given == level) & np.isfinite(errors)]
        if len(of_level):
            table.append(
                Residual(given=float(level), rows=len(of_level), mean_error=float(np.mean(of_level)))
            )
    return table


def _popularity(lists: Array, counts: Array) -> dict[str, float]:
    """Computes the mean share of the catalogue that has fewer known ratings than the recommended movies."""
    shown = lists[lists >= 0]
    if len(shown) == 0:
        return {}
    return {"popularity": float(np.mean(np.searchsorted(np.sort(counts), counts[shown])) / len(counts))}


def _long_tail(lists: Array, counts: Array) -> list[float]:
    shown = lists[lists >= 0]
    if len(shown) == 0 or counts.sum() == 0:
        return []
    tenth = np.minimum((share_of_more_popular(counts) * 10).astype(np.int64), 9)
    return [float(share) for share in np.bincount(tenth[shown], minlength=10) / len(shown)]


def _users(challenger: Answers, held_out: HeldOut, vocabulary: Vocabulary) -> list[ExampleUser]:
    """Picks users from the least to the most active.

    They are the listed users at evenly spaced places when ordered by the number of their known ratings.
    """
    if challenger.lists is None:
        return []
    known = held_out.known.counts[held_out.users[held_out.listed]]
    order = np.argsort(known, kind="stable")
    places = np.linspace(0.1, 0.9, _TYPICAL_USERS) * (len(order) - 1)
    return [
        _user(held_out, vocabulary, int(held_out.listed[place]), challenger.lists[place])
        for place in dict.fromkeys(order[np.round(places).astype(np.int64)].tolist())
    ]


def _user(held_out: HeldOut, vocabulary: Vocabulary, place: int, recommended: Array) -> ExampleUser:
    then = held_out.pairs[place : place + 1]
    known = held_out.known.select([held_out.users[place]])
    return ExampleUser(
        user_id=str(held_out.user_ids[place]),
        known_ratings=len(known.movies),
        liked=_best_rated(vocabulary, known, held_out.feedback),
        recommended=[
            RecommendedMovie(**_title(vocabulary, movie), rated_later=bool(movie in then.movies))
            for movie in recommended[:LENGTH].tolist()
            if movie >= 0
        ],
        then=_best_rated(vocabulary, then, held_out.feedback),
    )


def _best_rated(vocabulary: Vocabulary, ratings: UserRatings, feedback: Feedback) -> list[RatedMovie]:
    best = np.argsort(-ratings.ratings, kind="stable")[:_TITLES]
    return [
        RatedMovie(
            **_title(vocabulary, int(ratings.movies[i])),
            stars=float(ratings.ratings[i]) if feedback == STARS else None,
        )
        for i in best
    ]


def _title(vocabulary: Vocabulary, movie: int) -> dict[str, Any]:
    return {"title": str(vocabulary.titles[movie]), "year": int(vocabulary.years[movie])}
