"""The gate: applies the rules to a challenger, and concludes whether it is published."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from components.evaluate import rules
from components.evaluate.bootstrap import Resampled
from components.evaluate.champion import ChampionComparison, DataChange, PastComparison
from components.evaluate.verdict import FAIL, PASS, REPORT, UNDECIDED, Comparison, Rule
from components.ingest.settings import IMPLICIT, STARS, Feedback
from components.metrics import (
    BASELINES,
    BEST_CHAMPION,
    CHALLENGER,
    CHAMPION,
    GATE_METRICS,
    METRICS,
    NDCG_10,
    RMSE,
    RULE_METRICS,
    STAND_INS,
    TOP_100_UNSEEN,
    Metric,
    at_k,
    label,
    title,
)

_NOTHING = "There is nothing to measure it by: the challenger was not scored, or there are no test rows."
_NO_STARS = "The feedback has no stars (--feedback implicit)."
_CHAMPION_FAILED = "The champion was not scored."
# The rules whose outcome says most about a model that passed, the most telling first.
_TELLING = (
    rules.comparison_name(TOP_100_UNSEEN, CHAMPION),
    *(rules.comparison_name(metric.name, STAND_INS[metric.name]) for metric in GATE_METRICS),
)
_RETRIEVAL = (TOP_100_UNSEEN, NDCG_10)
# The width of the rating scale that bounds in stars are given for.
_USUAL_SCALE = 4.0


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
    # How much worse than the champion's a metric may be for certain, by the beginning of its rules' names;
    # those of `METRICS` where there is none. The interval covers the choice of test users only: the same
    # model trained with another seed has to fit in as well.
    margins: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False  # whether a rule that is undecided fails
    # With fewer test users, or a wider interval (± this) of top-100 accuracy, the test rows decide nothing.
    min_test_users: int = 30
    max_half_width: float = 0.05
    # How much worse than the champion's a metric may be on a slice, beyond the interval: chance has many more
    # occasions there. For stars of a scale of 1 to 5; smaller slices are left out.
    slice_tolerance: float = 0.02
    min_slice_rows: int = 1000
    data: DataBounds = field(default_factory=DataBounds)

    def margin(self, metric: Metric, scale: float) -> float:
        """The margin of a metric, where the rating scale is `scale` stars wide."""
        return self.margins.get(metric.rule, metric.margin * (scale if metric.in_stars else 1))


@dataclass(frozen=True)
class Evidence:
    """The input of the gate."""

    whole: Resampled  # the metrics on all test rows
    slices: Mapping[str, Resampled] = field(default_factory=dict)  # by name, those on parts of them
    failures: Mapping[str, str] = field(default_factory=dict)  # model -> why it could not be scored
    k: int = 100  # the length of the lists by which retrieval is measured
    choices: int | None = None  # the most movies that a test user can be recommended; None for very many
    scale: float = _USUAL_SCALE  # the width of the rating scale, in stars
    users: int = 0  # all users of the data
    non_finite_users: int = 0  # those with an answer of the challenger that is no finite number
    non_finite_movies: int = 0  # movies with a vector or bias of the challenger that is none
    # Held-out rows that the challenger was trained on, of those that its sample covers; None without such.
    trained_on: int | None = None
    comparison: ChampionComparison = field(default_factory=ChampionComparison)
    past: PastComparison = field(default_factory=PastComparison)
    feedback: Feedback = STARS  # of the rows

    def why_idle(self, metric: str) -> str:
        """Says why a metric cannot tell any two models apart on these rows; "" if it can."""
        if self.feedback == IMPLICIT and METRICS[metric].in_stars:
            return _NO_STARS
        shortest = {TOP_100_UNSEEN: self.k, NDCG_10: 1}.get(metric, 0)
        if self.choices is None or self.choices > shortest:
            return ""
        return f"With lists of {shortest}, each user is recommended all movies that are left."


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
    undecided = [rule for rule in decided if rule.verdict == UNDECIDED]
    if undecided:
        others = len(undecided) - 1
        more = f" {others} more {'is' if others == 1 else 'are'} undecided." if others else ""
        return True, publish, f"Not proven worse ({undecided[0].name}): {undecided[0].why}{more}"
    passed = {rule.name: rule for rule in decided if rule.verdict == PASS}
    telling = next((passed[name].why for name in _TELLING if name in passed), "every rule passes.")
    return True, publish, f"Good enough: {telling}"


def decide(evidence: Evidence, settings: GateSettings) -> list[Rule]:
    """Holds the challenger to every rule, in the order in which a failing one explains a refusal."""
    found = [
        msgspec.structs.replace(rule, verdict=FAIL, why=f"{rule.why} The strict gate refuses that.")
        if settings.strict and rule.verdict == UNDECIDED
        else rule
        for rule in _apply(evidence, settings)
    ]
    if CHALLENGER not in evidence.whole.metrics:
        return [*found, rules.skipped("retrieval_decided", "", _NOTHING)]
    decided = any(rule.metric in _RETRIEVAL and rule.verdict in (PASS, FAIL) for rule in found)
    return [*found, rules.retrieval_decided(decided, evidence.k)]


def _apply(evidence: Evidence, settings: GateSettings) -> Iterator[Rule]:
    whole, k = evidence.whole, evidence.k
    mine = whole.metrics.get(CHALLENGER, {})
    yield rules.scorable("scorable", CHALLENGER, evidence.failures.get(CHALLENGER))
    yield rules.finite(evidence.non_finite_users, evidence.users, evidence.non_finite_movies)
    yield rules.not_trained_on(evidence.trained_on)
    yield rules.enough_test_rows(
        whole.rows,
        whole.users,
        whole.interval(CHALLENGER, at_k(TOP_100_UNSEEN, k)),
        settings.min_test_users,
        settings.max_half_width,
        k,
    )
    bounds = {
        "min_top_100_accuracy": (TOP_100_UNSEEN, settings.min_top_100_accuracy),
        "max_rmse": (RMSE, settings.max_rmse),
    }
    for name, (metric, bound) in bounds.items():
        measured, idle = at_k(metric, k), evidence.why_idle(metric)
        if idle or measured not in mine:
            yield rules.skipped(name, metric, idle or _NOTHING)
        else:
            interval = whole.interval(CHALLENGER, measured)
            yield rules.bounded(name, metric, mine[measured], bound, interval, k)
    for baseline in BASELINES.values():
        for metric in baseline.gate_metrics:
            yield _compare(evidence, whole, baseline.name, metric, _NOTHING, rules.not_worse)
    comparison = evidence.comparison
    if comparison.absence:
        yield rules.skipped("champion_scorable", "", comparison.absence, CHAMPION)
    else:
        yield rules.scorable("champion_scorable", CHAMPION, evidence.failures.get(CHAMPION))
    yield from _champion_rules(evidence, settings)
    yield from _best_champion_rules(evidence, settings)
    no_data = comparison.no_data or comparison.absence or _NOTHING
    yield from data_rules(comparison.data, no_data, settings.data, evidence.feedback)
    if comparison.part:
        return
    for name, part in evidence.slices.items():
        if CHAMPION in part.metrics and CHALLENGER in part.metrics:
            yield from _slice_rules(evidence, name, part, settings)


def _champion_rules(evidence: Evidence, settings: GateSettings) -> Iterator[Rule]:
    """Not worse than the champion by more than the margin, on rows that it was not trained on."""
    part = evidence.comparison.part.name if evidence.comparison.part else ""
    measured = evidence.slices.get(part, Resampled()) if part else evidence.whole
    failed = CHAMPION in evidence.failures
    absence = evidence.comparison.absence or (_CHAMPION_FAILED if failed else _NOTHING)
    for metric in RULE_METRICS:
        name = rules.comparison_name(metric.name, CHAMPION)
        if part and _too_few(measured, settings) and not failed:
            why = (
                f"The champion was trained on some of the test rows; of {measured.rows:,} it is certain that "
                f"it was not, too few to compare on."
            )
            yield rules.skipped(name, metric.name, why, CHAMPION)
        else:
            held_to = partial(
                rules.within_margin, margin=settings.margin(metric, evidence.scale), rows=measured.rows
            )
            rule = _compare(evidence, measured, CHAMPION, metric.name, absence, held_to, part)
            yield msgspec.structs.replace(rule, name=name)


def _best_champion_rules(evidence: Evidence, settings: GateSettings) -> Iterator[Rule]:
    """The same against the best of the champions before, where a loss that is undecided fails.

    Else many steps down, each too small for the rows to show, would add up.
    """
    failure = evidence.failures.get(BEST_CHAMPION)
    absence = f"{title(BEST_CHAMPION)} cannot be scored: {failure}" if failure else evidence.past.absence
    for metric in RULE_METRICS:
        margin = settings.margin(metric, evidence.scale)
        held_to = partial(rules.within_margin, margin=margin, rows=evidence.whole.rows)
        rule = _compare(evidence, evidence.whole, BEST_CHAMPION, metric.name, absence or _NOTHING, held_to)
        yield _settle(rule, metric) if rule.verdict == UNDECIDED else rule


def _settle(rule: Rule, metric: Metric) -> Rule:
    """Decides an undecided comparison by the measured values alone."""
    if rule.value is not None and rule.bound is not None and metric.is_better(rule.value, rule.bound):
        return msgspec.structs.replace(rule, verdict=PASS, why=f"{rule.why} It is measured no worse.")
    return msgspec.structs.replace(rule, verdict=FAIL, why=f"{rule.why} Another step down is refused.")


def _slice_rules(evidence: Evidence, name: str, part: Resampled, settings: GateSettings) -> Iterator[Rule]:
    """Not much worse than the champion on a part of the rows, if there are enough of them."""
    few = f"{part.rows:,} test rows of {part.users:,} users are too few to judge {label(name)} by."
    for metric in GATE_METRICS:
        if _too_few(part, settings):
            rule_name = rules.comparison_name(metric.name, CHAMPION, name)
            yield rules.skipped(rule_name, metric.name, few, CHAMPION)
        else:
            scale = evidence.scale / _USUAL_SCALE if metric.in_stars else 1
            held_to = partial(rules.not_worse, tolerance=settings.slice_tolerance * scale)
            yield _compare(evidence, part, CHAMPION, metric.name, _NOTHING, held_to, name)


def _too_few(part: Resampled, settings: GateSettings) -> bool:
    return part.rows < settings.min_slice_rows or part.users < settings.min_test_users


def _compare(
    evidence: Evidence,
    measured: Resampled,
    against: str,
    metric: str,
    absence: str,
    held_to: Callable[..., Rule],
    part: str = "",
) -> Rule:
    """Applies the rule `held_to` to the challenger and another scorer; skipped, because of `absence`, if not
    both were measured."""
    mine, other = measured.metrics.get(CHALLENGER, {}), measured.metrics.get(against, {})
    name, idle = at_k(metric, evidence.k), evidence.why_idle(metric)
    if idle or name not in mine or name not in other:
        return rules.skipped(rules.comparison_name(metric, against, part), metric, idle or absence, against)
    interval = measured.difference(CHALLENGER, against, name)
    return held_to(metric, against, mine[name], other[name], interval, part=part, k=evidence.k)


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


# The rules of them that are about stars.
_OF_STARS = ("rating_mean_shift", "rating_histogram_distance")


def data_rules(
    data: DataChange | None, absence: str, bounds: DataBounds, feedback: Feedback = STARS
) -> Iterator[Rule]:
    """Holds `data` to the bounds; all rules are skipped where it is None, because of `absence`."""
    for metric, (bound_field, start) in _DATA_RULES.items():
        name = f"data_{metric}"
        comparison: Comparison = ">=" if bound_field.startswith("min_") else "<="
        starless = feedback == IMPLICIT and metric in _OF_STARS
        if data is None or starless:
            yield rules.skipped(name, metric, _NO_STARS if starless else absence, comparison=comparison)
            continue
        value, bound = getattr(data, metric), getattr(bounds, bound_field)
        shown = f"{bound:.0%}"
        if metric == "rating_mean_shift":
            bound *= data.scale
            shown = f"{bound:.3f}"
        asked = "at least" if comparison == ">=" else "at most"
        why = f"{start.format(value)}, and {asked} {shown} are expected"
        yield rules.within(name, metric, value, bound, comparison, why)
