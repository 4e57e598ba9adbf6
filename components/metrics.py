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
MRR = "mrr"
RMSE = "rmse"
MAE = "mae"
CALIBRATION_ERROR = "calibration_error"
COVERAGE = "coverage"
GINI = "gini"
POPULARITY_RANK = "popularity_rank"
NOVELTY = "novelty"
SIMILARITY = "intra_list_similarity"

_in_stars = partial(Metric, unit="stars", better="less", range=(0.0, math.inf))
_of_lists = partial(Metric, better="", over="lists")

# In the order of a table.
METRICS = {
    metric.name: metric
    for metric in (
        *(
            Metric(
                family=ACCURACY_UNSEEN,
                k=k,
                label=f"top-{k} accuracy among unseen movies",
                short=f"top-{k} unseen",
                rule="top_100" if k == 100 else "",
            )
            for k in TOP_K
        ),
        *(Metric(family=ACCURACY, k=k, label=f"top-{k} accuracy", short=f"top-{k}") for k in TOP_K),
        *(Metric(family=RECALL, k=k, label=f"recall of a user's best {k}", over="users") for k in LIST_K),
        *(
            Metric(family=NDCG, k=k, label=f"NDCG of a user's best {k}", short=short, over="users")
            for k, short in zip(LIST_K, ("", "NDCG@100"), strict=True)
        ),
        Metric(family=MRR, label="mean reciprocal rank", short="MRR", over="users"),
        _in_stars(family=RMSE, label="RMSE", short="RMSE (stars)", root=True, rule="rmse"),
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
# Those that the gate has rules about.
GATE_METRICS = tuple(metric for metric in METRICS.values() if metric.rule)
LIST_METRICS = tuple(metric for metric in METRICS.values() if metric.over == "lists")

CHALLENGER = "challenger"
CHAMPION = "champion"
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
    # The metric in which the challenger must not be worse; "" for none. Only baselines without anything to
    # tune have one: a tuned method of a single purpose may win by a hair, and that is no reason to go on
    # serving last month's model.
    gate_metric: str = ""
    stands_in: bool = False  # whether the challenger is shown beside it, in that metric, without a champion
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
            gate_metric=TOP_100_UNSEEN,
            stands_in=True,
            pictured=True,
            look=("baseline", ":"),
        ),
        Baseline(
            name=GLOBAL_MEAN,
            label="the global mean",
            short="global mean",
            column="mean",
            gate_metric=RMSE,
            look=("baseline", "-."),
        ),
        Baseline(
            name=BIAS,
            label="user and movie biases",
            short="biases",
            column="bias",
            gate_metric=RMSE,
            stands_in=True,
            look=("baseline", ":"),
        ),
        _tuned(name=EASE, label="EASE", column="EASE"),
        _tuned(name=ITEM_KNN, label="nearest movies", column="nearest"),
        _tuned(name=FACTORS, label="matrix factorisation", short="factorisation", column="factors"),
    )
}
# Metric -> the baseline that the challenger is shown beside without a champion.
STAND_INS = {one.gate_metric: one.name for one in BASELINES.values() if one.stands_in}

# The part of the test rows that the champion was certainly not trained on.
NOT_TRAINED_ON_BY_CHAMPION = "rows_unread_by_champion"

_LABELS = {
    CHALLENGER: "the challenger",
    CHAMPION: "the champion",
    NOT_TRAINED_ON_BY_CHAMPION: "test rows that the champion was not trained on",
    **{name: metric.label for name, metric in METRICS.items()},
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
