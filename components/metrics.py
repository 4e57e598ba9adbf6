"""Registry of metrics and baselines: name, label, unit, direction, range, and how each adds up over users.

A new metric is an entry of `METRICS` and its function (components/evaluate/user_sums.py, or diversity.py for
lists); a new baseline is an entry of `BASELINES` and its class (components/evaluate/baselines.py).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from components.display import sentence


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure that models are compared in."""

    family: str  # the name in files; "{}" stands for `k`
    k: int = 0  # the length of the list, for a metric of lists of one length
    label: str  # within a sentence
    short: str = ""  # heads a row or a column on a terminal; "" leaves the metric out there
    unit: Literal["share", "stars", "movies", "bits"] = "share"  # of a value
    better: Literal["more", "less", ""] = "more"  # the better direction; "" if neither is
    range: tuple[float, float] = (0.0, 1.0)  # the least and the greatest value
    # What it is a mean over; a metric over lists or buckets is no sum of what single users add to it.
    over: Literal["rows", "users", "lists", "buckets"] = "rows"
    root: bool = False  # whether it is the square root of that mean
    rule: str = ""  # begins the names of the gate's rules about it; "" if there are none
    # How much worse than the champion's it may be for certain; in stars, as a share of the scale's width.
    margin: float = 0.0

    @property
    def name(self) -> str:
        """The name in files."""
        return self.family.format(self.k)

    @property
    def in_stars(self) -> bool:
        """True if a value is a distance in stars."""
        return self.unit == "stars"

    @property
    def comparison(self) -> Literal["<=", ">="]:
        """The relation that a value has to have to a bound."""
        return "<=" if self.better == "less" else ">="

    def is_better(self, value: float, other: float) -> bool:
        """Returns whether `value` is better than `other`."""
        return value < other if self.better == "less" else value > other

    def best(self, values: Iterable[float]) -> float | None:
        """Returns the best of `values`; None if there are none."""
        return (min if self.better == "less" else max)(values, default=None)

    def exact(self, value: float | None) -> str:
        """Formats a value with four digits and its unit."""
        if value is None:
            return "not a finite number"
        return f"{value:.4f} stars" if self.in_stars else f"{value:.4f}"

    def in_people_units(self, value: float) -> float:
        """Converts a share to movies of 100; stars stay stars."""
        return 100 * value if self.unit == "share" else value

    def figure(self, value: float, digits: int | None = None) -> str:
        """Formats a value in stars, or in movies of 100."""
        if digits is None:
            digits = 2 if self.in_stars else 0
        return f"{self.in_people_units(value):.{digits}f}"

    def apart(self, value: float, other: float) -> tuple[str, str]:
        """Formats two values with as many digits as it takes to tell them apart, within reason."""
        fewest = 2 if self.in_stars else 0
        for digits in range(fewest, fewest + 3):
            pair = self.figure(value, digits), self.figure(other, digits)
            if pair[0] != pair[1]:
                break
        return pair


ACCURACY = "top_{}_accuracy"
ACCURACY_UNSEEN = "top_{}_accuracy_unseen"
RECALL = "recall_{}"
NDCG = "ndcg_{}"
TOP_K = (1, 5, 10, 50, 100)
LIST_K = (10, 100)

TOP_100_UNSEEN = ACCURACY_UNSEEN.format(100)
NDCG_10 = NDCG.format(10)
MRR = "mrr"
RMSE = "rmse"
MAE = "mae"
CALIBRATION_ERROR = "calibration_error"
COVERAGE = "coverage"
GINI = "gini"
POPULARITY_RANK = "popularity_rank"
NOVELTY = "novelty"
SIMILARITY = "intra_list_similarity"

# The gate's margins. Trainings of one model that differ in the seed alone differ by a third of the first two
# (standard deviation on MovieLens 1M) and by less of the last, which is 0.01 stars of 1 to 5.
_SHARE_MARGIN = 0.01
_STARS_MARGIN = 0.0025

_in_stars = partial(Metric, unit="stars", better="less", range=(0.0, math.inf))
_of_lists = partial(Metric, better="", over="lists")


def _accuracy_unseen(k: int) -> Metric:
    return Metric(
        family=ACCURACY_UNSEEN,
        k=k,
        label=f"top-{k} accuracy among unseen movies",
        short=f"top-{k} unseen",
        rule="top_100" if k == 100 else "",
        margin=_SHARE_MARGIN if k == 100 else 0.0,
    )


# In the order of a table.
METRICS = {
    metric.name: metric
    for metric in (
        *map(_accuracy_unseen, TOP_K),
        *(Metric(family=ACCURACY, k=k, label=f"top-{k} accuracy", short=f"top-{k}") for k in TOP_K),
        *(Metric(family=RECALL, k=k, label=f"recall of a user's best {k}", over="users") for k in LIST_K),
        Metric(
            family=NDCG,
            k=10,
            label="NDCG of a user's best 10",
            over="users",
            rule="ndcg_10",
            margin=_SHARE_MARGIN,
        ),
        Metric(family=NDCG, k=100, label="NDCG of a user's best 100", short="NDCG@100", over="users"),
        Metric(family=MRR, label="mean reciprocal rank", short="MRR", over="users"),
        _in_stars(
            family=RMSE, label="RMSE", short="RMSE (stars)", root=True, rule="rmse", margin=_STARS_MARGIN
        ),
        _in_stars(family=MAE, label="mean absolute error", short="MAE (stars)"),
        _in_stars(family=CALIBRATION_ERROR, label="calibration error", over="buckets"),
        _of_lists(family=COVERAGE, label="catalogue coverage of lists"),
        _of_lists(family=GINI, label="Gini coefficient of lists"),
        _of_lists(
            family=POPULARITY_RANK,
            label="mean popularity rank of lists",
            unit="movies",
            range=(1.0, math.inf),
        ),
        _of_lists(family=NOVELTY, label="novelty of lists", unit="bits", range=(0.0, math.inf)),
        _of_lists(family=SIMILARITY, label="similarity within lists"),
    )
}
# Those that the gate has rules about, and of them those that stand first and that slices are measured in.
RULE_METRICS = tuple(metric for metric in METRICS.values() if metric.rule)
GATE_METRICS = tuple(metric for metric in RULE_METRICS if metric.over == "rows")
LIST_METRICS = tuple(metric for metric in METRICS.values() if metric.over == "lists")

