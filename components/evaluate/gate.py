"""The gate: applies the rules to a challenger, and concludes whether it is published."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from components.evaluate import rules
from components.evaluate.bootstrap import Resampled
from components.evaluate.champion import ChampionComparison, DataChange
from components.evaluate.verdict import FAIL, PASS, REPORT, Comparison, Rule
from components.metrics import (
    BASELINES,
    CHALLENGER,
    CHAMPION,
    GATE_METRICS,
    RMSE,
    STAND_INS,
    TOP_100_UNSEEN,
    label,
)

_NOTHING = "There is nothing to measure it by: the challenger was not scored, or there are no test rows."
_CHAMPION_FAILED = "The champion was not scored."
_METRICS = tuple(metric.name for metric in GATE_METRICS)
# The rules whose outcome says most about a model that passed, the most telling first.
_TELLING = (
    rules.comparison_name(TOP_100_UNSEEN, CHAMPION),
    *(rules.comparison_name(metric, STAND_INS[metric]) for metric in _METRICS),
)


@dataclass(frozen=True)
class DataBounds:
    """Bounds on the differences of the data from the champion's.

    Wide, since data may well grow and change; a file that was cut off or mixed up is far beyond.
    """

    min_rows_share: float = 0.8  # number of ratings, as a share of the champion's
    max_mean_shift: float = 0.05  # of the mean rating, as a share of the rating scale's width
    max_histogram_distance: float = 0.1  # share of the ratings in which the histograms differ
    max_new_users: float = 0.9  # share of the users that the champion had no rating of
    max_new_movies: float = 0.5  # the same of the rated movies


@dataclass(frozen=True)
class GateSettings:
    """Bounds of the gate."""

    min_top_100_accuracy: float = 0.0  # among unseen movies, 0 to 1; 0 sets no bound
    max_rmse: float = 0.0  # in stars; 0 sets no bound
    # How much worse than the champion's a metric may be beyond the interval. The interval covers the choice
    # of test users only; the same model trained with another seed differs by about this much.
    champion_tolerance: float = 0.003
    # With fewer test users, or a wider interval (± this) of top-100 accuracy, the test rows decide nothing.
    min_test_users: int = 30
    max_half_width: float = 0.05
    # The same for a slice, where chance has many more occasions; smaller ones are left out.
    slice_tolerance: float = 0.02
    min_slice_rows: int = 1000
    data: DataBounds = field(default_factory=DataBounds)


@dataclass(frozen=True)
class Evidence:
    """The input of the gate."""

    whole: Resampled  # the metrics on all test rows
    slices: Mapping[str, Resampled] = field(default_factory=dict)  # by name, those on parts of them
    failures: Mapping[str, str] = field(default_factory=dict)  # model -> why it could not be scored
    non_finite_users: int = 0  # users with an answer of the challenger that is no finite number
    # Held-out rows that the challenger was trained on, of those that its sample covers; None without such.
    trained_on: int | None = None
    comparison: ChampionComparison = field(default_factory=ChampionComparison)


def conclude(decided: Sequence[Rule], gate: str, scored: bool) -> tuple[bool, bool, str]:
    """Concludes from all rules whether the model is good enough, whether it is published, and why.

    The gate "enforce" publishes a model that no rule fails; "report" publishes one that could be `scored` at
    all.
    """
    failed = [rule for rule in decided if rule.verdict == FAIL]
    publish = not failed or (gate == REPORT and scored)
    if failed:
        others = len(failed) - 1
        more = f" {others} more {'rule fails' if others == 1 else 'rules fail'}." if others else ""
        start = "Published although it would be refused" if publish else "Refused"
        return False, publish, f"{start} ({failed[0].name}): {failed[0].why}{more}"
    passed = {rule.name: rule for rule in decided if rule.verdict == PASS}
    telling = next((passed[name].why for name in _TELLING if name in passed), "every rule passes.")
    return True, publish, f"Good enough: {telling}"


def decide(evidence: Evidence, settings: GateSettings) -> Iterator[Rule]:
    """Holds the challenger to every rule, in the order in which a failing one explains a refusal."""
    whole = evidence.whole
    mine = whole.metrics.get(CHALLENGER, {})
    yield rules.scorable("scorable", CHALLENGER, evidence.failures.get(CHALLENGER))
    yield rules.finite(evidence.non_finite_users, whole.users)
    yield rules.not_trained_on(evidence.trained_on)
    yield rules.enough_test_rows(
        whole.rows,
        whole.users,
        whole.interval(CHALLENGER, TOP_100_UNSEEN),
        settings.min_test_users,
        settings.max_half_width,
    )
    bounds = {
        "min_top_100_accuracy": (TOP_100_UNSEEN, settings.min_top_100_accuracy),
        "max_rmse": (RMSE, settings.max_rmse),
    }
    for name, (metric, bound) in bounds.items():
        if metric in mine:
            yield rules.bounded(name, metric, mine[metric], bound, whole.interval(CHALLENGER, metric))
        else:
            yield rules.skipped(name, metric, _NOTHING)
    for baseline in BASELINES.values():
        if baseline.gate_metric:
            yield _compare(whole, baseline.name, baseline.gate_metric, _NOTHING)
    comparison = evidence.comparison
    if comparison.absence:
        yield rules.skipped("champion_scorable", "", comparison.absence, CHAMPION)
    else:
        yield rules.scorable("champion_scorable", CHAMPION, evidence.failures.get(CHAMPION))
    yield from _champion_rules(evidence, settings)
    no_data = comparison.no_data or comparison.absence or _NOTHING
    yield from data_rules(comparison.data, no_data, settings.data)
    if comparison.part:
        return
    for name, part in evidence.slices.items():
        if CHAMPION in part.metrics and CHALLENGER in part.metrics:
            yield from _slice_rules(name, part, settings)


def _champion_rules(evidence: Evidence, settings: GateSettings) -> Iterator[Rule]:
    """Not worse than the champion, on rows that it was not trained on."""
    part = evidence.comparison.part.name if evidence.comparison.part else ""
    measured = evidence.slices.get(part, Resampled()) if part else evidence.whole
    failed = CHAMPION in evidence.failures
    absence = evidence.comparison.absence or (_CHAMPION_FAILED if failed else _NOTHING)
    for metric in _METRICS:
        if part and _too_few(measured, settings) and not failed:
            why = (
                f"The champion was trained on some of the test rows; of {measured.rows:,} it is certain that "
                f"it was not, too few to compare on."
            )
            yield rules.skipped(rules.comparison_name(metric, CHAMPION), metric, why, CHAMPION)
        else:
            rule = _compare(measured, CHAMPION, metric, absence, settings.champion_tolerance, part)
            yield msgspec.structs.replace(rule, name=rules.comparison_name(metric, CHAMPION))


def _slice_rules(name: str, part: Resampled, settings: GateSettings) -> Iterator[Rule]:
    """Not much worse than the champion on a part of the rows, if there are enough of them."""
    few = f"{part.rows:,} test rows of {part.users:,} users are too few to judge {label(name)} by."
    for metric in _METRICS:
        if _too_few(part, settings):
            yield rules.skipped(rules.comparison_name(metric, CHAMPION, name), metric, few, CHAMPION)
        else:
            yield _compare(part, CHAMPION, metric, _NOTHING, settings.slice_tolerance, name)


def _too_few(part: Resampled, settings: GateSettings) -> bool:
    return part.rows < settings.min_slice_rows or part.users < settings.min_test_users


def _compare(
    measured: Resampled, against: str, metric: str, absence: str, tolerance: float = 0.0, part: str = ""
) -> Rule:
    mine, other = measured.metrics.get(CHALLENGER, {}), measured.metrics.get(against, {})
    if metric not in mine or metric not in other:
        return rules.skipped(rules.comparison_name(metric, against, part), metric, absence, against)
    interval = measured.difference(CHALLENGER, against, metric)
    return rules.not_worse(metric, against, mine[metric], other[metric], interval, tolerance, part)


# Field of `DataChange` -> that of its bound, and the beginning of the sentence.
_DATA_RULES = {
    "rows_share": ("min_rows_share", "There are {:.1%} as many known ratings as the champion was trained on"),
    "rating_mean_shift": (
        "max_mean_shift",
        "The mean rating is {:.3f} stars from that of the champion's data",
    ),
    "rating_histogram_distance": (
        "max_histogram_distance",
        "The histogram of ratings differs from that of the champion's data in {:.1%} of the ratings",
    ),
    "new_users_share": ("max_new_users", "{:.1%} of the users have no rating in the champion's data"),
    "new_movies_share": (
        "max_new_movies",
        "{:.1%} of the rated movies have no rating in the champion's data",
    ),
}


def data_rules(data: DataChange | None, absence: str, bounds: DataBounds) -> Iterator[Rule]:
    """Holds `data` to the bounds; all rules are skipped where it is None, because of `absence`."""
    for metric, (bound_field, start) in _DATA_RULES.items():
        name = f"data_{metric}"
        comparison: Comparison = ">=" if bound_field.startswith("min_") else "<="
        if data is None:
            yield rules.skipped(name, metric, absence, comparison=comparison)
            continue
        value, bound = getattr(data, metric), getattr(bounds, bound_field)
        shown = f"{bound:.0%}"
        if metric == "rating_mean_shift":
            bound *= data.scale
            shown = f"{bound:.3f}"
        asked = "at least" if comparison == ">=" else "at most"
        why = f"{start.format(value)}, and {asked} {shown} are expected"
        yield rules.within(name, metric, value, bound, comparison, why)
