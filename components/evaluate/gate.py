"""The gate: which rules a challenger is held to, and what follows from them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from components.evaluate import rules
from components.evaluate.bootstrap import Interval, Resampled
from components.evaluate.champion import DataBounds, DataChange, data_rules
from components.evaluate.names import (
    BIAS,
    CHALLENGER,
    CHAMPION,
    GLOBAL_MEAN,
    POPULARITY,
    RMSE,
    TOP_100_UNSEEN,
    words,
)
from components.evaluate.rules import FAIL, Rule

ENFORCE, REPORT = "enforce", "report"

# Baseline -> the metric in which the challenger must not be worse. Only baselines without anything to tune
# are in the gate: a tuned method of a single purpose may win by a hair, and that is no reason to go on
# serving last month's model.
_BASELINES = ((POPULARITY, TOP_100_UNSEEN), (GLOBAL_MEAN, RMSE), (BIAS, RMSE))

_NOTHING = "There is nothing to measure it by: the challenger was not scored, or there are no test rows."
_CHAMPION_FAILED = "The champion was not scored."


@dataclass(frozen=True)
class GateSettings:
    """Bounds of the gate."""

    # Least top-100 accuracy among unseen movies, 0 to 1; 0 sets no bound.
    min_top_100_accuracy: float = 0.0
    # Greatest RMSE, in stars; 0 sets no bound.
    max_rmse: float = 0.0
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
class Measures:
    """What was measured on some test rows.

    Attributes:
      rows, users: how many test rows there are, of how many users.
      metrics: scorer -> metric -> value; of the challenger, the champion if it was scored, and baselines.
      resampled: metrics that are sums over users, under random weightings of the users.
      intervals: scorer -> metric -> 95% interval, of the others.
    """

    rows: int
    users: int
    metrics: Mapping[str, Mapping[str, float]]
    resampled: Resampled
    intervals: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)

    def interval(self, scorer: str, metric: str) -> Interval | None:
        """The 95% interval of a metric; None if it is not finite or there are too few users to say."""
        return self.intervals.get(scorer, {}).get(metric) or self.resampled.interval(scorer, metric)


@dataclass(frozen=True)
class Evidence:
    """What the gate judges by.

    Attributes:
      whole: what was measured on all test rows.
      slices: the same of some of them, by the slice's name.
      failure: why the challenger could not be scored; "" if it was.
      non_finite_users: how many users got an answer of the challenger's that is no finite number.
      trained_on: how many of the held-out rows the challenger was itself trained on, of those that it can be
        told of; None if its model does not say.
      champion_failure: why the champion could not be scored; "" if it was, or there is none.
      no_champion: why there is no comparison with the champion, other than that; "" if there is one.
      champion_part: the slice on which alone the champion is compared, for it was trained on other test
        rows; "" for all rows.
      data: how the data differ from the champion's; None if that is not known.
      no_data: why it is not known.
    """

    whole: Measures
    slices: Mapping[str, Measures] = field(default_factory=dict)
    failure: str = ""
    non_finite_users: int = 0
    trained_on: int | None = None
    champion_failure: str = ""
    no_champion: str = ""
    champion_part: str = ""
    data: DataChange | None = None
    no_data: str = ""


_NO_MEASURES = Measures(0, 0, {}, Resampled({}))


def decide(evidence: Evidence, settings: GateSettings) -> tuple[Rule, ...]:
    """Holds the challenger to every rule, in the order in which a failing one explains a refusal."""
    return tuple(_rules(evidence, settings))


def is_blessed(decided: Iterable[Rule]) -> bool:
    """Whether no rule fails."""
    return all(rule.verdict != FAIL for rule in decided)


def _rules(evidence: Evidence, settings: GateSettings) -> Iterator[Rule]:
    whole = evidence.whole
    mine, resampled = whole.metrics.get(CHALLENGER, {}), whole.resampled
    yield rules.scorable("scorable", CHALLENGER, evidence.failure)
    yield rules.finite(evidence.non_finite_users, whole.users)
    yield rules.unread(evidence.trained_on)
    yield rules.enough_test_rows(
        whole.rows,
        whole.users,
        resampled.interval(CHALLENGER, TOP_100_UNSEEN),
        settings.min_test_users,
        settings.max_half_width,
    )
    bounds = {
        "min_top_100_accuracy": (TOP_100_UNSEEN, settings.min_top_100_accuracy),
        "max_rmse": (RMSE, settings.max_rmse),
    }
    for name, (metric, bound) in bounds.items():
        if metric in mine:
            yield rules.bounded(name, metric, mine[metric], bound, resampled.interval(CHALLENGER, metric))
        else:
            yield rules.skipped(name, metric, _NOTHING)
    for baseline, metric in _BASELINES:
        yield _comparison(whole, baseline, metric, _NOTHING)
    if evidence.no_champion:
        yield rules.skipped("champion_scorable", "", evidence.no_champion, CHAMPION)
    else:
        yield rules.scorable("champion_scorable", CHAMPION, evidence.champion_failure)
    yield from _champion_rules(evidence, settings)
    yield from data_rules(evidence.data, evidence.no_data or evidence.no_champion or _NOTHING, settings.data)
    if evidence.champion_part:
        return
    for name, part in evidence.slices.items():
        if CHAMPION in part.metrics and CHALLENGER in part.metrics:
            yield from _slice_rules(name, part, settings)


def _champion_rules(evidence: Evidence, settings: GateSettings) -> Iterator[Rule]:
    """Not worse than the champion, on rows that it was not trained on."""
    part, tolerance = evidence.champion_part, settings.champion_tolerance
    measures = evidence.slices.get(part, _NO_MEASURES) if part else evidence.whole
    absence = evidence.no_champion or (_CHAMPION_FAILED if evidence.champion_failure else _NOTHING)
    few = part and (measures.rows < settings.min_slice_rows or measures.users < settings.min_test_users)
    for metric in (TOP_100_UNSEEN, RMSE):
        if few and not evidence.champion_failure:
            why = (
                f"The champion was trained on some of the test rows; of {measures.rows:,} it is certain that "
                f"it was not, too few to compare on."
            )
            yield rules.skipped(rules.comparison_name(metric, CHAMPION), metric, why, CHAMPION)
        else:
            rule = _comparison(measures, CHAMPION, metric, absence, tolerance, part)
            yield replace(rule, name=rules.comparison_name(metric, CHAMPION))


def _slice_rules(name: str, part: Measures, settings: GateSettings) -> Iterator[Rule]:
    """Not much worse than the champion on a part of the rows, if there are enough of them."""
    few = f"{part.rows:,} test rows of {part.users:,} users are too few to judge {words(name)} by."
    for metric in (TOP_100_UNSEEN, RMSE):
        if part.rows < settings.min_slice_rows or part.users < settings.min_test_users:
            yield rules.skipped(rules.comparison_name(metric, CHAMPION, name), metric, few, CHAMPION)
        else:
            yield _comparison(part, CHAMPION, metric, _NOTHING, settings.slice_tolerance, name)


def _comparison(
    measures: Measures, against: str, metric: str, absence: str, tolerance: float = 0.0, part: str = ""
) -> Rule:
    mine, other = measures.metrics.get(CHALLENGER, {}), measures.metrics.get(against, {})
    if metric not in mine or metric not in other:
        return rules.skipped(rules.comparison_name(metric, against, part), metric, absence, against)
    interval = measures.resampled.difference(CHALLENGER, against, metric)
    return rules.not_worse(metric, against, mine[metric], other[metric], interval, tolerance, part)