# The gate's lists hold a tenth of the rated movies, and so many at most: longer ones, of a small catalogue,
# hold whatever a model puts into them.
_LONGEST_LIST = 100
_SHORTENED = {one.name: one for one in map(_accuracy_unseen, range(1, _LONGEST_LIST))}


def gate_k(rated_movies: int) -> int:
    """Returns the length of the lists that the gate, and early stopping, measure top-k accuracy by."""
    return max(1, min(_LONGEST_LIST, rated_movies // 10))


def at_k(metric: str, k: int) -> str:
    """Returns the name of what a rule about `metric` measures: its name stays, whatever the gate's `k`."""
    return ACCURACY_UNSEEN.format(k) if metric == TOP_100_UNSEEN else metric


def metric_of(name: str) -> Metric:
    """Returns the entry of a metric, also of top-k accuracy among unseen movies at any `gate_k`."""
    return METRICS.get(name) or _SHORTENED[name]


def measured_metrics(k: int) -> list[Metric]:
    """Returns the metrics in the order of a table, with the one that the gate measures at `k`."""
    name = at_k(TOP_100_UNSEEN, k)
    return [*METRICS.values()] if name in METRICS else [metric_of(name), *METRICS.values()]


CHALLENGER = "challenger"
CHAMPION = "champion"
BEST_CHAMPION = "best_champion"
POPULARITY = "popularity"
GLOBAL_MEAN = "global_mean"
BIAS = "bias"
EASE = "ease"
ITEM_KNN = "item_knn"
FACTORS = "factors"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A simple or well-known method that stands beside the challenger."""

    name: str  # in files
    label: str  # within a sentence
    short: str = ""  # where it stands alone; in a picture or at the head of a column of the page
    column: str  # heads a column of a terminal's table, in eight letters
    # The metrics in which the challenger must not be worse. Only baselines without anything to tune have any:
    # a tuned method of a single purpose may win by a hair, and that is no reason to go on serving last
    # month's model.
    gate_metrics: tuple[str, ...] = ()
    stands_in: bool = False  # whether the challenger is shown beside it, in these metrics, without a champion
    rates: bool = False  # whether it predicts ratings, and recommends nothing
    pictured: bool = False  # whether it is drawn in pictures that all scorers would crowd
    look: tuple[str, str] = ("baseline", "-")  # colour and dashes of its line in pictures


_tuned = partial(Baseline, pictured=True, look=("second", "--"))

# In the order of a table.
BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            name=POPULARITY,
            label="popularity",
            column="popular",
            gate_metrics=(TOP_100_UNSEEN, NDCG_10),
            stands_in=True,
            pictured=True,
            look=("baseline", ":"),
        ),
        Baseline(
            name=GLOBAL_MEAN,
            label="the global mean",
            short="global mean",
            column="mean",
            gate_metrics=(RMSE,),
            rates=True,
            look=("baseline", "-."),
        ),
        Baseline(
            name=BIAS,
            label="user and movie biases",
            short="biases",
            column="bias",
            gate_metrics=(RMSE,),
            rates=True,
            stands_in=True,
            look=("baseline", ":"),
        ),
        _tuned(name=EASE, label="EASE", column="EASE"),
        _tuned(name=ITEM_KNN, label="nearest movies", column="nearest"),
        _tuned(
            name=FACTORS, label="matrix factorisation", short="factorisation", column="factors", rates=True
        ),
    )
}
# Metric -> the baseline that the challenger is shown beside without a champion.
STAND_INS = {metric: one.name for one in BASELINES.values() if one.stands_in for metric in one.gate_metrics}

# The part of the test rows that the champion was certainly not trained on.
NOT_TRAINED_ON_BY_CHAMPION = "rows_unread_by_champion"

_LABELS = {
    CHALLENGER: "the challenger",
    CHAMPION: "the champion",
    BEST_CHAMPION: "the best of the champions before",
    NOT_TRAINED_ON_BY_CHAMPION: "test rows that the champion was not trained on",
    **{name: metric.label for name, metric in (_SHORTENED | METRICS).items()},
    **{name: baseline.label for name, baseline in BASELINES.items()},
}


def label(name: str) -> str:
    """Returns the words for a metric, a scorer or a slice, as they stand within a sentence."""
    return _LABELS.get(name, name.replace("_", " "))


def title(name: str) -> str:
    """Returns the same words with a capital letter first."""
    return sentence(label(name))


def short(scorer: str) -> str:
    """Returns the words for a scorer where it stands alone."""
    baseline = BASELINES.get(scorer)
    return (baseline.short or baseline.label) if baseline else scorer.replace("_", " ")
